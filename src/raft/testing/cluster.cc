#include "raft/testing/cluster.h"

#include "base/check.h"
#include "base/status.h"

namespace mokv::raft::testing {
namespace {

std::string EntryText(const Entry& entry) {
  const std::string place = fmt::format("{}/{}", entry.index, entry.term);
  switch (entry.type) {
    case EntryType::kNoOp:
      return place + " no-op";
    case EntryType::kConfiguration:
      return place + " " + ToString(*Membership::Decode(entry.bytes()));
    case EntryType::kCommand:
      return fmt::format("{} {}", place, entry.bytes());
  }
  return place;
}

// For scripts: every election timeout is the shortest, and yet each life has numbers of its own.
class ShortestTimeouts final : public Random {
 public:
  ShortestTimeouts(Duration timeout, uint64_t life)
      : value_(life * static_cast<uint64_t>(timeout.count())) {}
  uint64_t Next() override { return value_; }

 private:
  uint64_t value_;
};

std::string PersistText(const PersistRequest& request) {
  std::string text;
  if (request.install.has_value()) text += " install " + ToString(request.install->last);
  if (request.truncate_from.has_value()) {
    text += fmt::format(" truncate from {}", *request.truncate_from);
  }
  if (!request.entries.empty()) text += " entries";
  for (const Entry& entry : request.entries) text += fmt::format(" {}/{}", entry.index, entry.term);
  if (request.hard_state.has_value()) {
    text += fmt::format(" term {} vote {} commit {}", request.hard_state->term,
                        ParseVote(request.hard_state->vote), request.hard_state->commit);
  }
  return text;
}

}  // namespace

Node& CoreCluster::Add(const std::string& name, Options options, const Membership* initial) {
  auto node = std::make_unique<Node>();
  node->name = name;
  node->id = options.id;
  node->options = options;
  if (initial != nullptr) {
    node->disk.entries.push_back(InitialEntry(*initial));
    node->disk.hard_state.term = Term(1);
  }
  names_[options.id] = name;
  Node& added = *(nodes_[name] = std::move(node));
  Restart(added);
  return added;
}

Node* CoreCluster::Find(NodeId id) {
  const auto name = names_.find(id);
  return name == names_.end() ? nullptr : nodes_.at(name->second).get();
}

void CoreCluster::Step(Node& node, Event event) {
  MOKV_CHECK(node.core != nullptr);
  node.core->Step(now_, std::move(event));
  invariants_.OnTransition(*node.core);
  Turn(node);
  if (!node.disk_held) Persist(node);
}

void CoreCluster::Read(Node& node, RequestId request) {
  invariants_.OnRead(node.id, request);
  Step(node, raft::Read{request});
}

void CoreCluster::Turn(Node& node) {
  Output output = node.core->TakeOutput();
  invariants_.OnTransition(*node.core);
  PrintOutput(node, output);
  Process(node, std::move(output));
}

void CoreCluster::Process(Node& node, Output output) {
  if (output.persist.has_value()) {
    invariants_.OnPersist(*node.core, *output.persist);
    node.writes.push_back(std::move(*output.persist));
  }
  for (Message& message : output.messages) {
    invariants_.OnSend(*node.core, message, node.disk);
    network_.push_back(std::move(message));
  }
  invariants_.OnCommitted(*node.core, output.committed, [this](NodeId id, Position position) {
    const Node* holder = Find(id);
    if (holder == nullptr) return false;
    // What it has acknowledged counts, although its disk has been wiped since.
    return holder->id == id ? holder->disk.Holds(position) : wiped_.at(id).Holds(position);
  });
  for (const ProposalResult& result : output.proposals) node.proposals.push_back(result);
  for (const ReadResult& result : output.reads) {
    invariants_.OnReadResult(node.id, result);
    node.reads[result.request] = result;
  }
  for (ChangeResult& result : output.changes) node.changes.push_back(std::move(result));
  for (TransferResult& result : output.transfers) node.transfers.push_back(std::move(result));
  for (const EntriesWanted& wanted : output.entries_wanted) {
    Step(node, EntriesFetched{.peer = wanted.peer, .entries = Fetch(node, wanted)});
  }
  if (output.more_committed) Turn(node);
}

EntryBatch CoreCluster::Fetch(const Node& node, const EntriesWanted& wanted) const {
  std::vector<Entry> found;
  uint64_t bytes = 0;
  for (const Entry& entry : node.disk.entries) {
    if (entry.index < wanted.from || entry.index > wanted.through) continue;
    bytes += EntryBytes(entry);
    if (bytes > wanted.bytes_max && !found.empty()) break;
    found.push_back(entry);
  }
  if (found.empty() || found.front().index != wanted.from) return nullptr;
  return std::make_shared<const std::vector<Entry>>(std::move(found));
}

void CoreCluster::PrintOutput(const Node& node, const Output& output) {
  if (trace_ == nullptr) return;
  if (output.standing.has_value()) {
    const Standing& standing = *output.standing;
    Print(fmt::format("{}: {} of term {}{}{}", node.id, RoleName(standing.role), standing.term,
                      standing.leader == NodeId() || standing.leader == node.id
                          ? ""
                          : fmt::format(", leader {}", standing.leader),
                      standing.can_serve ? ", serving" : ""));
  }
  if (output.persist.has_value() && node.disk_held) {
    Print(fmt::format("{}: to persist, ticket {}:{}", node.id, output.persist->ticket,
                      PersistText(*output.persist)));
  }
  if (output.persist.has_value() && !node.disk_held && output.persist->install.has_value()) {
    Print(
        fmt::format("{}: installs snapshot {}", node.id, ToString(output.persist->install->last)));
  }
  if (output.persist.has_value() && !node.disk_held && output.persist->truncate_from.has_value()) {
    Print(fmt::format("{}: truncates from {}", node.id, *output.persist->truncate_from));
  }
  for (const Entry& entry : output.committed) {
    Print(fmt::format("{}: applies {}", node.id, EntryText(entry)));
  }
  if (output.more_committed) Print(fmt::format("{}: has more to apply", node.id));
  for (const ProposalResult& result : output.proposals) {
    if (result.refusal != Refusal::kNone) {
      Print(fmt::format("{}: proposal refused: {}", node.id, RefusalName(result.refusal)));
    }
  }
  for (const ReadResult& read : output.reads) {
    Print(read.refusal == Refusal::kNone
              ? fmt::format("{}: read {} released at {}", node.id, read.request, read.index)
              : fmt::format("{}: read {} refused: {}", node.id, read.request,
                            RefusalName(read.refusal)));
  }
  const auto outcome = [](const absl::Status& status) {
    return status.ok() ? std::string("ok") : std::string(MessageOf(status));
  };
  for (const ChangeResult& result : output.changes) {
    Print(fmt::format("{}: change {}: {}{}", node.id, result.request, outcome(result.status),
                      result.fate_unknown ? " (fate unknown)" : ""));
  }
  for (const TransferResult& result : output.transfers) {
    Print(fmt::format("{}: transfer {}: {}", node.id, result.request, outcome(result.status)));
  }
  for (const EntriesWanted& wanted : output.entries_wanted) {
    Print(fmt::format("{}: reads back entries from {} for {}", node.id, wanted.from, wanted.peer));
  }
  if (output.snapshot_wanted) Print(fmt::format("{}: needs a snapshot", node.id));
}

void CoreCluster::Persist(Node& node, size_t count) {
  while (count > 0 && !node.writes.empty() && node.core != nullptr) {
    --count;
    const PersistRequest request = std::move(node.writes.front());
    node.writes.pop_front();
    node.disk.Write(request);
    node.core->Step(now_, Persisted{request.ticket});
    invariants_.OnTransition(*node.core);
    Turn(node);
  }
}

void CoreCluster::Crash(Node& node) {
  node.core.reset();
  node.writes.clear();
  node.reads.clear();
  // Its connections break, and with them a snapshot that it had not finished.
  for (const auto& [name, other] : nodes_) {
    if (other->core != nullptr) Step(*other, SnapshotFailed{.peer = node.id});
  }
}

void CoreCluster::Restart(Node& node) {
  MOKV_CHECK(node.core == nullptr);
  node.options.id = node.id;
  if (seeds_.has_value()) {
    node.random = std::make_unique<SeededRandom>(seeds_->Next());
  } else {
    node.random = std::make_unique<ShortestTimeouts>(node.options.election_timeout, ++lives_);
  }
  InitialState initial;
  if (node.disk.snapshot.has_value()) {
    SnapshotMeta base = *node.disk.snapshot;
    initial.snapshot = base;
    base.last = node.disk.base;  // The log may begin before the snapshot.
    initial.log = LogView(base);
    initial.applied = node.disk.snapshot->last.index;
  }
  for (const Entry& entry : node.disk.entries) {
    const absl::Status status = initial.log.Recover(entry);
    MOKV_CHECK(status.ok());
  }
  initial.hard_state = node.disk.hard_state;
  initial.hard_state.commit = std::max(initial.hard_state.commit, initial.applied);
  auto core = Core::Create(node.options, std::move(initial), *node.random, now_);
  if (!core.ok()) CheckFailed(__FILE__, __LINE__, std::string(MessageOf(core.status())));
  node.core = std::move(*core);
  invariants_.OnStart(*node.core, node.disk);
}

void CoreCluster::Wipe(Node& node, NodeId id) {
  MOKV_CHECK(node.core == nullptr);
  wiped_[node.id] = std::exchange(node.disk, Disk());
  node.id = id;
  names_[id] = node.name;
}

void CoreCluster::TakeSnapshot(Node& node) {
  const Core& core = *node.core;
  const Index index = std::min(core.applied(), core.durability().stable());
  if (index <= core.log().base().index) return;
  node.disk.snapshot = {.last = {index, core.log().TermAt(index)},
                        .membership = core.log().MembershipAt(index)};
  Step(node, SnapshotTaken{*node.disk.snapshot});
}

void CoreCluster::Compact(Node& node, Index through) {
  if (!node.disk.snapshot.has_value() || through > node.disk.snapshot->last.index) return;
  if (through <= node.disk.base.index || through > node.core->durability().stable()) return;
  const Term term = node.core->log().TermAt(through);
  std::erase_if(node.disk.entries, [&](const Entry& entry) { return entry.index <= through; });
  node.disk.base = {through, term};
  Step(node, LogCompacted{through});
}

void CoreCluster::Lose(const Message& message) {
  Node* from = Find(message.from);
  if (!std::holds_alternative<InstallSnapshot>(message.body) || from == nullptr) return;
  if (from->core == nullptr || from->id != message.from) return;
  Step(*from, SnapshotFailed{.peer = message.to});
}

void CoreCluster::Deliver(const Message& message) {
  Node* to = Find(message.to);
  const Node* from = Find(message.from);
  if (to == nullptr || from == nullptr) return;
  if (to->core == nullptr || cut_.contains({from->name, to->name})) return Lose(message);
  Print(ToString(message));
  Step(*to, Receive{message});
}

}  // namespace mokv::raft::testing
