// Nemesis: what operators and disks do to the membership.
#include <fmt/format.h>

#include <algorithm>

#include "sim/nemesis.h"

namespace mokv::sim {

using raft::MemberChange;
using raft::Membership;

namespace {

using Kind = MemberChange::Kind;

}  // namespace

bool Nemesis::DoToMembers(const Fault& fault, Dice& dice) {
  const Place leader = Leader(dice);
  if (leader == kPlacesMax) return false;
  const Membership& now = *world_.node(leader).core()->membership();
  const Place place = dice.Below(world_.places());
  switch (fault.kind) {
    case FaultKind::kChange:
      RandomChange(dice);
      // Often a second change follows at once.
      if (dice.OneIn(3)) RandomChange(dice);
      return true;
    case FaultKind::kReplace: {
      const Place other = (place + 1 + dice.Below(world_.places() - 1)) % world_.places();
      if (!now.IsVoter(members_[place].id) || now.Contains(members_[other].id)) return false;
      raft::Member joins = members_[other];
      joins.promote_when_caught_up = dice.OneIn(2);
      std::vector<MemberChange> changes = {{.kind = Kind::kRemove, .member = members_[place]},
                                           {.kind = Kind::kAddLearner, .member = joins}};
      if (!joins.promote_when_caught_up)
        changes.push_back({.kind = Kind::kPromote, .member = joins});
      Request([changes](const Membership&) { return changes; }, 2);
      return true;
    }
    case FaultKind::kRemoveUnheard: {
      if (place == leader || !now.IsVoter(members_[place].id) || now.voters().size() < 3) {
        return false;
      }
      Disturb(LinksOf(place, true, true), {.cut = true},
              fault.length + 3 * plan_.election_timeout());
      const raft::Member member = members_[place];
      Request(
          [member](const Membership&) {
            return std::vector<MemberChange>{{.kind = Kind::kRemove, .member = member}};
          },
          3);
      return true;
    }
    case FaultKind::kWipe:
      // A majority of disks is beyond what a cluster survives.
      if (!world_.up(place) || !QuorumIsPossible(place) || SomebodyLacks()) return false;
      Wipe(place, fault, dice);
      return true;
    case FaultKind::kTransfer: {
      const raft::NodeId target = dice.OneIn(2) ? raft::NodeId() : members_[place].id;
      world_.Input(leader, [this, leader, target] { world_.node(leader).Transfer(target); });
      return true;
    }
    default:
      return false;
  }
}

// The disk is replaced under the same name; later an operator puts the new node in the old one's
// place.
void Nemesis::Wipe(Place place, const Fault& fault, Dice& dice) {
  const raft::Member old = members_[place];
  if (world_.up(place)) world_.Crash(place, 0, dice.Percent(plan_.noticed_percent));
  raft::Member& member = members_[place];
  member.instance_id = fmt::format("disk-{}-{}", place, ++wiped_);
  member.id = raft::NodeIdOf(member.name, member.instance_id);
  world_.Wipe(place, member);
  timeline_.Note(place, "has an empty disk, and is {} now", member.id);
  const Duration down = dice.OneIn(2) ? Duration(std::chrono::milliseconds(1)) : fault.length;
  Until(down, [this, place] {
    if (!world_.up(place)) world_.Start(place);
  });
  if (dice.OneIn(4)) return;
  world_.queue().After(down + fault.length, [this, old, joins = member]() mutable {
    joins.promote_when_caught_up = true;
    Request(
        [old, joins](const Membership& now) {
          std::vector<MemberChange> changes;
          if (now.Contains(old.id)) changes.push_back({.kind = Kind::kRemove, .member = old});
          if (!now.Contains(joins.id)) {
            changes.push_back({.kind = Kind::kAddLearner, .member = joins});
          }
          return changes;
        },
        20);
  });
}

void Nemesis::RandomChange(Dice& dice) {
  const uint64_t count = 1 + dice.Below(2);
  std::vector<std::pair<Place, uint64_t>> drawn;
  for (uint64_t i = 0; i < count; ++i) drawn.emplace_back(dice.Below(world_.places()), dice.Next());
  Request(
      [this, drawn](const Membership& now) {
        std::vector<MemberChange> changes;
        for (const auto& [place, seed] : drawn) {
          Dice choice(seed);
          raft::Member member = members_[place];
          member.promote_when_caught_up = choice.OneIn(2);
          Kind kind = Kind::kAddLearner;
          if (now.IsLearner(member.id)) {
            kind = choice.OneIn(2) ? Kind::kPromote : Kind::kRemove;
          } else if (now.IsVoter(member.id)) {
            kind = choice.OneIn(2) ? Kind::kDemote : Kind::kRemove;
          }
          if (now.Contains(member.id) && choice.OneIn(4)) {
            kind = Kind::kUpdate;
            member.priority = static_cast<uint32_t>(choice.Below(3));
          }
          changes.push_back({.kind = kind, .member = member});
        }
        return changes;
      },
      1);
}

void Nemesis::Request(std::function<std::vector<MemberChange>(const Membership&)> changes,
                      int tries) {
  const Place leader = world_.Leader();
  if (leader != kPlacesMax && world_.up(leader)) {
    const std::vector<MemberChange> wanted = changes(*world_.node(leader).core()->membership());
    if (wanted.empty()) return;
    world_.Input(leader, [this, leader, wanted] { world_.node(leader).ChangeMembers(wanted); });
  }
  if (tries <= 1) return;
  world_.queue().After(plan_.election_timeout(),
                       [this, changes, tries] { Request(changes, tries - 1); });
}

bool Nemesis::QuorumIsPossible(Place without) const {
  std::set<raft::NodeId> able;
  for (Place place = 0; place < world_.places(); ++place) {
    if (place != without && !world_.node(place).differs()) able.insert(members_[place].id);
  }
  bool somebody_knows = false;
  for (Place place = 0; place < world_.places(); ++place) {
    const raft::Core* core = world_.node(place).core();
    if (core == nullptr || core->log().membership()->empty()) continue;
    somebody_knows |= place != without;
    const Membership& membership = *core->log().membership();
    const auto may_lead = [&](raft::NodeId id) {
      return able.contains(id) && membership.Find(id)->priority != raft::kPriorityNever;
    };
    if (!raft::testing::HeldByQuorum(membership, may_lead)) return false;
  }
  return somebody_knows;
}

}  // namespace mokv::sim
