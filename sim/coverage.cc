#include "sim/coverage.h"

#include <fmt/format.h>

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

// Disks keep here what they have synced, whatever else happens: whoever finds a loss is wrong.
bool IsOfLosses(raft::Point point) {
  return point == raft::Point::kLossFound || point == raft::Point::kOwnLossFound ||
         point == raft::Point::kCampaignLacks;
}

}  // namespace

void Coverage::AddStats(const raft::Stats& stats) {
  std::vector<uint64_t> values;
  ForEachStat(stats, [&](std::string_view, uint64_t value) { values.push_back(value); });
  size_t i = 0;
  ForEachStat(core, [&](std::string_view, uint64_t& value) { value += values[i++]; });
}

std::vector<Counter> CountersOf(const Coverage& coverage) {
  std::vector<Counter> counters;
  for (size_t i = 0; i < kFaultKinds; ++i) {
    counters.push_back({fmt::format("fault: {}", kFaultTexts[i]), coverage.faults[i]});
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
    counter.may_be_zero = counter.name == "histories too hard to judge" ||
                          counter.name == "runs whose end had no quorum that could lead";
  }
  for (size_t i = 0; i < raft::kPoints; ++i) {
    counters.push_back({.name = fmt::format("path: {}", raft::kPointTexts[i]),
                        .value = coverage.points[i],
                        .must_be_zero = IsOfLosses(static_cast<raft::Point>(i))});
  }
  return counters;
}

}  // namespace mokv::sim
