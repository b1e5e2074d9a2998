// Nemesis: what happens to replicas beyond crashes: their syncs fail or hang, their state is changed
// behind their back, their disk is an older copy again, or they are stopped with care.
#include <algorithm>
#include <memory>

#include "raft/testing/invariants.h"
#include "sim/nemesis.h"

namespace mokv::sim {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// A process that stops has this long for it before it is killed.
constexpr Duration kStopMax = seconds(6);
// Moments that are tried for putting a copy back.
constexpr int kPutBackTries = 40;

// The newest configuration of a disk, encoded; empty: none.
std::string ConfigurationOf(const raft::testing::Disk& disk) {
  for (auto entry = disk.entries.rbegin(); entry != disk.entries.rend(); ++entry) {
    if (entry->type == EntryType::kConfiguration) return std::string(entry->bytes());
  }
  return disk.snapshot.has_value() ? disk.snapshot->membership->Encode() : std::string();
}

}  // namespace

bool Nemesis::DoToReplica(const Fault& fault, Dice& dice) {
  const Place target = Target(dice, fault.kind == FaultKind::kOldCopy ? 0 : 50);
  Node& node = world_.node(target);
  const Duration timeout = plan_.election_timeout();
  switch (fault.kind) {
    case FaultKind::kSyncFails: {
      const uint64_t what = dice.Below(4);
      node.FailSync(what == 0   ? SyncOf::kSnapshots
                    : what == 1 ? SyncOf::kDirectories
                                : SyncOf::kLog);
      // Not all syncs come at once.
      Until(fault.length + 5 * timeout,
            [this, target] { world_.node(target).FailSync(std::nullopt); });
      return true;
    }
    case FaultKind::kSyncHangs:
      timeline_.Note(target, "its syncs hang");
      node.HangSyncs(true);
      Until(timeout * dice.Between(2, 6), [this, target] {
        timeline_.Note(target, "its syncs go on");
        world_.node(target).HangSyncs(false);
      });
      return true;
    case FaultKind::kStateChanged:
      if (!world_.up(target) || !MayLose(target)) return false;
      world_.Input(target, [this, target, seed = dice.Next()] {
        if (MayLose(target)) world_.node(target).ChangeState(seed);
      });
      return true;
    case FaultKind::kOldCopy:
      if (!world_.up(target) || SomebodyLacks() || !node.CopyDisk()) return false;
      timeline_.Note(target, "its disk is copied");
      world_.queue().After(fault.length,
                           [this, target, fault] { PutCopyBack(target, fault, kPutBackTries); });
      return true;
    case FaultKind::kGracefulStop:
      if (!world_.up(target)) return false;
      Stop(target, fault);
      return true;
    case FaultKind::kTornWrite:
      armed_.push_back({.moment = kWriteBegins,
                        .left = 1 + dice.Below(8),
                        .times = 2 + dice.Below(4),
                        .action = Action::kCrash,
                        .kept_permille = 500,
                        .length = std::min(fault.length, timeout),
                        .seed = dice.Next()});
      return true;
    default:
      return false;
  }
}

// Whether the others do without it, for good, and are all well themselves.
bool Nemesis::MayLose(Place place) const {
  for (Place other = 0; other < world_.places(); ++other) {
    if (world_.node(other).differs()) return false;
  }
  return !SomebodyLacks() && QuorumIsPossible(place);
}

bool Nemesis::SomebodyLacks() const {
  for (Place place = 0; place < world_.places(); ++place) {
    if (world_.node(place).lacks()) return true;
  }
  return false;
}

// Whether all that is promised in docs/raft.md, "Losses", holds if it is put back now: somebody else leads,
// and nothing is asked of this disk any more that the copy has forgotten. A majority of the voters has
// all that it had, without it; the configuration is the copy's; and nobody but the leader can
// stand in a term in which the copy's vote is free.
bool Nemesis::MayPutCopyBack(Place place) const {
  const raft::testing::Disk& now = *world_.node(place).disk();
  const raft::testing::Disk& copy = *world_.node(place).copy();
  const Place leader = world_.Leader();
  if (leader == kPlacesMax || leader == place || now.last().index <= copy.last().index)
    return false;
  const raft::Core& core = *world_.node(leader).core();
  const std::string configuration = core.membership()->Encode();
  if (core.membership()->joint() || ConfigurationOf(copy) != configuration ||
      ConfigurationOf(now) != configuration) {
    return false;
  }
  const auto term = [&](Place other) { return world_.node(other).disk()->hard_state.term; };
  for (Place other = 0; other < world_.places(); ++other) {
    if (world_.node(other).lacks() || world_.node(other).differs()) return false;
    const raft::NodeId id = members_[other].id;
    const bool stood = world_.node(other).disk()->hard_state.vote == raft::VoteText(id);
    if (stood && other != leader && term(other) >= copy.hard_state.term) return false;
    if (!core.membership()->Contains(id)) continue;
    const raft::Core* others = world_.node(other).core();
    if (term(other) != core.term() || (others != nullptr && others->term() != core.term())) {
      return false;
    }
  }
  return raft::testing::HeldByQuorum(*core.membership(), [&](raft::NodeId id) {
    const Place other = world_.PlaceOf(id);
    return other != place && other != kPlacesMax && world_.node(other).Holds(id, now.last());
  });
}

void Nemesis::PutCopyBack(Place place, const Fault& fault, int tries) {
  if (repaired_ || world_.node(place).copy() == nullptr) return;
  if (!world_.up(place) || !MayPutCopyBack(place)) {
    if (tries <= 1) return;
    world_.queue().After(plan_.election_timeout() / 8,
                         [this, place, fault, tries] { PutCopyBack(place, fault, tries - 1); });
    return;
  }
  Dice dice(fault.seed, 1);
  world_.Crash(place, 0, dice.Percent(plan_.noticed_percent));
  world_.node(place).PutCopyBack();
  Until(dice.OneIn(2) ? Duration(milliseconds(1)) : fault.length, [this, place] {
    if (!world_.up(place)) world_.Start(place);
  });
}

void Nemesis::Stop(Place place, const Fault& fault) {
  const auto end = [this, place, fault] {
    if (!world_.up(place) || !world_.node(place).stopping()) return;
    Dice dice(fault.seed, 1);
    Crash(place, 0, fault.length, dice);
  };
  world_.Input(place, [this, place, end] {
    // Not within the turn in which that is known.
    world_.node(place).Stop([this, end] { world_.queue().After(Duration(0), end); });
  });
  world_.queue().After(kStopMax, end);
}

// Whatever started the process starts it again, after a while.
void Nemesis::OnEnded(Place place) {
  world_.queue().After(Duration(0), [this, place] {
    if (!world_.up(place)) return;
    Dice dice(plan_.seed, /*stream=*/400 + ++ended_);
    Crash(place, 0, dice.Between(Duration(0), 4 * plan_.election_timeout()), dice);
  });
}

// An operator looks at it for a while, and then gives it another disk.
void Nemesis::OnFenced(Place place) {
  const uint64_t seed = plan_.seed ^ (++ended_ << 32);
  Dice dice(seed);
  const Duration length = dice.Between(seconds(1), seconds(8));
  Until(length, [this, place, length, seed] {
    // Unless it has one by now.
    if (!world_.node(place).differs()) return;
    Dice later(seed, 1);
    Wipe(place, {.length = length, .seed = seed}, later);
  });
}

}  // namespace mokv::sim
