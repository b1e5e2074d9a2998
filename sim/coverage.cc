#include "sim/coverage.h"

#include <fmt/format.h>

#include <set>

#include "sim/plan.h"

namespace mokv::sim {
namespace {

template <typename StatsType, typename Visit>
void ForEachStat(StatsType& stats, const Visit& visit) {
  visit("pre-votes begun", stats.pre_votes);
  visit("elections begun", stats.elections);
  visit("leaderships", stats.leaderships);
  visit("leaderships ended by check-quorum", stats.quorum_lost);
  visit("leaderships handed over because the disk hung", stats.disk_stalls);
  visit("read rounds", stats.read_rounds);
  visit("reads released by the lease", stats.lease_reads);
  visit("proposals refused", stats.proposals_refused);
  visit("conflicts", stats.appends_rejected);
  visit("snapshots sent", stats.snapshots_sent);
  visit("snapshots installed", stats.snapshots_installed);
  visit("malformed messages", stats.malformed);
  visit("messages to a former life", stats.misaddressed);
}

// Cores' disks keep what they have synced, whatever else happens: one that finds a loss is wrong.
bool IsOfLosses(raft::Point point) {
  return point == raft::Point::kLossFound || point == raft::Point::kOwnLossFound ||
         point == raft::Point::kCampaignLacks;
}

// Whether `counter` says how much was left unjudged, or counts what nodes of this kind do not have.
bool IsNotOf(std::string_view counter, NodeKind nodes) {
  static const std::set<std::string_view> kNobodys = {
      "histories too hard to judge", "runs whose end had no quorum that could lead"};
  static const std::set<std::string_view> kOfCores = {
      "messages duplicated",
      "messages overtaken",
      "disk writes that survived a crash unanswered",
      "proposals whose place another entry took",
      "proposals refused: not leader",
      "proposals refused: transferring",
  };
  static const std::set<std::string_view> kOfReplicas = {
      "writes answered as of unknown outcome",
      "reads of what need not be the newest state",
      "reads that ran out of time",
      "requests passed on to a leader",
      "sessions of clients opened",
      "sessions that ended under their clients",
      "sessions kept alive",
      "writes in a session sent again",
      "ends of connections closed",
      "turns interrupted",
      "crashes in the middle of a turn",
      "crashes in the middle of a write",
      "crashes in the middle of writing a snapshot",
      "starts with a damaged snapshot",
      "snapshots installed",
      "syncs of a log that failed",
      "other syncs that failed",
      "nodes that ended because of their disk",
      "crashes while a sync hung",
      "states that were changed",
      "changed states that were written over",
      "reads of a changed state",
      "nodes that were fenced",
      "writes refused at the memory limit",
      "older copies that were put back",
      "nodes that were told what they had lost",
      "nodes that have again what they had lost",
      "graceful stops that came to their end",
  };
  return kNobodys.contains(counter) ||
         (nodes == NodeKind::kReplicas ? kOfCores : kOfReplicas).contains(counter);
}

}  // namespace

void Coverage::AddStats(const raft::Stats& stats) {
  std::vector<uint64_t> values;
  ForEachStat(stats, [&](std::string_view, uint64_t value) { values.push_back(value); });
  size_t i = 0;
  ForEachStat(core, [&](std::string_view, uint64_t& value) { value += values[i++]; });
}

std::vector<Counter> CountersOf(const Coverage& coverage, NodeKind nodes) {
  std::vector<Counter> counters;
  for (size_t i = 0; i < kFaultKinds; ++i) {
    counters.push_back({.name = fmt::format("fault: {}", kFaultTexts[i]),
                        .value = coverage.faults[i],
                        .may_be_zero = !AppliesTo(static_cast<FaultKind>(i), nodes)});
  }
  for (size_t i = 0; i < kMessageKinds; ++i) {
    counters.push_back({fmt::format("sent: {}", kMessageNames[i]), coverage.sent[i]});
    counters.push_back({fmt::format("received: {}", kMessageNames[i]), coverage.received[i]});
  }
#define MOKV_SIM_COUNTER(name, text) counters.push_back({text, coverage.name});
  MOKV_SIM_COUNTER_LIST(MOKV_SIM_COUNTER)
#undef MOKV_SIM_COUNTER
  ForEachStat(coverage.core, [&](std::string_view name, uint64_t value) {
    counters.push_back({fmt::format("core: {}", name), value});
  });
  for (Counter& counter : counters) {
    counter.must_be_zero = counter.name == "core: malformed messages";
    counter.may_be_zero |= IsNotOf(counter.name, nodes);
  }
  for (size_t i = 0; i < raft::kPoints; ++i) {
    counters.push_back(
        {.name = fmt::format("path: {}", raft::kPointTexts[i]),
         .value = coverage.points[i],
         .must_be_zero = nodes == NodeKind::kCores && IsOfLosses(static_cast<raft::Point>(i)),
         // What of the core replicas reach, they reach as cores do.
         .may_be_zero = nodes == NodeKind::kReplicas});
  }
  return counters;
}

}  // namespace mokv::sim
