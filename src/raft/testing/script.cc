#include "raft/testing/script.h"

#include <absl/strings/numbers.h>
#include <absl/strings/str_split.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <functional>
#include <map>
#include <optional>
#include <sstream>
#include <vector>

#include "base/check.h"
#include "base/status.h"
#include "raft/testing/cluster.h"

namespace mokv::raft::testing {
namespace {

using Words = std::vector<std::string>;

Words Split(const std::string& line) {
  std::istringstream in(line);
  Words words;
  for (std::string word; in >> word;) words.push_back(word);
  return words;
}

uint64_t Number(const std::string& word) {
  uint64_t value = 0;
  MOKV_CHECK(absl::SimpleAtoi(word, &value));
  return value;
}

std::string_view StateName(Progress::State state) {
  switch (state) {
    case Progress::State::kProbe:
      return "probe";
    case Progress::State::kReplicate:
      return "replicate";
    case Progress::State::kSnapshot:
      return "snapshot";
  }
  return "";
}

Member MakeMember(uint64_t number) {
  return {.id = NodeId(number),
          .name = fmt::format("{}", number),
          .instance_id = fmt::format("disk-{}", number),
          .rpc_address = fmt::format("host-{}:1", number)};
}

class Runner {
 public:
  Runner() {
    cluster_.set_trace([this](const std::string& line) {
      if (!quiet_) out_ += line + "\n";
    });
  }

  // What the command prints.
  std::string Run(const Words& words) {
    out_.clear();
    Execute(words);
    if (!cluster_.invariants().violation().empty()) {
      Fail("invariant: " + cluster_.invariants().violation());
    }
    return out_;
  }
  const std::string& failures() const { return failures_; }
  int expectations() const { return expectations_; }

 private:
  using Command = void (Runner::*)(const Words&);
  using Expectation = std::string (Runner::*)(const Words&);

  void Fail(const std::string& why) {
    out_ += "FAILED: " + why + "\n";
    failures_ += why + "\n";
  }

  Node& At(const Words& words, size_t i = 1) {
    MOKV_CHECK_LT(i, words.size());
    return cluster_.node(words[i]);
  }
  Core& Up(const Words& words, size_t i = 1) {
    MOKV_CHECK(At(words, i).core != nullptr);
    return *At(words, i).core;
  }

  void Execute(const Words& words);
  void MakeCluster(const Words& words);
  void SetOption(const std::string& key, const std::string& value, Options& options);
  void Start(const Words& words);
  void Quietly(const Words& words);
  void Timeout(const Words& words);
  void Tick(const Words& words);
  void Pass(const Words& words) {
    cluster_.Advance(std::chrono::milliseconds(Number(words.at(1))));
  }
  void Elect(const Words& words);
  void Propose(const Words& words);
  void Read(const Words& words);
  void Change(const Words& words);
  void Transfer(const Words& words);
  void Closed(const Words& words);
  void Deliver(const Words& words);
  void Drop(const Words& words);
  void Duplicate(const Words& words);
  void Delay(const Words& words);
  void Late(const Words& words);
  void Cut(const Words& words);
  void Isolate(const Words& words);
  void Heal(const Words&) { cluster_.Heal(); }
  void Disk(const Words& words);
  void Persist(const Words& words);
  void Crash(const Words& words) { cluster_.Crash(At(words)); }
  void Restart(const Words& words) { cluster_.Restart(At(words)); }
  void Wipe(const Words& words);
  void Copy(const Words& words) { At(words).copy = At(words).disk; }
  void PutBack(const Words& words) { At(words).disk = At(words).copy; }
  void Snapshot(const Words& words) { cluster_.TakeSnapshot(At(words)); }
  void Compact(const Words& words) { cluster_.Compact(At(words), Index(Number(words.at(2)))); }
  void SnapshotFailed(const Words& words);
  void Show(const Words& words);
  void Expect(const Words& words);

  std::string Leader(const Words& words);
  std::string Log(const Words& words);
  std::string Membership(const Words& words);
  std::string ReadState(const Words& words);
  std::string Peer(const Words& words);
  std::string Lost(const Words& words);
  std::string Sent(const Words& words);
  std::string LastOf(const Words& words);

  // "A->B": whether a message in flight is on that link. Without it every message is.
  bool OnLink(const Message& message, const std::string& link) {
    const auto arrow = link.find("->");
    MOKV_CHECK(arrow != std::string::npos);
    return cluster_.Find(message.from)->name == link.substr(0, arrow) &&
           cluster_.Find(message.to)->name == link.substr(arrow + 2);
  }

  Cluster cluster_;
  std::vector<Message> delayed_;
  Options options_;
  uint64_t requests_ = 0;
  std::string out_;
  std::string failures_;
  bool quiet_ = false;
  int expectations_ = 0;
};

void Runner::Execute(const Words& words) {
  static const std::map<std::string, Command> kCommands = {
      {"cluster", &Runner::MakeCluster}, {"start", &Runner::Start},
      {"quietly", &Runner::Quietly},     {"timeout", &Runner::Timeout},
      {"tick", &Runner::Tick},           {"pass", &Runner::Pass},
      {"elect", &Runner::Elect},         {"propose", &Runner::Propose},
      {"read", &Runner::Read},           {"change", &Runner::Change},
      {"transfer", &Runner::Transfer},   {"closed", &Runner::Closed},
      {"deliver", &Runner::Deliver},     {"drop", &Runner::Drop},
      {"duplicate", &Runner::Duplicate}, {"delay", &Runner::Delay},
      {"late", &Runner::Late},           {"cut", &Runner::Cut},
      {"isolate", &Runner::Isolate},     {"heal", &Runner::Heal},
      {"disk", &Runner::Disk},           {"persist", &Runner::Persist},
      {"crash", &Runner::Crash},         {"restart", &Runner::Restart},
      {"wipe", &Runner::Wipe},           {"snapshot", &Runner::Snapshot},
      {"compact", &Runner::Compact},     {"snapshot-failed", &Runner::SnapshotFailed},
      {"show", &Runner::Show},           {"expect", &Runner::Expect},
      {"copy", &Runner::Copy},           {"put-back", &Runner::PutBack},
  };
  const auto command = kCommands.find(words.at(0));
  if (command == kCommands.end()) return Fail("no such command: " + words[0]);
  (this->*command->second)(words);
}

void Runner::SetOption(const std::string& key, const std::string& value, Options& options) {
  const uint64_t number = Number(value);
  if (key == "lease") {
    options.lease_reads = number != 0;
  } else if (key == "uncommitted") {
    options.uncommitted_bytes_max = number;
  } else if (key == "appends") {
    options.inflight_appends_max = number;
  } else if (key == "append-bytes") {
    options.append_bytes_max = number;
  } else if (key == "inflight-bytes") {
    options.inflight_bytes_max = number;
  } else if (key == "cache") {
    options.cache_bytes_max = number;
  } else if (key == "apply-entries") {
    options.apply_entries_max = number;
  } else if (key == "apply-bytes") {
    options.apply_bytes_max = number;
  } else if (key == "rounds") {
    options.read_rounds_max = number;
  } else if (key == "reads") {
    options.reads_max = number;
  } else {
    Fail("no such option: " + key);
  }
}

void Runner::MakeCluster(const Words& words) {
  std::vector<Member> voters;
  std::vector<Member> learners;
  for (uint64_t i = 1; i <= Number(words.at(1)); ++i) voters.push_back(MakeMember(i));
  for (size_t i = 2; i < words.size(); ++i) {
    const auto equals = words[i].find('=');
    const std::string key = words[i].substr(0, equals);
    const std::string value = words[i].substr(equals + 1);
    if (key == "learners") {
      for (uint64_t n = 1; n <= Number(value); ++n) {
        learners.push_back(MakeMember(voters.size() + n));
      }
    } else if (key == "priority") {
      const auto colon = value.find(':');
      voters.at(Number(value.substr(0, colon)) - 1).priority =
          static_cast<uint32_t>(Number(value.substr(colon + 1)));
    } else {
      SetOption(key, value, options_);
    }
  }
  const raft::Membership membership("cluster", voters, learners);
  for (const auto& [id, member] : membership.members()) {
    options_.id = id;
    cluster_.Add(member.name, options_, &membership);
  }
}

void Runner::Start(const Words& words) {
  options_.id = NodeId(Number(words.at(1)));
  cluster_.Add(words.at(1), options_);
}

void Runner::Quietly(const Words& words) {
  quiet_ = true;
  Execute(Words(words.begin() + 1, words.end()));
  quiet_ = false;
}

void Runner::Timeout(const Words& words) {
  const MonotonicTime deadline = Up(words).NextDeadline();
  // A node that waits to be joined has none.
  if (deadline > cluster_.now() && deadline != MonotonicTime::Max())
    cluster_.Advance(deadline - cluster_.now());
  cluster_.Step(At(words), raft::Tick{});
}

void Runner::Tick(const Words& words) {
  cluster_.Advance(std::chrono::milliseconds(Number(words.at(1))));
  for (const auto& [name, node] : cluster_.nodes()) {
    const bool named = std::find(words.begin() + 2, words.end(), name) != words.end();
    if (node->core != nullptr && (words.size() == 2 || named)) {
      cluster_.Step(*node, raft::Tick{});
    }
  }
}

void Runner::Elect(const Words& words) {
  Timeout(words);
  Deliver({"deliver"});
  if (Up(words).role() != Role::kLeader) Fail(words.at(1) + " was not elected");
}

void Runner::Propose(const Words& words) {
  raft::Propose propose{.request = RequestId(++requests_)};
  for (size_t i = 2; i < words.size(); ++i) {
    propose.payloads.push_back(std::make_shared<const std::string>(words[i]));
  }
  cluster_.Step(At(words), std::move(propose));
}

void Runner::Read(const Words& words) { cluster_.Read(At(words), RequestId(Number(words.at(2)))); }

void Runner::Change(const Words& words) {
  ChangeMembership change{.request = RequestId(++requests_)};
  std::string what;
  using Kind = MemberChange::Kind;
  static const std::map<std::string, Kind> kKinds = {
      {"add-learner", Kind::kAddLearner}, {"add-voter", Kind::kAddLearner},
      {"promote", Kind::kPromote},        {"demote", Kind::kDemote},
      {"remove", Kind::kRemove},          {"never-leads", Kind::kUpdate},
      {"address", Kind::kUpdate}};
  for (size_t i = 2; i < words.size(); ++i) {
    if (kKinds.contains(words[i])) {
      what = words[i];
      continue;
    }
    Member member = MakeMember(Number(words[i]));
    // The second life of node N has the id N + 10.
    if (member.id > NodeId(10)) member.name = fmt::format("{}", member.id.value() - 10);
    member.promote_when_caught_up = what == "add-voter";
    if (what == "never-leads") member.priority = kPriorityNever;
    if (what == "address") member.rpc_address = "elsewhere:1";
    change.changes.push_back({.kind = kKinds.at(what), .member = std::move(member)});
  }
  cluster_.Step(At(words), std::move(change));
}

void Runner::Transfer(const Words& words) {
  const NodeId target = words.size() > 2 ? NodeId(Number(words[2])) : NodeId();
  cluster_.Step(At(words), TransferLeadership{.request = RequestId(++requests_), .target = target});
}

void Runner::Closed(const Words& words) {
  cluster_.Step(At(words), ConnectionClosed{.peer = cluster_.node(words.at(2)).id});
}

void Runner::Deliver(const Words& words) {
  std::deque<Message>& network = cluster_.network();
  if (words.size() == 1) {
    for (int i = 0; !network.empty(); ++i) {
      if (i == 2000) return Fail("the network does not become quiet");
      const Message message = network.front();
      network.pop_front();
      cluster_.Deliver(message);
    }
    return;
  }
  size_t count = words.size() > 2 ? Number(words[2]) : network.size();
  std::vector<Message> chosen;
  for (auto message = network.begin(); message != network.end() && count > 0;) {
    if (!OnLink(*message, words[1])) {
      ++message;
      continue;
    }
    chosen.push_back(std::move(*message));
    message = network.erase(message);
    --count;
  }
  for (const Message& message : chosen) cluster_.Deliver(message);
}

void Runner::Drop(const Words& words) {
  std::erase_if(cluster_.network(), [&](const Message& message) {
    return words.size() == 1 || OnLink(message, words[1]);
  });
}

void Runner::Duplicate(const Words& words) {
  for (const Message& message : cluster_.network()) {
    if (!OnLink(message, words.at(1))) continue;
    cluster_.network().push_back(Message(message));
    return;
  }
  Fail("nothing to duplicate");
}

void Runner::Delay(const Words& words) {
  for (const Message& message : cluster_.network()) {
    if (OnLink(message, words.at(1))) delayed_.push_back(message);
  }
  Drop(words);
}

void Runner::Late(const Words& words) {
  const auto is_late = [&](const Message& message) { return OnLink(message, words.at(1)); };
  std::vector<Message> late;
  for (const Message& message : delayed_) {
    if (is_late(message)) late.push_back(message);
  }
  std::erase_if(delayed_, is_late);
  if (late.empty()) Fail("nothing was delayed");
  cluster_.network().insert(cluster_.network().begin(), late.begin(), late.end());
}

void Runner::Cut(const Words& words) {
  cluster_.Cut(words.at(1), words.at(2));
  cluster_.Cut(words.at(2), words.at(1));
}

void Runner::Isolate(const Words& words) {
  for (const auto& [name, node] : cluster_.nodes()) {
    if (name != words.at(1)) Cut({"cut", name, words[1]});
  }
}

void Runner::Disk(const Words& words) {
  At(words).disk_held = words.at(2) == "hold";
  if (!At(words).disk_held) cluster_.Persist(At(words));
}

void Runner::Persist(const Words& words) {
  cluster_.Persist(At(words), words.size() > 2 ? Number(words[2]) : SIZE_MAX);
}

void Runner::Wipe(const Words& words) {
  cluster_.Wipe(At(words), NodeId(Number(words.at(1)) + 10));
}

void Runner::SnapshotFailed(const Words& words) {
  cluster_.Step(At(words), raft::SnapshotFailed{.peer = cluster_.node(words.at(2)).id});
}

void Runner::Show(const Words& words) {
  if (words.at(1) == "network") {
    for (const Message& message : cluster_.network()) out_ += ToString(message) + "\n";
    return;
  }
  const Core& core = Up(words);
  out_ += fmt::format("{}: {} term {} vote {} leader {} commit {} log {} {}\n", core.id(),
                      RoleName(core.role()), core.term(), core.vote(), core.leader(), core.commit(),
                      Log({"", "", words[1]}), ToString(*core.membership()));
  for (const auto& [peer, progress] : core.progress()) {
    out_ +=
        fmt::format("  {}: {} match {} next {} in flight {}\n", peer, StateName(progress.state()),
                    progress.match(), progress.next(), progress.inflight().count());
  }
}

// --- Expectations: `expect SUBJECT N ... VALUE`: what is there is compared with the rest.

std::string Runner::Leader(const Words& words) {
  Term newest;
  std::string leader = "none";
  for (const auto& [name, node] : cluster_.nodes()) {
    if (node->core == nullptr || node->core->role() != Role::kLeader) continue;
    if (node->core->term() < newest) continue;
    newest = node->core->term();
    leader = name;
  }
  return words.size() == 3 ? leader : "?";
}

std::string Runner::Log(const Words& words) {
  const LogView& log = Up(words, 2).log();
  std::vector<std::string> places;
  for (Index i = log.base().index.next(); i <= log.last().index; ++i) {
    places.push_back(ToString(Position{i, log.TermAt(i)}));
  }
  return fmt::format("{}", fmt::join(places, " "));
}

std::string Runner::Membership(const Words& words) { return ToString(*Up(words, 2).membership()); }

// `expect read N ID 5`, `... waiting`, `... refused`.
std::string Runner::ReadState(const Words& words) {
  const auto read = At(words, 2).reads.find(RequestId(Number(words.at(3))));
  if (read == At(words, 2).reads.end()) return "waiting";
  if (read->second.refusal != Refusal::kNone) return "refused";
  return fmt::format("{}", read->second.index);
}

// `expect peer N M replicate match 4`.
std::string Runner::Peer(const Words& words) {
  const auto& progress = Up(words, 2).progress();
  const auto peer = progress.find(NodeId(Number(words.at(3))));
  if (peer == progress.end()) return "none";
  return fmt::format("{} match {}", StateName(peer->second.state()), peer->second.match());
}

// `expect lost N M 7`: that M lacks what it had acknowledged up to 7, as N knows; 0: it does not.
std::string Runner::Lost(const Words& words) {
  const Core& core = Up(words, 2);
  const NodeId node(Number(words.at(3)));
  if (node == core.id()) return fmt::format("{}", core.lost_through().index);
  const auto peer = core.progress().find(node);
  if (peer == core.progress().end()) return "none";
  return fmt::format("{}", peer->second.lost_through());
}

// `expect sent A->B Kind`, `... nothing`: what is in flight there, by kind.
std::string Runner::Sent(const Words& words) {
  std::vector<std::string> kinds;
  for (const Message& message : cluster_.network()) {
    if (OnLink(message, words.at(2))) kinds.push_back(Split(ToString(message)).at(5));
  }
  return kinds.empty() ? "nothing" : fmt::format("{}", fmt::join(kinds, " "));
}

// `expect last-change N ok|failed|unknown|none`, last-transfer, last-proposal N accepted COUNT.
std::string Runner::LastOf(const Words& words) {
  const Node& node = At(words, 2);
  if (words[1] == "last-change") {
    if (node.changes.empty()) return "none";
    const ChangeResult& last = node.changes.back();
    return last.status.ok() ? "ok" : last.fate_unknown ? "unknown" : "failed";
  }
  if (words[1] == "last-transfer") {
    if (node.transfers.empty()) return "none";
    return node.transfers.back().status.ok() ? "ok" : "failed";
  }
  if (node.proposals.empty()) return "none";
  return fmt::format("accepted {}", node.proposals.back().accepted);
}

void Runner::Expect(const Words& words) {
  struct Known {
    size_t arguments;  // Words before the value.
    std::function<std::string(Runner&, const Words&)> value;
  };
  const auto of_core = [](auto value) {
    return [value](Runner& runner, const Words& words) {
      return fmt::format("{}", value(runner.Up(words, 2)));
    };
  };
  static const std::map<std::string, Known> kExpectations = {
      {"leader", {2, &Runner::Leader}},
      {"role", {3, of_core([](const Core& core) { return RoleName(core.role()); })}},
      {"term", {3, of_core([](const Core& core) { return core.term(); })}},
      {"vote", {3, of_core([](const Core& core) { return core.vote(); })}},
      {"follows", {3, of_core([](const Core& core) { return core.leader(); })}},
      {"commit", {3, of_core([](const Core& core) { return core.commit(); })}},
      {"applied", {3, of_core([](const Core& core) { return core.applied(); })}},
      {"stable", {3, of_core([](const Core& core) { return core.durability().stable(); })}},
      {"serving", {3, of_core([](const Core& core) { return core.can_serve() ? "yes" : "no"; })}},
      {"transferring",
       {3, of_core([](const Core& core) { return core.transferring() ? "yes" : "no"; })}},
      {"misaddressed", {3, of_core([](const Core& core) { return core.stats().misaddressed; })}},
      {"memory-from", {3, of_core([](const Core& core) { return core.log().first_in_memory(); })}},
      {"keep-after", {3, of_core([](const Core& core) { return core.CompactionLimit(); })}},
      {"lease",
       {3,
        [](Runner& runner, const Words& words) {
          const bool held =
              runner.cluster_.ClockOf(runner.At(words, 2)) < runner.Up(words, 2).lease_until();
          return std::string(held ? "yes" : "no");
        }}},
      {"log", {3, &Runner::Log}},
      {"members", {3, &Runner::Membership}},
      {"read", {4, &Runner::ReadState}},
      {"peer", {4, &Runner::Peer}},
      {"lost", {4, &Runner::Lost}},
      {"sent", {3, &Runner::Sent}},
      {"last-change", {3, &Runner::LastOf}},
      {"last-transfer", {3, &Runner::LastOf}},
      {"last-proposal", {3, &Runner::LastOf}},
  };
  const auto known = kExpectations.find(words.at(1));
  if (known == kExpectations.end()) return Fail("no such expectation: " + words[1]);
  ++expectations_;
  const std::string found = known->second.value(*this, words);
  const auto rest = words.begin() + static_cast<ptrdiff_t>(known->second.arguments);
  const std::string wanted = fmt::format("{}", fmt::join(rest, words.end(), " "));
  if (found != wanted) Fail(fmt::format("expected '{}', found '{}'", wanted, found));
}

}  // namespace

ScriptResult RunScript(const std::string& text) {
  ScriptResult result;
  Runner runner;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) {
    if (line.empty() || line[0] == '#') {
      result.text += line + "\n";
    } else if (line[0] == '>') {
      result.text += line + "\n" + runner.Run(Split(line.substr(1)));
    }
  }
  result.failures = runner.failures();
  result.expectations = runner.expectations();
  return result;
}

}  // namespace mokv::raft::testing
