#include "sim/core_node.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/status.h"

namespace mokv::sim {

using raft::Refusal;
using raft::RequestId;

namespace {

constexpr size_t kSnapshotsKept = 3;

}  // namespace

// Draws election timeouts from a part of their range only: if all are short, leases, votes and
// stickiness are at their limits. The numbers differ all the same.
class CoreNode::TimeoutRandom final : public Random {
 public:
  TimeoutRandom(uint64_t seed, Duration timeout, uint64_t spread_permille)
      : random_(seed), range_(static_cast<uint64_t>(timeout.count())), spread_(spread_permille) {}
  uint64_t Next() override {
    const uint64_t drawn = random_.Next();
    const uint64_t rest = drawn % range_;
    return std::max(drawn - rest, range_) - range_ + rest * spread_ / 1000;
  }

 private:
  SeededRandom random_;
  uint64_t range_;
  uint64_t spread_;
};

CoreNode::CoreNode(NodeShared& shared, Place place, raft::NodeId id, uint64_t seed,
                   const raft::Membership* initial)
    : shared_(shared), place_(place), id_(id), dice_(seed, /*stream=*/100 + place) {
  if (initial == nullptr) return;
  disk_.entries.push_back(raft::InitialEntry(*initial));
  disk_.hard_state.term = Term(1);
  // Committed from the start, whether the disk says so or not.
  disk_.hard_state.commit = Index(seed % 2);
}

CoreNode::~CoreNode() = default;

void CoreNode::Start() {
  MOKV_CHECK(core_ == nullptr);
  ++shared_.coverage.starts;
  raft::Options options = shared_.settings.options;
  options.id = id_;
  random_ = std::make_unique<TimeoutRandom>(dice_.Next(), options.election_timeout,
                                            shared_.settings.timeout_spread_permille);
  raft::InitialState initial;
  machine_ = KvMachine();
  if (disk_.snapshot.has_value()) {
    machine_ = *disk_snapshot_;
    snapshots_[disk_.snapshot->last.index] = disk_snapshot_;
    initial.snapshot = disk_.snapshot;
    raft::SnapshotMeta base = *disk_.snapshot;
    base.last = disk_.base;  // The log may begin before the snapshot.
    initial.log = raft::LogView(base);
    initial.applied = disk_.snapshot->last.index;
  }
  for (const Entry& entry : disk_.entries) {
    const absl::Status status = initial.log.Recover(entry);
    MOKV_CHECK(status.ok());
  }
  initial.hard_state = disk_.hard_state;
  initial.hard_state.commit = std::max(initial.hard_state.commit, initial.applied);
  const MonotonicTime now = shared_.host.Now(place_);
  auto core = raft::Core::Create(options, std::move(initial), *random_, now);
  if (!core.ok()) CheckFailed(__FILE__, __LINE__, std::string(MessageOf(core.status())));
  core_ = std::move(*core);
  shared_.invariants.OnStart(*core_, disk_);
  shared_.rules.OnStart(*core_, disk_, now);
  shared_.timeline.Note(place_, "starts: {} entries, term {}, snapshot {}", disk_.entries.size(),
                        disk_.hard_state.term, machine_.applied());
}

void CoreNode::Crash(uint64_t kept_permille) {
  const size_t kept = writes_.size() * kept_permille / 1000;
  for (size_t i = 0; i < kept; ++i) {
    WriteOne();
    ++shared_.coverage.writes_kept;
  }
  shared_.coverage.writes_lost += writes_.size();
  size_t entries = 0;
  for (const Write& write : writes_) entries += write.request.entries.size();
  shared_.coverage.entries_lost += entries;
  shared_.coverage.AddStats(core_->stats());
  shared_.timeline.Note(place_, "crashes: of {} unsynced writes {} survive, {} entries are lost",
                        kept + writes_.size(), kept, entries);
  core_.reset();
  writes_.clear();
  writing_ = false;
  lease_until_ = MonotonicTime();
  staged_.clear();
  proposed_.clear();
  pending_.clear();
  reads_.clear();
  reads_waiting_.clear();
  snapshots_.clear();
  snapshot_wanted_ = false;
}

void CoreNode::Wipe(const raft::Member& member) {
  MOKV_CHECK(core_ == nullptr);
  disks_.wiped[id_] = std::exchange(disk_, raft::testing::Disk());
  disk_snapshot_ = nullptr;
  id_ = member.id;
}

void CoreNode::StallDisk(bool stalls) {
  stalls_ += stalls ? 1 : -1;
  if (stalls_ == 0) BeginWrite();
}

void CoreNode::Step(raft::Event event) {
  core_->Step(shared_.host.Now(place_), std::move(event));
  shared_.invariants.OnTransition(*core_);
}

void CoreNode::Receive(const Packet& packet) {
  shared_.rules.OnReceive(*core_, packet.message, shared_.host.Now(place_));
  if (const auto* install = std::get_if<raft::InstallSnapshot>(&packet.message.body)) {
    snapshots_[install->snapshot.last.index] = packet.data;
  }
  Step(raft::Receive{packet.message});
}

void CoreNode::OnLost(const Packet& packet) {
  if (std::holds_alternative<raft::InstallSnapshot>(packet.message.body)) {
    Step(raft::SnapshotFailed{.peer = packet.message.to});
  }
}

void CoreNode::ConnectionClosed(raft::NodeId peer) {
  shared_.rules.OnConnectionClosed(*core_, peer);
  Step(raft::ConnectionClosed{.peer = peer});
}

void CoreNode::Submit(const ClientRequest& request) {
  if (request.command.op != Op::kGet) {
    staged_.push_back(request);
    return;
  }
  ++(core_->role() == raft::Role::kLeader ? shared_.coverage.reads_leader
                                          : shared_.coverage.reads_follower);
  // As the product's I/O threads do it: the lease is compared with the clock at the look-up, and
  // nothing that is committed may be missing in what is looked at.
  const bool whole = machine_.applied() >= core_->commit();
  if (request.by_lease && shared_.host.Now(place_) < lease_until_ && whole) {
    ++shared_.coverage.reads_by_lease;
    return AnswerRead(request);
  }
  const RequestId id(++requests_);
  reads_[id] = request;
  Step(raft::Read{id});
}

void CoreNode::ChangeMembers(std::vector<raft::MemberChange> changes) {
  Step(raft::ChangeMembership{.request = RequestId(++requests_), .changes = std::move(changes)});
}

void CoreNode::Transfer(raft::NodeId target) {
  Step(raft::TransferLeadership{.request = RequestId(++requests_), .target = target});
}

void CoreNode::Tick() {
  ticked_ = true;
  Step(raft::Tick{});
}

void CoreNode::EndTurn() {
  ProposeStaged();
  raft::Output output = core_->TakeOutput();
  shared_.invariants.OnTransition(*core_);
  Process(std::move(output));
}

void CoreNode::ProposeStaged() {
  if (staged_.empty()) return;
  const RequestId id(++requests_);
  raft::Propose propose{.request = id};
  for (const ClientRequest& request : staged_) {
    propose.payloads.push_back(std::make_shared<const std::string>(request.command.Encode()));
    proposed_[id].push_back(request.id);
  }
  staged_.clear();
  Step(std::move(propose));
}

void CoreNode::Process(raft::Output output) {
  if (output.standing.has_value()) {
    shared_.timeline.Note(place_, "is {} of term {}{}", raft::RoleName(output.standing->role),
                          output.standing->term, output.standing->can_serve ? ", serving" : "");
  }
  if (output.persist.has_value()) Persist(std::move(*output.persist));
  // To be published before the messages leave.
  lease_until_ = core_->lease_until();
  SendAll(output.messages);
  for (const raft::ProposalResult& result : output.proposals) OnProposals(result);
  shared_.invariants.OnCommitted(*core_, output.committed, shared_.holds);
  for (const Entry& entry : output.committed) Apply(entry);
  AnswerReadsThatWait();
  for (const raft::ReadResult& result : output.reads) OnReadResult(result);
  CountResults(output);
  for (const raft::EntriesWanted& wanted : output.entries_wanted) Fetch(wanted);
  if (output.snapshot_wanted && !std::exchange(snapshot_wanted_, true)) {
    shared_.host.After(place_, dice_.Between(Duration(0), std::chrono::milliseconds(5)), [this] {
      snapshot_wanted_ = false;
      TakeSnapshot(UINT64_MAX);
    });
  }
  if (output.more_committed) {
    ++shared_.coverage.applied_in_parts;
    shared_.host.After(place_, Duration(0), [] {});  // Another turn.
  }
  while (snapshots_.size() > kSnapshotsKept) snapshots_.erase(snapshots_.begin());
  shared_.rules.OnTurn(*core_, shared_.host.Now(place_), std::exchange(ticked_, false),
                       output.membership_changed);
}

void CoreNode::Persist(raft::PersistRequest request) {
  shared_.invariants.OnPersist(*core_, request);
  shared_.rules.OnPersist(*core_, request);
  Write write;
  if (request.install.has_value()) {
    const raft::Position last = request.install->last;
    write.data = snapshots_.at(last.index);
    machine_ = *write.data;
    shared_.rules.OnApplied(id_, machine_.applied(), machine_.digest());
    shared_.timeline.Note(place_, "installs snapshot {}", raft::ToString(last));
  }
  if (request.truncate_from.has_value()) {
    shared_.timeline.Note(place_, "truncates from {}", *request.truncate_from);
  }
  write.request = std::move(request);
  writes_.push_back(std::move(write));
  shared_.on_write(place_);
  BeginWrite();
}

void CoreNode::SendAll(std::vector<raft::Message>& messages) {
  for (raft::Message& message : messages) {
    shared_.invariants.OnSend(*core_, message, disk_);
    shared_.rules.OnSend(*core_, message);
    Packet packet;
    if (const auto* install = std::get_if<raft::InstallSnapshot>(&message.body)) {
      packet.data = snapshots_.at(install->snapshot.last.index);
    }
    packet.message = std::move(message);
    shared_.host.Send(place_, std::move(packet));
  }
}

void CoreNode::OnProposals(const raft::ProposalResult& result) {
  const std::vector<uint64_t> requests = std::move(proposed_.extract(result.request).mapped());
  for (size_t i = 0; i < requests.size(); ++i) {
    if (i >= result.accepted) {
      Refuse(requests[i]);
      continue;
    }
    ++shared_.coverage.proposals;
    pending_[result.first.index + i] = {result.first.term, requests[i]};
  }
  if (result.accepted == requests.size()) return;
  ++(result.refusal == Refusal::kTransferring         ? shared_.coverage.refused_transferring
     : result.refusal == Refusal::kTooMuchUncommitted ? shared_.coverage.refused_uncommitted
                                                      : shared_.coverage.refused_not_leader);
}

void CoreNode::Apply(const Entry& entry) {
  const bool applies = machine_.Apply(entry);
  shared_.rules.OnApplied(id_, machine_.applied(), machine_.digest());
  if (entry.type == EntryType::kConfiguration) {
    const auto membership = raft::Membership::Decode(entry.bytes());
    MOKV_CHECK(membership.ok());
    if (membership->joint()) ++shared_.coverage.joint_committed;
    shared_.timeline.Note(place_, "applies {}: {}", entry.index, raft::ToString(*membership));
  }
  if (pending_.empty()) return;
  const auto pending = pending_.find(entry.index);
  if (pending == pending_.end()) return;
  if (pending->second.term != entry.term) {
    ++shared_.coverage.proposals_overruled;
    Refuse(pending->second.request);
  } else {
    shared_.rules.OnAcknowledged(*core_, {entry.index, entry.term});
    shared_.host.Reply(place_, {.id = pending->second.request,
                                .kind = applies ? ReplyKind::kDone : ReplyKind::kCompared});
  }
  pending_.erase(pending);
}

void CoreNode::OnReadResult(const raft::ReadResult& result) {
  const auto found = reads_.find(result.request);
  MOKV_CHECK(found != reads_.end());
  const ClientRequest request = found->second;
  reads_.erase(found);
  if (result.refusal != Refusal::kNone) {
    ++shared_.coverage.reads_refused;
    return Refuse(request.id);
  }
  shared_.rules.OnRead(*core_, result.index, request.committed_before);
  if (machine_.applied() >= result.index) return AnswerRead(request);
  ++shared_.coverage.reads_waited;
  reads_waiting_.emplace(result.index, request);
}

void CoreNode::AnswerRead(const ClientRequest& request) {
  shared_.rules.OnRead(*core_, machine_.applied(), request.committed_before);
  shared_.host.Reply(place_, {.id = request.id, .value = machine_.Get(request.command.key)});
}

void CoreNode::AnswerReadsThatWait() {
  while (!reads_waiting_.empty() && reads_waiting_.begin()->first <= machine_.applied()) {
    const ClientRequest request = reads_waiting_.begin()->second;
    reads_waiting_.erase(reads_waiting_.begin());
    AnswerRead(request);
  }
}

void CoreNode::Refuse(uint64_t request) {
  shared_.host.Reply(place_, {.id = request,
                              .kind = ReplyKind::kRefused,
                              .leader = shared_.host.PlaceOf(core_->leader())});
}

void CoreNode::CountResults(const raft::Output& output) {
  for (const raft::ChangeResult& result : output.changes) {
    ++(result.status.ok()    ? shared_.coverage.changes_done
       : result.fate_unknown ? shared_.coverage.changes_unknown
                             : shared_.coverage.changes_refused);
    shared_.timeline.Note(place_, "membership change: {}",
                          result.status.ok() ? "done" : MessageOf(result.status));
  }
  for (const raft::TransferResult& result : output.transfers) {
    ++(result.status.ok() ? shared_.coverage.transfers_done : shared_.coverage.transfers_failed);
    shared_.timeline.Note(place_, "transfer: {}",
                          result.status.ok() ? "done" : MessageOf(result.status));
  }
}

// Read from the disk when the answer comes: the log may have changed by then.
void CoreNode::Fetch(const raft::EntriesWanted& wanted) {
  const Duration delay = dice_.Between(Duration(0), std::chrono::milliseconds(3)) + disk_slower_;
  shared_.host.After(place_, delay, [this, wanted] {
    ++shared_.coverage.fetches;
    std::vector<Entry> found;
    uint64_t bytes = 0;
    for (size_t i = wanted.from - disk_.base.index;
         wanted.from > disk_.base.index && i <= disk_.entries.size(); ++i) {
      const Entry& entry = disk_.entries[i - 1];
      bytes += raft::EntryBytes(entry);
      if (entry.index > wanted.through || (bytes > wanted.bytes_max && !found.empty())) break;
      found.push_back(entry);
    }
    raft::EntryBatch batch;
    if (!found.empty()) batch = std::make_shared<const std::vector<Entry>>(std::move(found));
    Step(raft::EntriesFetched{.peer = wanted.peer, .entries = std::move(batch)});
  });
}

void CoreNode::BeginWrite() {
  if (writing_ || stalls_ > 0 || writes_.empty() || core_ == nullptr) return;
  writing_ = true;
  const Duration delay =
      dice_.Between(shared_.settings.disk_min, shared_.settings.disk_max) + disk_slower_;
  shared_.host.After(place_, delay, [this, count = writes_.size()] { EndWrite(count); });
}

void CoreNode::EndWrite(size_t count) {
  writing_ = false;
  raft::PersistTicket ticket;
  for (size_t i = 0; i < count; ++i) {
    ticket = writes_.front().request.ticket;
    WriteOne();
  }
  Step(raft::Persisted{ticket});
  BeginWrite();
}

void CoreNode::WriteOne() {
  ++shared_.coverage.writes;
  const Write write = std::move(writes_.front());
  writes_.pop_front();
  disk_.Write(write.request);
  if (write.data != nullptr) disk_snapshot_ = write.data;
}

void CoreNode::TakeSnapshot(uint64_t trailing) {
  const Index index = machine_.applied();
  // A snapshot must not cover more than the log on disk, and it must hold something new.
  if (index > core_->durability().stable() || index > core_->applied()) return;
  if (index <= core_->log().base().index) return;
  if (disk_.snapshot.has_value() && index <= disk_.snapshot->last.index) return;
  const raft::SnapshotMeta meta{.last = {index, core_->log().TermAt(index)},
                                .membership = core_->log().MembershipAt(index)};
  auto data = std::make_shared<const KvMachine>(machine_);
  const Duration delay = dice_.Between(shared_.settings.disk_min, shared_.settings.disk_max);
  shared_.host.After(place_, delay, [this, meta, trailing, data] {
    // A newer one may have been installed, or be on its way to the disk.
    if (meta.last.index <= core_->log().base().index) return;
    if (disk_.snapshot.has_value() && meta.last.index <= disk_.snapshot->last.index) return;
    ++shared_.coverage.snapshots_taken;
    shared_.timeline.Note(place_, "has a snapshot of {}", raft::ToString(meta.last));
    disk_.snapshot = meta;
    disk_snapshot_ = data;
    snapshots_[meta.last.index] = data;
    Step(raft::SnapshotTaken{meta});
    if (trailing != UINT64_MAX) Compact(trailing);
  });
}

void CoreNode::Compact(uint64_t trailing) {
  const Index last = disk_.snapshot->last.index;
  if (trailing >= last.value()) return;
  const Index through = last - trailing;
  if (through <= disk_.base.index || through <= core_->log().base().index) return;
  if (through > core_->durability().stable()) return;
  ++shared_.coverage.compactions;
  const Term term = core_->log().TermAt(through);
  const auto cut = static_cast<ptrdiff_t>(through - disk_.base.index);
  disk_.entries.erase(disk_.entries.begin(), disk_.entries.begin() + cut);
  disk_.base = {through, term};
  shared_.timeline.Note(place_, "cuts its log through {}", through);
  Step(raft::LogCompacted{through});
}

}  // namespace mokv::sim
