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
#include "raft/testing/script_runner.h"

namespace mokv::raft::testing {
namespace {

Member MakeMember(uint64_t number) {
  return {.id = NodeId(number),
          .name = fmt::format("{}", number),
          .instance_id = fmt::format("disk-{}", number),
          .rpc_address = fmt::format("host-{}:1", number)};
}

}  // namespace

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

void ScriptRunner::Execute(const Words& words) {
  static const std::map<std::string, Command> kCommands = {
      {"cluster", &ScriptRunner::MakeCluster}, {"start", &ScriptRunner::Start},
      {"quietly", &ScriptRunner::Quietly},     {"timeout", &ScriptRunner::Timeout},
      {"tick", &ScriptRunner::Tick},           {"pass", &ScriptRunner::Pass},
      {"elect", &ScriptRunner::Elect},         {"propose", &ScriptRunner::Propose},
      {"read", &ScriptRunner::Read},           {"change", &ScriptRunner::Change},
      {"transfer", &ScriptRunner::Transfer},   {"closed", &ScriptRunner::Closed},
      {"deliver", &ScriptRunner::Deliver},     {"drop", &ScriptRunner::Drop},
      {"duplicate", &ScriptRunner::Duplicate}, {"delay", &ScriptRunner::Delay},
      {"late", &ScriptRunner::Late},           {"cut", &ScriptRunner::Cut},
      {"isolate", &ScriptRunner::Isolate},     {"heal", &ScriptRunner::Heal},
      {"disk", &ScriptRunner::Disk},           {"persist", &ScriptRunner::Persist},
      {"crash", &ScriptRunner::Crash},         {"restart", &ScriptRunner::Restart},
      {"wipe", &ScriptRunner::Wipe},           {"snapshot", &ScriptRunner::Snapshot},
      {"compact", &ScriptRunner::Compact},     {"snapshot-failed", &ScriptRunner::SnapshotFailed},
      {"show", &ScriptRunner::Show},           {"expect", &ScriptRunner::Expect},
      {"copy", &ScriptRunner::Copy},           {"put-back", &ScriptRunner::PutBack},
      {"fill", &ScriptRunner::Fill},
  };
  const auto command = kCommands.find(words.at(0));
  if (command == kCommands.end()) return Fail("no such command: " + words[0]);
  (this->*command->second)(words);
}

void ScriptRunner::SetOption(const std::string& key, const std::string& value, Options& options) {
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

void ScriptRunner::MakeCluster(const Words& words) {
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

void ScriptRunner::Start(const Words& words) {
  options_.id = NodeId(Number(words.at(1)));
  cluster_.Add(words.at(1), options_);
}

void ScriptRunner::Quietly(const Words& words) {
  quiet_ = true;
  Execute(Words(words.begin() + 1, words.end()));
  quiet_ = false;
}

void ScriptRunner::Timeout(const Words& words) {
  const MonotonicTime deadline = Up(words).NextDeadline();
  // A node that waits to be joined has none.
  if (deadline > cluster_.now() && deadline != MonotonicTime::Max())
    cluster_.Advance(deadline - cluster_.now());
  cluster_.Step(At(words), raft::Tick{});
}

void ScriptRunner::Tick(const Words& words) {
  cluster_.Advance(std::chrono::milliseconds(Number(words.at(1))));
  for (const auto& [name, node] : cluster_.nodes()) {
    const bool named = std::find(words.begin() + 2, words.end(), name) != words.end();
    if (node->core != nullptr && (words.size() == 2 || named)) {
      cluster_.Step(*node, raft::Tick{});
    }
  }
}

void ScriptRunner::Elect(const Words& words) {
  Timeout(words);
  if (words.size() == 2) {
    Deliver({"deliver"});
  } else {
    MOKV_CHECK_EQ(words.at(2), "via");
    DeliverUntilElected(words[1], absl::StrSplit(words.at(3), ','));
  }
  if (Up(words).role() != Role::kLeader) Fail(words.at(1) + " was not elected");
}

void ScriptRunner::DeliverUntilElected(const std::string& candidate, const Words& voters) {
  std::deque<Message>& network = cluster_.network();
  const auto counts = [&](const Message& message) {
    return std::any_of(voters.begin(), voters.end(), [&](const std::string& voter) {
      return OnLink(message, candidate + "->" + voter) || OnLink(message, voter + "->" + candidate);
    });
  };
  while (cluster_.node(candidate).core->role() != Role::kLeader) {
    const auto next = std::find_if(network.begin(), network.end(), counts);
    if (next == network.end()) return;
    const Message message = *next;
    network.erase(next);
    cluster_.Deliver(message);
  }
}

void ScriptRunner::Propose(const Words& words) {
  raft::Propose propose{.request = RequestId(++requests_)};
  for (size_t i = 2; i < words.size(); ++i) {
    propose.payloads.push_back(std::make_shared<const std::string>(words[i]));
  }
  cluster_.Step(At(words), std::move(propose));
}

void ScriptRunner::Read(const Words& words) {
  cluster_.Read(At(words), RequestId(Number(words.at(2))));
}

void ScriptRunner::Change(const Words& words) {
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

void ScriptRunner::Transfer(const Words& words) {
  const NodeId target = words.size() > 2 ? NodeId(Number(words[2])) : NodeId();
  cluster_.Step(At(words), TransferLeadership{.request = RequestId(++requests_), .target = target});
}

void ScriptRunner::Closed(const Words& words) {
  cluster_.Step(At(words), ConnectionClosed{.peer = cluster_.node(words.at(2)).id});
}

void ScriptRunner::Deliver(const Words& words) {
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

void ScriptRunner::Drop(const Words& words) {
  std::erase_if(cluster_.network(), [&](const Message& message) {
    return words.size() == 1 || OnLink(message, words[1]);
  });
}

void ScriptRunner::Duplicate(const Words& words) {
  for (const Message& message : cluster_.network()) {
    if (!OnLink(message, words.at(1))) continue;
    cluster_.network().push_back(Message(message));
    return;
  }
  Fail("nothing to duplicate");
}

void ScriptRunner::Delay(const Words& words) {
  for (const Message& message : cluster_.network()) {
    if (OnLink(message, words.at(1))) delayed_.push_back(message);
  }
  Drop(words);
}

void ScriptRunner::Late(const Words& words) {
  const auto is_late = [&](const Message& message) { return OnLink(message, words.at(1)); };
  std::vector<Message> late;
  for (const Message& message : delayed_) {
    if (is_late(message)) late.push_back(message);
  }
  std::erase_if(delayed_, is_late);
  if (late.empty()) Fail("nothing was delayed");
  cluster_.network().insert(cluster_.network().begin(), late.begin(), late.end());
}

void ScriptRunner::Cut(const Words& words) {
  cluster_.Cut(words.at(1), words.at(2));
  cluster_.Cut(words.at(2), words.at(1));
}

void ScriptRunner::Isolate(const Words& words) {
  for (const auto& [name, node] : cluster_.nodes()) {
    if (name != words.at(1)) Cut({"cut", name, words[1]});
  }
}

void ScriptRunner::Disk(const Words& words) {
  At(words).disk_held = words.at(2) == "hold";
  if (!At(words).disk_held) cluster_.Persist(At(words));
}

void ScriptRunner::Persist(const Words& words) {
  cluster_.Persist(At(words), words.size() > 2 ? Number(words[2]) : SIZE_MAX);
}

void ScriptRunner::Wipe(const Words& words) {
  cluster_.Wipe(At(words), NodeId(Number(words.at(1)) + 10));
}

void ScriptRunner::Fill(const Words& words) {
  Node& node = At(words);
  cluster_.Crash(node);
  for (size_t i = 2; i < words.size(); ++i) {
    const Term term(Number(words[i]));
    node.disk.entries.push_back({.index = node.disk.last().index.next(),
                                 .term = term,
                                 .type = EntryType::kCommand,
                                 .payload = std::make_shared<const std::string>("of-" + words[i])});
    node.disk.hard_state.term = term;
  }
  cluster_.Restart(node);
}

void ScriptRunner::SnapshotFailed(const Words& words) {
  cluster_.Step(At(words), raft::SnapshotFailed{.peer = cluster_.node(words.at(2)).id});
}

void ScriptRunner::Show(const Words& words) {
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

ScriptResult RunScript(const std::string& text) {
  ScriptResult result;
  ScriptRunner runner;
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
