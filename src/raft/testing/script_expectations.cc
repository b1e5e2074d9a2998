// ScriptRunner: `expect SUBJECT N ... VALUE`: what is there is compared with the rest of the line.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <functional>
#include <map>

#include "raft/testing/script_runner.h"

namespace mokv::raft::testing {

std::string ScriptRunner::Leader(const Words& words) {
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

std::string ScriptRunner::Log(const Words& words) {
  const LogView& log = Up(words, 2).log();
  std::vector<std::string> places;
  for (Index i = log.base().index.next(); i <= log.last().index; ++i) {
    places.push_back(ToString(Position{i, log.TermAt(i)}));
  }
  return fmt::format("{}", fmt::join(places, " "));
}

std::string ScriptRunner::Membership(const Words& words) {
  return ToString(*Up(words, 2).membership());
}

// `expect read N ID 5`, `... waiting`, `... refused`.
std::string ScriptRunner::ReadState(const Words& words) {
  const auto read = At(words, 2).reads.find(RequestId(Number(words.at(3))));
  if (read == At(words, 2).reads.end()) return "waiting";
  if (read->second.refusal != Refusal::kNone) return "refused";
  return fmt::format("{}", read->second.index);
}

// `expect peer N M replicate match 4`.
std::string ScriptRunner::Peer(const Words& words) {
  const auto& progress = Up(words, 2).progress();
  const auto peer = progress.find(NodeId(Number(words.at(3))));
  if (peer == progress.end()) return "none";
  return fmt::format("{} match {}", StateName(peer->second.state()), peer->second.match());
}

// `expect lost N M 7`: that M lacks what it had acknowledged up to 7, as N knows; 0: it does not.
std::string ScriptRunner::Lost(const Words& words) {
  const Core& core = Up(words, 2);
  const NodeId node(Number(words.at(3)));
  if (node == core.id()) return fmt::format("{}", core.lost_through().index);
  const auto peer = core.progress().find(node);
  if (peer == core.progress().end()) return "none";
  return fmt::format("{}", peer->second.lost_through());
}

// `expect sent A->B Kind`, `... nothing`: what is in flight there, by kind.
std::string ScriptRunner::Sent(const Words& words) {
  std::vector<std::string> kinds;
  for (const Message& message : cluster_.network()) {
    if (OnLink(message, words.at(2))) kinds.push_back(Split(ToString(message)).at(5));
  }
  return kinds.empty() ? "nothing" : fmt::format("{}", fmt::join(kinds, " "));
}

// `expect last-change N ok|failed|unknown|none`, last-transfer, last-proposal N accepted COUNT.
std::string ScriptRunner::LastOf(const Words& words) {
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

void ScriptRunner::Expect(const Words& words) {
  struct Known {
    size_t arguments;  // Words before the value.
    std::function<std::string(ScriptRunner&, const Words&)> value;
  };
  const auto of_core = [](auto value) {
    return [value](ScriptRunner& runner, const Words& words) {
      return fmt::format("{}", value(runner.Up(words, 2)));
    };
  };
  static const std::map<std::string, Known> kExpectations = {
      {"leader", {2, &ScriptRunner::Leader}},
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
        [](ScriptRunner& runner, const Words& words) {
          const bool held = runner.cluster_.now() < runner.Up(words, 2).lease_until();
          return std::string(held ? "yes" : "no");
        }}},
      {"log", {3, &ScriptRunner::Log}},
      {"members", {3, &ScriptRunner::Membership}},
      {"read", {4, &ScriptRunner::ReadState}},
      {"peer", {4, &ScriptRunner::Peer}},
      {"lost", {4, &ScriptRunner::Lost}},
      {"sent", {3, &ScriptRunner::Sent}},
      {"last-change", {3, &ScriptRunner::LastOf}},
      {"last-transfer", {3, &ScriptRunner::LastOf}},
      {"last-proposal", {3, &ScriptRunner::LastOf}},
  };
  const auto known = kExpectations.find(words.at(1));
  if (known == kExpectations.end()) return Fail("no such expectation: " + words[1]);
  ++expectations_;
  const std::string found = known->second.value(*this, words);
  const auto rest = words.begin() + static_cast<ptrdiff_t>(known->second.arguments);
  const std::string wanted = fmt::format("{}", fmt::join(rest, words.end(), " "));
  if (found != wanted) Fail(fmt::format("expected '{}', found '{}'", wanted, found));
}

}  // namespace mokv::raft::testing
