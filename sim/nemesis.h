// Nemesis: does the plan's faults to the world when their time comes, takes each back after its
// length, and in the end repairs whatever is left. Whom a fault hits is decided when it begins,
// since most of them hurt most where the leader is.
//
// Threads: confined to the run's. Borrows everything it is given for its life.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <vector>

#include "sim/plan.h"
#include "sim/workload.h"
#include "sim/world.h"

namespace mokv::sim {

class Nemesis {
 public:
  // `members`: who the places' nodes are; kept up to date when disks are wiped.
  Nemesis(const Plan& plan, World& world, Workload& workload, Timeline& timeline,
          Coverage& coverage, std::vector<raft::Member>& members);

  // All faults but those `without`.
  void Schedule(const std::set<size_t>& without);
  // To be told of every message that leaves.
  void OnSend(Place from, Place to, const raft::Message& message);
  // And of every write that is given to a disk.
  void OnWrite(Place place);
  // Of a process that must end, and of a node whose disk must not be started from again.
  void OnEnded(Place place);
  void OnFenced(Place place);
  // Faults stop: links, disks and clocks are as they should be, and everybody is up.
  void Repair();
  size_t begun() const { return begun_; }
  // Whether, in every configuration in effect, there can still be a majority that is alive and may
  // lead. Wiped disks, states that differ and members that are never to lead may leave none.
  bool QuorumIsPossible(Place without = kPlacesMax) const;

 private:
  // Moments that triggers wait for: a message of some kind leaves (its index), or one of these.
  enum Moment : size_t { kWriteBegins = kMessageKinds, kNewLeader, kConfigurationLeaves, kMoments };
  enum class Action {
    kCrash,
    kPause,
    kCut,
    kCutOut,
    kCutIn,
    kChange,
    kTransfer,
    kSnapshot,
    kCount
  };
  struct Armed {
    size_t moment = 0;
    uint64_t left = 0;   // Occurrences until it fires.
    uint64_t times = 1;  // How often it fires.
    bool sender = false;
    Action action = Action::kCrash;
    uint64_t kept_permille = 0;  // Of a crash.
    Duration length{0};
    uint64_t seed = 0;
  };
  using Links = std::vector<std::pair<Place, Place>>;

  void Begin(const Fault& fault);
  bool Do(const Fault& fault, Dice& dice);
  bool DoToNetwork(const Fault& fault, Dice& dice);
  bool DoToNode(const Fault& fault, Dice& dice);
  bool DoToMembers(const Fault& fault, Dice& dice);
  bool DoToReplica(const Fault& fault, Dice& dice);
  // What takes the fault back; called once, after its length or by Repair.
  void Until(Duration length, std::function<void()> undo);

  void Disturb(const Links& links, const Disturbance& disturbance, Duration length);
  Links LinksOf(Place place, bool out, bool in) const;
  Links AllLinks() const;
  Links SplitLinks(Dice& dice) const;

  void Crash(Place place, uint64_t kept_permille, Duration length, Dice& dice);
  void Pause(Place place, Duration length);
  void Arm(const Fault& fault, Dice& dice);
  void OnMoment(size_t moment, Place from, Place to);
  void Fire(const Armed& armed, Place victim);
  void LeaveBehind(Place place, const Fault& fault, Dice& dice);
  void AskForSnapshot(Place place, uint64_t trailing);
  void ProbeLeader(Place leader, const Fault& fault, Dice& dice);
  void Overrule(Place leader, const Fault& fault, Dice& dice);
  void Wipe(Place place, const Fault& fault, Dice& dice);
  bool MayLose(Place place) const;
  bool SomebodyLacks() const;
  bool MayPutCopyBack(Place place) const;
  void PutCopyBack(Place place, const Fault& fault, int tries);
  void Stop(Place place, const Fault& fault);
  void RandomChange(Dice& dice);
  // Asks whoever leads, again after a while if that was in vain.
  void Request(std::function<std::vector<raft::MemberChange>(const raft::Membership&)> changes,
               int tries);

  Place Leader(Dice& dice) const;
  // The leader with a chance of `leader_percent`, or anybody.
  Place Target(Dice& dice, uint64_t leader_percent) const;

  const Plan& plan_;
  World& world_;
  Workload& workload_;
  Timeline& timeline_;
  Coverage& coverage_;
  std::vector<raft::Member>& members_;
  std::map<uint64_t, std::function<void()>> undos_;
  uint64_t undo_number_ = 0;
  std::vector<Armed> armed_;
  std::array<Term, kPlacesMax> led_{};  // The newest term in which a place was seen to lead.
  size_t begun_ = 0;
  uint64_t wiped_ = 0;
  uint64_t ended_ = 0;  // By themselves.
  bool repaired_ = false;
};

}  // namespace mokv::sim
