#include "sim/nemesis.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace mokv::sim {

using std::chrono::microseconds;
using std::chrono::milliseconds;

Nemesis::Nemesis(const Plan& plan, World& world, Workload& workload, Timeline& timeline,
                 Coverage& coverage, std::vector<raft::Member>& members)
    : plan_(plan),
      world_(world),
      workload_(workload),
      timeline_(timeline),
      coverage_(coverage),
      members_(members) {}

void Nemesis::Schedule(const std::set<size_t>& without) {
  for (const Fault& fault : plan_.faults) {
    if (without.contains(fault.number)) continue;
    world_.queue().After(fault.at, [this, &fault] { Begin(fault); });
  }
}

void Nemesis::Begin(const Fault& fault) {
  if (repaired_) return;
  Dice dice(fault.seed);
  ++begun_;
  timeline_.Note(kPlacesMax, "*** fault {}: {}", fault.number,
                 kFaultTexts[static_cast<size_t>(fault.kind)]);
  if (Do(fault, dice)) ++coverage_.faults[static_cast<size_t>(fault.kind)];
}

// False if there was nothing to do it to.
bool Nemesis::Do(const Fault& fault, Dice& dice) {
  switch (fault.kind) {
    case FaultKind::kLoss:
    case FaultKind::kDuplication:
    case FaultKind::kDelay:
    case FaultKind::kReordering:
    case FaultKind::kCutOneWay:
    case FaultKind::kCutTwoWay:
    case FaultKind::kCutPartial:
    case FaultKind::kConnectionReset:
      return DoToNetwork(fault, dice);
    case FaultKind::kCrash:
    case FaultKind::kCrashAll:
    case FaultKind::kDiskStall:
    case FaultKind::kDiskSlow:
    case FaultKind::kDiskFull:
    case FaultKind::kClockRate:
    case FaultKind::kClockJump:
    case FaultKind::kPause:
    case FaultKind::kSnapshot:
      return DoToNode(fault, dice);
    case FaultKind::kChange:
    case FaultKind::kReplace:
    case FaultKind::kWipe:
    case FaultKind::kRemoveUnheard:
    case FaultKind::kTransfer:
      return DoToMembers(fault, dice);
    case FaultKind::kSyncFails:
    case FaultKind::kSyncHangs:
    case FaultKind::kStateChanged:
    case FaultKind::kOldCopy:
    case FaultKind::kGracefulStop:
    case FaultKind::kTornWrite:
      return DoToReplica(fault, dice);
    case FaultKind::kTrigger:
      Arm(fault, dice);
      return true;
    case FaultKind::kLeftBehind:
      LeaveBehind(Target(dice, 10), fault, dice);
      return true;
    case FaultKind::kOverrule:
    case FaultKind::kProbeLeader: {
      const Place leader = Leader(dice);
      if (leader == kPlacesMax) return false;
      if (fault.kind == FaultKind::kOverrule) {
        Overrule(leader, fault, dice);
      } else {
        ProbeLeader(leader, fault, dice);
      }
      return true;
    }
  }
  MOKV_CHECK(false);
}

bool Nemesis::DoToNetwork(const Fault& fault, Dice& dice) {
  const Place target = Target(dice, 50);
  const bool everywhere = dice.OneIn(2);
  const Links some = everywhere ? AllLinks() : LinksOf(target, dice.OneIn(2), true);
  const Duration timeout = plan_.election_timeout();
  switch (fault.kind) {
    case FaultKind::kLoss:
      Disturb(some, {.loss = static_cast<int>(dice.Between(20, 600))}, fault.length);
      return true;
    case FaultKind::kDuplication:
      Disturb(some, {.duplication = static_cast<int>(dice.Between(50, 600))}, fault.length);
      return true;
    case FaultKind::kDelay:
      Disturb(some, {.delay = dice.Between(timeout / 50, everywhere ? timeout / 4 : 2 * timeout)},
              fault.length);
      return true;
    case FaultKind::kReordering:
      Disturb(some, {.jitter = dice.Between(timeout / 50, timeout / (everywhere ? 3 : 1))},
              fault.length);
      return true;
    case FaultKind::kCutOneWay: {
      Links links = LinksOf(target, everywhere, !everywhere);
      if (dice.OneIn(3)) std::erase_if(links, [&](const auto&) { return dice.OneIn(2); });
      Disturb(links, {.cut = true}, fault.length);
      return true;
    }
    case FaultKind::kCutTwoWay:
      Disturb(dice.OneIn(2) ? LinksOf(target, true, true) : SplitLinks(dice), {.cut = true},
              fault.length);
      return true;
    case FaultKind::kCutPartial: {
      const Place other = (target + 1 + dice.Below(world_.places() - 1)) % world_.places();
      Disturb({{target, other}, {other, target}}, {.cut = true}, fault.length);
      return true;
    }
    case FaultKind::kConnectionReset:
      for (Place place = 0; place < world_.places(); ++place) {
        if (place != target && !dice.OneIn(4)) world_.ResetConnection(target, place);
      }
      return true;
    default:
      return false;
  }
}

bool Nemesis::DoToNode(const Fault& fault, Dice& dice) {
  const Place target = Target(dice, fault.kind == FaultKind::kSnapshot ? 70 : 50);
  switch (fault.kind) {
    case FaultKind::kCrash:
      if (!world_.up(target)) return false;
      Crash(target, dice.OneIn(2) ? 0 : dice.Below(1001), fault.length, dice);
      return true;
    case FaultKind::kCrashAll:
      for (Place place = 0; place < world_.places(); ++place) {
        if (world_.up(place))
          Crash(place, dice.OneIn(2) ? 0 : dice.Below(1001), fault.length, dice);
      }
      return true;
    case FaultKind::kDiskStall:
      timeline_.Note(target, "its disk stalls");
      world_.node(target).StallDisk(true);
      Until(fault.length, [this, target] { world_.node(target).StallDisk(false); });
      return true;
    case FaultKind::kDiskSlow: {
      const Duration by = dice.Between(milliseconds(5), plan_.election_timeout() / 2);
      timeline_.Note(target, "its disk is slower by {} ms", by.count() / 1'000'000);
      world_.node(target).SlowDisk(by);
      Until(fault.length, [this, target, by] { world_.node(target).SlowDisk(-by); });
      return true;
    }
    case FaultKind::kDiskFull: {
      const uint64_t spare = dice.Below(4096);
      timeline_.Note(target, "its disk has room for {} bytes more", spare);
      world_.node(target).FillDisk(spare);
      Until(fault.length, [this, target] { world_.node(target).FillDisk(std::nullopt); });
      return true;
    }
    case FaultKind::kClockRate: {
      const int64_t fastest =
          plan_.leases() ? 1000 + 10 * plan_.node.options.clock_drift_percent_max : 1400;
      world_.SetClockRate(target, dice.OneIn(2) ? fastest : dice.Between(1000, fastest));
      return true;
    }
    case FaultKind::kClockJump:
      // Leases rest on the monotonic clock, which does not jump while a process lives.
      if (plan_.leases()) return false;
      world_.JumpClock(target, dice.Between(milliseconds(1), 3 * plan_.election_timeout()));
      return true;
    case FaultKind::kPause:
      Pause(target, fault.length);
      return true;
    case FaultKind::kSnapshot: {
      if (!world_.up(target)) return false;
      const uint64_t trailing = dice.OneIn(4) ? UINT64_MAX : dice.Below(6);
      world_.Input(target,
                   [this, target, trailing] { world_.node(target).TakeSnapshot(trailing); });
      return true;
    }
    default:
      return false;
  }
}

void Nemesis::Until(Duration length, std::function<void()> undo) {
  const uint64_t number = ++undo_number_;
  undos_[number] = std::move(undo);
  world_.queue().After(length, [this, number] {
    const auto found = undos_.find(number);
    if (found == undos_.end()) return;
    const std::function<void()> action = std::move(found->second);
    undos_.erase(found);
    action();
  });
}

void Nemesis::Disturb(const Links& links, const Disturbance& disturbance, Duration length) {
  if (timeline_.on()) {
    std::string text;
    for (const auto& [from, to] : links) {
      text += fmt::format(" {}->{}", world_.name(from), world_.name(to));
    }
    timeline_.Note(kPlacesMax, "for {} ms{}{}{}{}{}{}:{}", length.count() / 1'000'000,
                   disturbance.cut ? " cut" : "",
                   disturbance.loss > 0 ? fmt::format(" loses {} permille", disturbance.loss) : "",
                   disturbance.duplication > 0
                       ? fmt::format(" duplicates {} permille", disturbance.duplication)
                       : "",
                   disturbance.delay > Duration(0)
                       ? fmt::format(" delays {} ms", disturbance.delay.count() / 1'000'000)
                       : "",
                   disturbance.jitter > Duration(0)
                       ? fmt::format(" jitters {} ms", disturbance.jitter.count() / 1'000'000)
                       : "",
                   disturbance.echo > Duration(0)
                       ? fmt::format(" again after {} ms", disturbance.echo.count() / 1'000'000)
                       : "",
                   text);
  }
  for (const auto& [from, to] : links) world_.network().Add(from, to, disturbance);
  Until(length, [this, links, disturbance] {
    for (const auto& [from, to] : links) world_.network().Remove(from, to, disturbance);
  });
}

Nemesis::Links Nemesis::LinksOf(Place place, bool out, bool in) const {
  Links links;
  for (Place other = 0; other < world_.places(); ++other) {
    if (other == place) continue;
    if (out) links.emplace_back(place, other);
    if (in) links.emplace_back(other, place);
  }
  return links;
}

Nemesis::Links Nemesis::AllLinks() const {
  Links links;
  for (Place place = 0; place < world_.places(); ++place) {
    for (const auto& link : LinksOf(place, true, false)) links.push_back(link);
  }
  return links;
}

Nemesis::Links Nemesis::SplitLinks(Dice& dice) const {
  std::vector<bool> side(world_.places());
  for (size_t i = 0; i < side.size(); ++i) side[i] = dice.OneIn(2);
  Links links;
  for (const auto& [from, to] : AllLinks()) {
    if (side[from] != side[to]) links.emplace_back(from, to);
  }
  return links;
}

void Nemesis::Crash(Place place, uint64_t kept_permille, Duration length, Dice& dice) {
  world_.Crash(place, kept_permille, dice.Percent(plan_.noticed_percent));
  Until(length, [this, place] {
    if (!world_.up(place)) world_.Start(place);
  });
}

void Nemesis::Pause(Place place, Duration length) {
  timeline_.Note(place, "pauses for {} ms", length.count() / 1'000'000);
  world_.Pause(place);
  Until(length, [this, place] {
    timeline_.Note(place, "wakes up");
    world_.Resume(place);
  });
}

// A moment that chance would seldom hit: just when a message of some kind leaves, or a write
// begins.
void Nemesis::Arm(const Fault& fault, Dice& dice) {
  Armed armed{.moment = dice.Below(kMoments),
              .left = 1 + dice.Below(3),
              .times = 1 + dice.Below(4),
              .sender = dice.OneIn(2),
              .action = static_cast<Action>(dice.Below(static_cast<uint64_t>(Action::kCount))),
              .length = fault.length,
              .seed = dice.Next()};
  if (armed.moment == kWriteBegins && dice.OneIn(2)) armed.action = Action::kCrash;
  if (armed.moment == kNewLeader && dice.OneIn(2)) armed.action = Action::kChange;
  if (armed.moment == kConfigurationLeaves && dice.OneIn(2)) {
    armed.action = Action::kCut;
    armed.sender = true;
  }
  armed_.push_back(armed);
}

void Nemesis::OnSend(Place from, Place to, const raft::Message& message) {
  if (armed_.empty() || repaired_) return;
  const auto* append = std::get_if<raft::Append>(&message.body);
  if (append == nullptr) return OnMoment(message.body.index(), from, to);
  if (append->entries == nullptr) return;
  if (message.term > led_[from]) {
    led_[from] = message.term;
    OnMoment(kNewLeader, from, to);
  }
  const auto is_configuration = [](const Entry& entry) {
    return entry.type == EntryType::kConfiguration;
  };
  if (std::any_of(append->entries->begin(), append->entries->end(), is_configuration)) {
    OnMoment(kConfigurationLeaves, from, to);
  }
  OnMoment(message.body.index(), from, to);
}

void Nemesis::OnWrite(Place place) {
  if (!armed_.empty() && !repaired_) OnMoment(kWriteBegins, place, place);
}

void Nemesis::OnMoment(size_t moment, Place from, Place to) {
  for (size_t i = 0; i < armed_.size();) {
    Armed& armed = armed_[i];
    if (armed.moment != moment || --armed.left > 0) {
      ++i;
      continue;
    }
    // After the turn in which it happens.
    world_.queue().After(Duration(0), [this, armed, victim = armed.sender ? from : to] {
      if (!repaired_) Fire(armed, victim);
    });
    armed.left = 1 + armed.seed % 5;
    if (--armed.times == 0) {
      armed_.erase(armed_.begin() + static_cast<ptrdiff_t>(i));
    } else {
      ++i;
    }
  }
}

void Nemesis::Fire(const Armed& armed, Place victim) {
  Dice dice(armed.seed, armed.times);
  if (timeline_.on()) {
    timeline_.Note(victim, "*** the moment has come: {}",
                   armed.moment < kMessageKinds   ? kMessageNames[armed.moment]
                   : armed.moment == kWriteBegins ? "a write begins"
                   : armed.moment == kNewLeader   ? "a new leader"
                                                  : "a configuration leaves");
  }
  switch (armed.action) {
    case Action::kCrash:
      if (world_.up(victim)) Crash(victim, armed.kept_permille, armed.length, dice);
      return;
    case Action::kPause:
      return Pause(victim, armed.length);
    case Action::kCut:
      return Disturb(LinksOf(victim, true, true), {.cut = true}, armed.length);
    case Action::kCutOut:
      return Disturb(LinksOf(victim, true, false), {.cut = true}, armed.length);
    case Action::kCutIn:
      return Disturb(LinksOf(victim, false, true), {.cut = true}, armed.length);
    case Action::kChange:
      return RandomChange(dice);
    case Action::kTransfer:
      return world_.Input(victim, [this, victim] { world_.node(victim).Transfer(raft::NodeId()); });
    case Action::kSnapshot:
      return AskForSnapshot(victim, 0);
    case Action::kCount:
      break;
  }
  MOKV_CHECK(false);
}

void Nemesis::AskForSnapshot(Place place, uint64_t trailing) {
  world_.Input(place, [this, place, trailing] { world_.node(place).TakeSnapshot(trailing); });
}

// Cuts a place off until what it lacks is in a snapshot only. While the snapshot arrives, perhaps
// twice and late, more happens.
void Nemesis::LeaveBehind(Place place, const Fault& fault, Dice& dice) {
  const Duration length = std::max(fault.length, plan_.election_timeout());
  Disturb(LinksOf(place, dice.OneIn(2), true), {.cut = true}, length);
  world_.queue().After(length * 9 / 10, [this, place] {
    for (Place other = 0; other < world_.places(); ++other) {
      if (other != place && !repaired_) AskForSnapshot(other, 0);
    }
  });
  if (dice.OneIn(2)) {
    Disturb(LinksOf(place, false, true),
            {.duplication = 500, .jitter = plan_.election_timeout() / 8},
            length + plan_.election_timeout());
  }
  const uint64_t then = dice.Below(4);
  if (then > 1) return;
  const Duration moment = length + dice.Between(Duration(0), plan_.election_timeout() / 2);
  world_.queue().After(moment, [this, place, then, fault]() {
    if (repaired_) return;
    Dice later(fault.seed, 1);
    if (then == 0 && world_.up(place)) Crash(place, 0, fault.length, later);
    if (then == 1) RandomChange(later);
  });
}

// The classical way to a stale read: a leader that nobody follows any more does not know it yet,
// because earlier answers are still under way, or because it has a lease, or because it sleeps.
// Clients ask this leader all the time, and write to the others.
void Nemesis::ProbeLeader(Place leader, const Fault& fault, Dice& dice) {
  const Duration timeout = plan_.election_timeout();
  const Duration length = timeout * dice.Between(2, 5);
  const bool transfer = dice.OneIn(4);
  // At the edge of what leases allow: its clock is the slowest, the others' are the fastest.
  const bool edge = plan_.leases() && dice.OneIn(2);
  const uint64_t how = edge ? 2 * dice.Below(2) : dice.Below(4);
  for (Place place = 0; edge && place < world_.places(); ++place) {
    const int64_t fastest = 1000 + 10 * plan_.node.options.clock_drift_percent_max;
    world_.SetClockRate(place, place == leader ? 1000 : fastest);
  }
  Duration lead{0};
  if (!edge && dice.OneIn(2)) {
    const Duration lag = dice.OneIn(2) ? dice.Between(timeout / 10, timeout)
                                       : dice.Between(timeout, timeout * 5 / 2);
    Disturb(LinksOf(leader, false, true), {.delay = lag}, lag + length);
    lead = lag + plan_.node.options.heartbeat_interval;
  }
  const Duration moment = dice.Between(Duration(0), plan_.node.options.heartbeat_interval);
  const Duration after_transfer = dice.Between(Duration(0), milliseconds(5));
  workload_.Focus(leader, lead + moment + length, /*writes=*/false);
  if (transfer) {
    world_.queue().After(lead, [this, leader] {
      world_.Input(leader, [this, leader] { world_.node(leader).Transfer(raft::NodeId()); });
    });
  }
  world_.queue().After(lead + (transfer ? after_transfer : moment),
                       [this, leader, how, transfer, length, number = fault.number] {
                         if (repaired_) return;
                         timeline_.Note(leader, "*** fault {}: cut off now", number);
                         if (how == 3 && !transfer) return Pause(leader, length);
                         const bool out = how != 1 && !transfer;
                         Disturb(LinksOf(leader, out, how != 0 || transfer), {.cut = true}, length);
                       });
}

// A leader is left with one companion, and what it appends is overruled by the others' leader. Then
// the old leader is heard again and made leader once more. Its companion is cut off, but what that
// companion acknowledged long ago arrives now.
void Nemesis::Overrule(Place leader, const Fault& fault, Dice& dice) {
  const Duration timeout = plan_.election_timeout();
  const Duration alone = timeout * dice.Between(2, 4);
  const Place companion = (leader + 1 + dice.Below(world_.places() - 1)) % world_.places();
  Links around;
  for (const auto& [from, to] : AllLinks()) {
    const bool inside = from == leader || from == companion;
    if (inside != (to == leader || to == companion)) around.emplace_back(from, to);
  }
  workload_.Focus(leader, alone / 2, /*writes=*/true);
  if (dice.OneIn(2)) RandomChange(dice);
  Disturb(around, {.cut = true}, alone);
  Disturb({{companion, leader}}, {.echo = alone + dice.Between(timeout / 4, 3 * timeout)},
          alone / 2);
  world_.queue().After(alone - milliseconds(1), [this, leader, companion, fault, timeout] {
    if (repaired_) return;
    const Links to_companion = LinksOf(companion, false, true);
    Disturb(to_companion, {.cut = true}, fault.length + 3 * timeout);
    for (int64_t i = 1; i <= 4; ++i) {
      world_.queue().After(i * timeout / 4, [this, leader] {
        const Place newest = world_.Leader();
        if (repaired_ || newest == leader || newest == kPlacesMax || !world_.up(newest)) return;
        world_.Input(newest,
                     [this, newest, leader] { world_.node(newest).Transfer(members_[leader].id); });
      });
    }
  });
}

void Nemesis::Repair() {
  repaired_ = true;
  armed_.clear();
  const std::map<uint64_t, std::function<void()>> undos = std::exchange(undos_, {});
  for (const auto& [number, undo] : undos) undo();
  for (Place place = 0; place < world_.places(); ++place) {
    if (!world_.up(place)) world_.Start(place);
    world_.SetClockRate(place, plan_.leases() ? world_.clock(place).rate_permille() : 1000);
  }
  timeline_.Note(kPlacesMax, "*** all is repaired");
}

Place Nemesis::Leader(Dice& dice) const {
  const Place newest = world_.Leader();
  if (newest == kPlacesMax || !dice.OneIn(8)) return newest;
  // Perhaps an old one that does not know it yet.
  for (Place place = 0; place < world_.places(); ++place) {
    const raft::Core* core = world_.node(place).core();
    if (core != nullptr && core->role() == raft::Role::kLeader) return place;
  }
  return newest;
}

Place Nemesis::Target(Dice& dice, uint64_t leader_percent) const {
  const Place leader = Leader(dice);
  if (leader != kPlacesMax && dice.Percent(leader_percent)) return leader;
  return dice.Below(world_.places());
}

}  // namespace mokv::sim
