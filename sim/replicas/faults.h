// Faults of a random schedule of replicas. Each schedule draws its own mix: some often, some never.
// Wiped disks and changes of the members never come together: then a request that was on its way
// for long could leave a cluster whose quorum is gone for good, which is nobody's fault.
//
// Threads: confined to the test's.
#pragma once

#include <set>
#include <string>

#include "replica/testing/cluster.h"
#include "sim/replicas/clients.h"

namespace mokv::sim {

class Faults {
 public:
  Faults(replica::testing::ReplicaCluster& cluster, Clients& clients, Random& random,
         const replica::testing::ClusterOptions& options, Counts& counts);

  // Between turns: some of the faults begin, others end.
  void Disturb();
  // Machines that have stopped in the middle of a write are dead from then on.
  void BuryStopped();
  // All faults end; whoever is down is started.
  void End();

  // Processes that stand still while their clocks go on.
  const std::set<std::string>& paused() const { return paused_; }
  // Machines that are about to stop.
  const std::set<std::string>& stopping() const { return stopping_; }
  // Sometimes nothing happens for long anywhere.
  bool jumps() const { return jumps_; }

 private:
  uint64_t Below(uint64_t bound) { return random_.Next() % bound; }
  bool OneIn(uint64_t n) { return n > 0 && Below(n) == 0; }
  std::string Any();
  std::string AnyUp();
  std::string LeaderOrAnyUp();

  void BeginSome();
  void EndSome();
  void Kill(const std::string& name);
  void RestartOne();
  void Cut();
  void CloseOne();
  void Hold();
  void StepClock();
  void Request(replica::AdminRequest request);
  void Transfer();
  void Change();
  void Wipe();
  void ReplaceWiped();

  replica::testing::ReplicaCluster& cluster_;
  Clients& clients_;
  Random& random_;
  Counts& counts_;
  bool leases_;
  std::set<std::string> paused_;
  std::set<std::string> stopping_;
  std::string wiped_;

  // One in so many; 0 never.
  uint64_t kill_ = 0;
  uint64_t kill_all_ = 0;
  uint64_t stop_ = 0;
  uint64_t stall_ = 0;
  uint64_t full_ = 0;
  uint64_t cut_ = 0;
  uint64_t close_ = 0;
  uint64_t hold_ = 0;
  uint64_t pause_ = 0;
  uint64_t clock_ = 0;
  uint64_t transfer_ = 0;
  uint64_t change_ = 0;
  uint64_t wipe_ = 0;
  bool jumps_ = false;
};

}  // namespace mokv::sim
