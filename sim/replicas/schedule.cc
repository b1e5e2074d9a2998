#include "sim/replicas/schedule.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

#include "sim/replicas/faults.h"
#include "sim/replicas/verdict.h"

namespace mokv::sim {
namespace {

using replica::testing::ClusterOptions;
using replica::testing::NodeLife;
using replica::testing::ReplicaCluster;
using std::chrono::milliseconds;

constexpr Duration kTick = milliseconds(20);
// Turns that others interrupt may be inside each other so deep.
constexpr int kDepthMax = 2;

// What is drawn before anything happens. Times are short, as a schedule is.
ClusterOptions DrawOptions(Random& random) {
  const auto below = [&](uint64_t bound) { return random.Next() % bound; };
  ClusterOptions options;
  options.nodes = below(3) == 0 ? 5 : 3;
  options.life.raft.lease_reads = below(2) == 0;
  options.life.raft.election_timeout = milliseconds(100);
  options.life.raft.heartbeat_interval = milliseconds(20);
  options.life.raft.persist_stall_max = milliseconds(below(3) == 0 ? 60'000 : 150);
  options.life.segment_bytes = uint64_t{2048} << below(4);
  if (below(4) == 0) options.life.raft.apply_entries_max = 1;
  options.life.seed = random.Next();
  options.tick = kTick;
  options.own_clocks = true;
  return options;
}

class Schedule {
 public:
  explicit Schedule(uint64_t seed)
      : random_(seed),
        options_(DrawOptions(random_)),
        cluster_(options_),
        clients_(cluster_, random_, 1 + Below(4), result_.counts),
        faults_(cluster_, clients_, random_, options_, result_.counts),
        disturb_one_in_(uint64_t{20} << Below(4)),
        interrupt_one_in_(Below(4) == 0 ? 0 : uint64_t{4} << Below(4)) {}

  ScheduleResult Run(int steps) {
    Begin();
    for (int i = 0; i < steps && ok(); ++i) {
      Step();
      if (Below(disturb_one_in_) == 0) faults_.Disturb();
      faults_.BuryStopped();
      Check();
    }
    cluster_.set_on_send(nullptr);
    clients_.set_on_answer(nullptr);
    faults_.End();
    result_.simulated = cluster_.clock().now - began_;
    if (ok()) violation_ = Judge(cluster_, clients_, result_);
    result_.violation = violation_;
    result_.fingerprint = clients_.fingerprint();
    return result_;
  }

 private:
  uint64_t Below(uint64_t bound) { return random_.Next() % bound; }
  bool ok() const { return violation_.empty(); }

  void Begin() {
    cluster_.Form();
    began_ = cluster_.clock().now;
    for (const std::string& name : cluster_.names()) {
      // Within the drift that leases allow for.
      cluster_.SetClockPercent(name, 96 + static_cast<int>(Below(9)));
    }
    next_tick_ = cluster_.clock().now;
    cluster_.set_on_send([this](const std::string& name, const auto&) { Interrupt(name); });
    clients_.set_on_answer([this](const std::string& name) { Interrupt(name); });
  }

  // One thing happens to somebody.
  void Step() {
    const uint64_t what = Below(100);
    if (what < 45) {
      if (Deliver()) return;
    } else if (what < 75) {
      if (RunTask()) return;
    } else if (what < 86) {
      return clients_.Ask();
    }
    if (in_turn_.empty() || what == 99) PassTime();
  }

  bool Deliver() {
    std::set<std::string> deaf = in_turn_;
    deaf.insert(faults_.paused().begin(), faults_.paused().end());
    return cluster_.DeliverAny(Below(1000), deaf);
  }

  // Of the replica's thread, the log's or the background's.
  bool RunTask() {
    const std::vector<std::string> names = cluster_.names();
    const size_t first = Below(names.size());
    for (size_t i = 0; i < names.size(); ++i) {
      const std::string& name = names[(first + i) % names.size()];
      if (!cluster_.IsUp(name) || faults_.paused().contains(name)) continue;
      NodeLife& life = cluster_.life(name);
      const uint64_t which = Below(3);
      for (uint64_t j = 0; j < 3; ++j) {
        if (RunTaskOf(name, life, (which + j) % 3)) return true;
      }
    }
    return false;
  }

  bool RunTaskOf(const std::string& name, NodeLife& life, uint64_t which) {
    if (which == 0) return !in_turn_.contains(name) && life.replica_thread.RunOne();
    if (which == 1) return !life.disk_stalls && life.log_thread.RunOne();
    return life.background.RunOne();
  }

  void PassTime() {
    cluster_.Advance(std::chrono::microseconds(Below(8000)));
    if (faults_.jumps() && Below(60) == 0) cluster_.Advance(milliseconds(Below(250)));
    // What may be read before anybody has noticed.
    clients_.CheckLeases();
    const bool tick = cluster_.clock().now >= next_tick_;
    if (tick) next_tick_ = cluster_.clock().now + kTick;
    for (const std::string& name : cluster_.names()) {
      if (!cluster_.IsUp(name) || faults_.paused().contains(name) || in_turn_.contains(name)) {
        continue;
      }
      if (Below(4) != 0) cluster_.life(name).RingAlarm();
      if (tick && Below(8) != 0) cluster_.replica(name).Tick();
    }
    clients_.GiveUp();
  }

  // In the middle of a turn of `name` its thread has to wait while others go on.
  void Interrupt(const std::string& name) {
    Check();
    if (interrupt_one_in_ == 0 || Below(interrupt_one_in_) != 0) return;
    if (in_turn_.size() >= kDepthMax || in_turn_.contains(name)) return;
    ++result_.counts["turns interrupted"];
    in_turn_.insert(name);
    // Sometimes long enough for another leader.
    for (uint64_t steps = Below(Below(4) == 0 ? 400 : 40); steps > 0 && ok(); --steps) {
      Step();
      Check();
    }
    in_turn_.erase(name);
  }

  void Check() {
    clients_.CheckLeases();
    if (ok()) violation_ = clients_.violation();
    if (ok()) violation_ = FatalOf(cluster_, faults_.stopping());
  }

  SeededRandom random_;
  ClusterOptions options_;
  ScheduleResult result_;
  ReplicaCluster cluster_;
  Clients clients_;
  Faults faults_;
  uint64_t disturb_one_in_;
  uint64_t interrupt_one_in_;  // 0: whole turns only.
  std::set<std::string> in_turn_;
  MonotonicTime began_;
  MonotonicTime next_tick_;
  std::string violation_;
};

}  // namespace

ScheduleResult RunReplicaSchedule(uint64_t seed, int steps) { return Schedule(seed).Run(steps); }

}  // namespace mokv::sim
