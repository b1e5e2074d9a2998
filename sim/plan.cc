#include "sim/plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace mokv::sim {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

// Less than this holds no log.
constexpr uint64_t kSegmentMin = 2048;
// The memory that a state may have: from what a key or two take, up to what some take with long values.
constexpr uint64_t kMemoryMin = 200;
constexpr uint64_t kMemorySpread = 2'000;

raft::Options DrawOptions(Dice& dice) {
  raft::Options options;
  options.election_timeout = dice.Pick<Duration>(
      {milliseconds(200), milliseconds(400), milliseconds(500), milliseconds(1000)});
  options.heartbeat_interval = options.election_timeout / dice.Between(4, 8);
  options.lost_leader_stagger = milliseconds(dice.Between(3, 20));
  options.priority_delay = options.election_timeout * dice.Between(1, 5);
  options.lease_reads = dice.OneIn(2);
  options.persist_stall_max = options.election_timeout * (dice.OneIn(2) ? 2 : 20);
  options.read_rounds_max = 1 + dice.Below(4);
  options.inflight_appends_max = 1 + dice.Below(8);
  options.append_bytes_max = uint64_t{70} << dice.Below(7);
  options.inflight_bytes_max = uint64_t{200} << dice.Below(10);
  options.cache_bytes_max = dice.OneIn(2) ? 0 : 1000;
  options.uncommitted_bytes_max = dice.OneIn(3) ? 500 : 1 << 20;
  options.reads_max = dice.OneIn(4) ? 4 : 1000;
  return options;
}

// Clocks at the edges of the drift bound bring leases to their limits.
int64_t DrawRate(Dice& dice, const raft::Options& options) {
  const int64_t fastest = 1000 + 10 * options.clock_drift_percent_max;
  if (!options.lease_reads) return dice.Between(850, 1200);
  const uint64_t what = dice.Below(4);
  return what == 0 ? 1000 : what == 1 ? dice.Between(1000, fastest) : fastest;
}

WorkloadSettings DrawWorkload(Dice& dice, const raft::Options& options) {
  WorkloadSettings workload;
  workload.clients = 2 + dice.Below(4);
  workload.keys = 1 + static_cast<uint32_t>(dice.Below(kKeysMax));
  workload.read_percent = 20 + dice.Below(60);
  workload.follower_percent = dice.Below(100);
  workload.lease_percent = options.lease_reads ? dice.Below(101) : 0;
  const int64_t operations = dice.Between(300, 900);
  workload.think = kFaultsLast * static_cast<int64_t>(workload.clients) / operations;
  workload.timeout = options.election_timeout * dice.Between(1, 4);
  return workload;
}

// Some kinds often, some never.
std::vector<FaultKind> DrawMix(Dice& dice, NodeKind nodes) {
  std::vector<FaultKind> mix;
  while (mix.size() < 3) {
    mix.clear();
    for (size_t kind = 0; kind < kFaultKinds; ++kind) {
      const auto fault = static_cast<FaultKind>(kind);
      if (!AppliesTo(fault, nodes) || IsDrawnApart(fault)) continue;
      const uint64_t weight = dice.OneIn(2) ? 0 : uint64_t{1} << dice.Below(4);
      mix.insert(mix.end(), weight, fault);
    }
  }
  return mix;
}

void DrawFaults(Dice& dice, Plan& plan) {
  const std::vector<FaultKind> mix = DrawMix(dice, plan.nodes);
  const size_t count = kFaultsMin + dice.Below(45);
  const auto longest = static_cast<int64_t>(1) << dice.Below(4);
  for (size_t i = 0; i < count; ++i) {
    Fault fault;
    fault.kind = dice.Pick(mix);
    fault.at = dice.Between(milliseconds(500), kFaultsLast - milliseconds(500));
    fault.length = dice.Between(plan.election_timeout() / 4, plan.election_timeout() * longest);
    fault.seed = dice.Next();
    plan.faults.push_back(fault);
  }
}

// What came later, of dice of its own: half of the seeds have none of it, and are what they were.
void DrawLaterFaults(Plan& plan) {
  Dice dice(plan.seed, /*stream=*/7);
  if (dice.OneIn(2)) return;
  const auto longest = static_cast<int64_t>(1) << dice.Below(4);
  for (size_t kind = 0; kind < kFaultKinds; ++kind) {
    const auto fault = static_cast<FaultKind>(kind);
    if (!IsDrawnApart(fault) || dice.OneIn(2)) continue;
    for (uint64_t left = 1 + dice.Below(8); left > 0; --left) {
      plan.faults.push_back(
          {.kind = fault,
           .at = dice.Between(milliseconds(500), kFaultsLast - milliseconds(500)),
           .length = dice.Between(plan.election_timeout() / 4, plan.election_timeout() * longest),
           .seed = dice.Next()});
    }
    plan.node.tears_near_end |= fault == FaultKind::kTornWrite;
    if (fault != FaultKind::kStateChanged) continue;
    // A changed state must not get into a snapshot, from which others would have it.
    plan.node.snapshot_log_bytes = NodeSettings().snapshot_log_bytes;
    plan.node.rot_one_in = 0;
    plan.node.comparison_interval = uint64_t{4} << dice.Below(5);
  }
  if (plan.node.tears_near_end) {
    // Files of the log are soon used again.
    plan.node.segment_bytes = kSegmentMin;
    if (plan.node.snapshot_log_bytes != NodeSettings().snapshot_log_bytes) {
      plan.node.snapshot_log_bytes = uint64_t{512} << dice.Below(2);
      plan.node.trailing_entries = 0;
    }
  }
  if (dice.OneIn(4)) plan.node.memory_spare_bytes = kMemoryMin + dice.Below(kMemorySpread);
}

void NumberFaults(Plan& plan) {
  std::stable_sort(plan.faults.begin(), plan.faults.end(),
                   [](const Fault& a, const Fault& b) { return a.at < b.at; });
  for (size_t i = 0; i < plan.faults.size(); ++i) plan.faults[i].number = i + 1;
}

// Log segments of a few kilobytes, so that many are begun and prepared.
void DrawReplicas(Dice& dice, Plan& plan) {
  const Duration timeout = plan.election_timeout();
  plan.node.segment_bytes = kSegmentMin << dice.Below(5);
  plan.node.tick = timeout / dice.Between(4, 10);
  plan.node.break_max = timeout * dice.Below(3);
  plan.interrupt_one_in = dice.OneIn(4) ? 0 : uint64_t{2} << dice.Below(6);
  plan.workload.stale_percent = dice.OneIn(2) ? 10 : 0;
  // Snapshots came later, and have dice of their own.
  Dice snapshots(plan.seed, /*stream=*/6);
  if (snapshots.OneIn(4)) return;
  plan.node.snapshot_log_bytes = uint64_t{512} << snapshots.Below(7);
  plan.node.trailing_entries = snapshots.OneIn(2) ? 0 : snapshots.Below(100);
  plan.node.rot_one_in = snapshots.OneIn(2) ? 0 : 1 + snapshots.Below(4);
}

}  // namespace

// A connection doubles and reorders nothing; cores' disks have no size.
bool AppliesTo(FaultKind fault, NodeKind nodes) {
  switch (fault) {
    case FaultKind::kDuplication:
    case FaultKind::kSnapshot:
      return nodes == NodeKind::kCores;
    case FaultKind::kDiskFull:
      return nodes == NodeKind::kReplicas;
    default:
      return nodes == NodeKind::kReplicas || !IsDrawnApart(fault);
  }
}

bool IsDrawnApart(FaultKind fault) {
  switch (fault) {
    case FaultKind::kSyncFails:
    case FaultKind::kSyncHangs:
    case FaultKind::kStateChanged:
    case FaultKind::kOldCopy:
    case FaultKind::kGracefulStop:
    case FaultKind::kTornWrite:
      return true;
    default:
      return false;
  }
}

Plan DrawPlan(uint64_t seed, NodeKind nodes) {
  Dice dice(seed, /*stream=*/nodes == NodeKind::kCores ? 0 : 3);
  Plan plan;
  plan.nodes = nodes;
  plan.seed = seed;
  plan.places = 3 + dice.Below(nodes == NodeKind::kCores ? 5 : 3);
  plan.voters =
      std::min<size_t>(plan.places, dice.OneIn(4) ? 1 + dice.Below(7) : 3 + dice.Below(3));
  plan.node.options = DrawOptions(dice);
  // This option came later. It has dice of its own, so that kept seeds still mean what they meant.
  if (Dice(seed, /*stream=*/2).OneIn(4)) plan.node.options.apply_entries_max = 1;
  const bool priorities = dice.OneIn(4);
  for (size_t i = 0; i < plan.places; ++i) {
    plan.rates_permille.push_back(DrawRate(dice, plan.node.options));
    // The first can always lead.
    const bool drawn = priorities && i > 0 && dice.OneIn(2);
    plan.priorities.push_back(drawn ? static_cast<uint32_t>(dice.Below(3))
                                    : raft::kPriorityDefault);
  }
  const std::array<std::pair<Duration, Duration>, 4> disks{{
      {microseconds(50), microseconds(500)},
      {milliseconds(1), milliseconds(5)},
      {milliseconds(5), milliseconds(40)},
      {microseconds(100), milliseconds(100)},
  }};
  std::tie(plan.node.disk_min, plan.node.disk_max) = disks[dice.Below(disks.size())];
  plan.node.timeout_spread_permille = dice.OneIn(plan.leases() ? 2 : 3) ? 60 : 1000;
  plan.network_min = microseconds(100);
  plan.network_max = dice.OneIn(3) ? milliseconds(20) : milliseconds(2);
  plan.turn_delay_max = dice.OneIn(2) ? Duration(0) : milliseconds(2);
  plan.noticed_percent = dice.OneIn(3) ? 0 : dice.Below(101);
  plan.workload = DrawWorkload(dice, plan.node.options);
  if (nodes == NodeKind::kReplicas) DrawReplicas(dice, plan);
  // As above: of dice of its own.
  plan.workload.sessions = nodes == NodeKind::kReplicas && Dice(seed, /*stream=*/5).OneIn(3);
  DrawFaults(dice, plan);
  if (nodes == NodeKind::kReplicas) DrawLaterFaults(plan);
  NumberFaults(plan);
  return plan;
}

std::string Describe(const Plan& plan) {
  std::array<size_t, kFaultKinds> counts{};
  for (const Fault& fault : plan.faults) ++counts[static_cast<size_t>(fault.kind)];
  std::string text = fmt::format(
      "{} {}, {} voters at first, election timeout {} ms{}, disk up to {} us, network up to {} "
      "us, {} clients{}, {} keys{}; {} faults:",
      plan.places, plan.nodes == NodeKind::kCores ? "nodes" : "replicas", plan.voters,
      plan.election_timeout().count() / 1'000'000, plan.leases() ? ", leases" : "",
      plan.node.disk_max.count() / 1000, plan.network_max.count() / 1000, plan.workload.clients,
      plan.workload.sessions ? " (sessions)" : "", plan.workload.keys,
      plan.node.memory_spare_bytes > 0 ? ", little memory" : "", plan.faults.size());
  for (size_t kind = 0; kind < kFaultKinds; ++kind) {
    if (counts[kind] > 0) text += fmt::format(" {} {}", counts[kind], kFaultNames[kind].substr(1));
  }
  return text;
}

}  // namespace mokv::sim
