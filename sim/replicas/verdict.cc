#include "sim/replicas/verdict.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include "sim/lincheck/checker.h"

namespace mokv::sim {
namespace {

using replica::AdminRequest;
using replica::testing::ReplicaCluster;
using replica::testing::StatusOutcome;
using std::chrono::seconds;

// Of virtual time, in which election timeouts are 0.1 s: fifty of them.
constexpr Duration kLeaderWithin = seconds(5);
constexpr Duration kRequestsEnd = seconds(2);
constexpr Duration kMembersWithin = seconds(60);
constexpr Duration kAllEqualWithin = seconds(10);
// Clients want their answers within 2.5 s.
constexpr Duration kIdleWithin = seconds(3);
constexpr uint64_t kConfigurationsMax = 300'000;

class Verdict {
 public:
  Verdict(ReplicaCluster& cluster, Clients& clients, ScheduleResult& result)
      : cluster_(cluster), clients_(clients), result_(result) {}

  std::string Reach() {
    if (!Until([this] { return !cluster_.Leader().empty(); }, kLeaderWithin)) {
      return "progress: no leader" + Picture();
    }
    // Changes that were asked for may still come.
    cluster_.Run(kRequestsEnd);
    if (!RepairMembers()) return "progress: the members cannot be repaired" + Picture();
    if (!Until([this] { return clients_.idle(); }, kAllEqualWithin)) {
      return "progress: clients wait without end" + Picture();
    }
    if (!Until([this] { return AllEqual(); }, kAllEqualWithin)) {
      return "equality: not all nodes come to have the same" + Picture();
    }
    clients_.LookAtAll();
    if (!Until([this] { return clients_.idle(); }, kAllEqualWithin)) {
      return "progress: reads wait without end" + Picture();
    }
    if (std::string busy = Busy(); !busy.empty()) return busy;
    clients_.CheckLog(cluster_.life(cluster_.names().front()));
    if (!clients_.violation().empty()) return clients_.violation();
    Count();
    return JudgeHistory();
  }

 private:
  // A fault that shows meanwhile ends it, too; whoever asks next sees that.
  bool Until(const std::function<bool()>& condition, Duration bound) {
    return cluster_.RunWhileNot(
        [&] {
          clients_.GiveUp();
          clients_.CheckLeases();
          return condition();
        },
        bound);
  }

  // Everybody under the instance that runs, and a voter. Whoever is missing is added, whoever has
  // lost his disk is removed first.
  bool RepairMembers() {
    StatusOutcome request;
    return Until(
        [&] {
          const std::string leader = cluster_.Leader();
          if (leader.empty()) return false;
          if (request != nullptr && !request->has_value()) {
            if (++waits_ % 400 != 0) return false;  // Of a node that has lost it, perhaps.
          }
          std::optional<AdminRequest> next;
          if (MembersAreRight(leader, next)) return true;
          if (next.has_value()) request = cluster_.life(leader).Request(*next, seconds(2));
          return false;
        },
        kMembersWithin);
  }

  bool MembersAreRight(const std::string& leader, std::optional<AdminRequest>& next) {
    const replica::ClusterView view = cluster_.replica(leader).View();
    size_t voters = 0;
    for (const std::string& name : cluster_.names()) {
      const auto found = std::find_if(view.members.begin(), view.members.end(),
                                      [&](const auto& member) { return member.name == name; });
      if (found == view.members.end()) {
        next = {
            .kind = AdminRequest::Kind::kAddMember, .name = name, .rpc_address = name + ":8400"};
      } else if (found->instance_id != cluster_.instance_id(name)) {
        next = {.kind = AdminRequest::Kind::kRemoveMember, .name = name};
      } else if (found->is_voter) {
        ++voters;
      }
    }
    return voters == cluster_.names().size();
  }

  bool AllEqual() {
    const auto names = cluster_.names();
    const Index applied = cluster_.replica(names[0]).report().applied_index;
    for (const std::string& name : names) {
      const replica::Report status = cluster_.replica(name).report();
      if (status.applied_index != applied || status.last_index != applied) return false;
      if (cluster_.machine(name).digest() != cluster_.machine(names[0]).digest()) return false;
    }
    return true;
  }

  bool IsOwed(const std::string& name) {
    const replica::Counters counters = cluster_.replica(name).report().counters;
    return counters.proposals_pending + counters.forwarded_pending + counters.reads_waiting > 0;
  }

  // Nobody is owed an answer any more; clients may have gone away before they got theirs.
  std::string Busy() {
    for (const std::string& name : cluster_.names()) {
      const auto idle = std::make_shared<bool>(false);
      cluster_.replica(name).WhenIdle([idle] { *idle = true; });
      if (Until([&] { return *idle && !IsOwed(name); }, kIdleWithin)) continue;
      const replica::Counters counters = cluster_.replica(name).report().counters;
      return fmt::format("idle: {} has {} writes, {} forwarded and {} reads without an answer{}",
                         name, counters.proposals_pending, counters.forwarded_pending,
                         counters.reads_waiting, Picture());
    }
    return {};
  }

  void Count() {
    for (const std::string& name : cluster_.names()) {
      const replica::Counters counters = cluster_.replica(name).report().counters;
      result_.counts["leader changes"] += counters.leader_changes;
      result_.counts["writes forwarded"] += counters.forwarded;
    }
  }

  std::string JudgeHistory() {
    const std::vector<lincheck::Operation> history = clients_.History();
    result_.counts["operations"] = history.size();
    const lincheck::Verdict verdict =
        lincheck::Check(history, {.configurations_max = kConfigurationsMax});
    result_.gave_up = verdict.answer == lincheck::Answer::kGaveUp;
    if (verdict.answer != lincheck::Answer::kNotLinearizable) return {};
    std::string text = fmt::format("history: {} is not linearizable:", verdict.key);
    for (const lincheck::Operation& operation : verdict.window) {
      text += "\n  " + lincheck::ToString(operation);
    }
    return text;
  }

  std::string Picture() {
    std::string text;
    for (const std::string& name : cluster_.names()) {
      const replica::Report status = cluster_.replica(name).report();
      text += fmt::format(
          "\n  {} {} term {} leader \"{}\" last {} commit {} applied {} revision {};", name,
          replica::RoleText(status), status.term, status.leader, status.last_index,
          status.commit_index, status.applied_index, cluster_.machine(name).revision());
      for (const replica::ClusterMember& member : cluster_.replica(name).View().members) {
        text += fmt::format(" {}{}", member.name, member.is_voter ? "" : "(learner)");
      }
    }
    return text;
  }

  ReplicaCluster& cluster_;
  Clients& clients_;
  ScheduleResult& result_;
  uint64_t waits_ = 0;
};

}  // namespace

std::string FatalOf(ReplicaCluster& cluster, const std::set<std::string>& excused) {
  for (const std::string& name : cluster.names()) {
    if (!cluster.IsUp(name) || excused.contains(name)) continue;
    const auto& fatal = cluster.life(name).fatal;
    if (fatal.has_value()) return fmt::format("fatal: {}: {}", name, fatal->ToString());
  }
  return {};
}

std::string Judge(ReplicaCluster& cluster, Clients& clients, ScheduleResult& result) {
  std::string violation = Verdict(cluster, clients, result).Reach();
  if (!clients.violation().empty()) violation = clients.violation();
  if (violation.empty()) violation = FatalOf(cluster, {});
  return violation;
}

}  // namespace mokv::sim
