#include "serf/members.h"

#include "base/status.h"

namespace mokv::serf {

std::string_view NameOf(MemberStatus status) {
  static constexpr std::string_view kNames[] = {"none", "alive", "leaving", "left", "failed"};
  return kNames[static_cast<size_t>(status)];
}

std::string_view NameOf(MemberChange change) {
  static constexpr std::string_view kNames[] = {"join", "update", "leave", "failed", "reap"};
  return kNames[static_cast<size_t>(change)];
}

Members::Members(Environment& env, GossipQueues& queues, CoordinateClient& coordinates)
    : env_(env), queues_(queues), coordinates_(coordinates) {
  clock_.Restore(env.options.clock);
}

// ---- News of the table of nodes.

bool Members::OnJoined(std::shared_ptr<const ListedNode> node) {
  auto found = members_.find(node->name);
  const bool is_new = found == members_.end();
  Info& info = is_new ? Insert(node->name) : found->second;
  const bool had_failed = info.status == MemberStatus::kFailed;
  SetStatus(info, MemberStatus::kAlive);
  if (is_new) {
    // Intents may arrive before the node that they speak of.
    if (const auto recent = recent_intents_.find(node->name); recent != recent_intents_.end()) {
      info.status_ltime = recent->second.ltime;
      if (recent->second.leave) SetStatus(info, MemberStatus::kLeaving);
      recent_intents_.erase(recent);
    }
  }
  info.node = std::move(node);
  ++env_.stats.joins;
  Tell(MemberChange::kJoin, info);
  return had_failed;
}

void Members::OnUpdated(std::string_view name) {
  const auto found = members_.find(name);
  if (found != members_.end()) Tell(MemberChange::kUpdate, found->second);
}

void Members::OnGone(std::string_view name) {
  const auto found = members_.find(name);
  if (found == members_.end()) return;
  Info& info = found->second;
  if (info.status == MemberStatus::kLeaving) {
    SetGone(info, MemberStatus::kLeft);
  } else if (info.status == MemberStatus::kAlive) {
    SetGone(info, MemberStatus::kFailed);
  }
}

// ---- Intents.

bool Members::Witness(std::string_view name, LamportTime ltime) {
  if (!IsValidName(name)) {
    env_.Dropped(Drop::kMalformed);
    return false;
  }
  if (clock_.Witness(ltime)) return true;
  env_.Dropped(Drop::kAbsurd);
  return false;
}

bool Members::RememberIntent(std::string_view name, bool leave, LamportTime ltime) {
  const auto found = recent_intents_.find(name);
  if (found != recent_intents_.end()) {
    if (ltime <= found->second.ltime) return false;
    found->second = {leave, ltime, env_.now};
    return true;
  }
  // Anybody can invent names, so this node keeps no more of them than there may be members, and
  // only for minutes.
  if (recent_intents_.size() >= env_.options.members_max) {
    env_.Dropped(Drop::kTableFull);
    return false;
  }
  recent_intents_.emplace(name, RecentIntent{leave, ltime, env_.now});
  return true;
}

bool Members::OnJoinIntent(const JoinIntent& intent) {
  if (!Witness(intent.node, intent.ltime)) return false;
  const auto found = members_.find(intent.node);
  if (found == members_.end()) return RememberIntent(intent.node, /*leave=*/false, intent.ltime);
  Info& info = found->second;
  if (intent.ltime <= info.status_ltime) return false;
  info.status_ltime = intent.ltime;
  // It meant to leave, but has joined again under the same name.
  if (info.status == MemberStatus::kLeaving) SetStatus(info, MemberStatus::kAlive);
  return true;
}

bool Members::OnLeaveIntent(const LeaveIntent& intent) {
  if (!Witness(intent.node, intent.ltime)) return false;
  const auto found = members_.find(intent.node);
  if (found == members_.end()) return RememberIntent(intent.node, /*leave=*/true, intent.ltime);
  Info& info = found->second;
  if (intent.ltime <= info.status_ltime) return false;
  const bool is_self = intent.node == env_.options.name;
  if (is_self && !leaving_) {
    // This node said so in an earlier life, or somebody else said it in its name.
    ++env_.stats.refutations;
    AnnounceJoin();
    return false;
  }
  info.status_ltime = intent.ltime;
  if (info.status == MemberStatus::kAlive) SetStatus(info, MemberStatus::kLeaving);
  if (info.status == MemberStatus::kFailed) SetGone(info, MemberStatus::kLeft);
  // Only those that are gone are forgotten: nobody else can make us forget a member that is there.
  const bool gone = info.status == MemberStatus::kLeft || info.status == MemberStatus::kFailed;
  if (intent.prune && gone && !is_self) Erase(intent.node);
  return true;
}

void Members::AnnounceJoin() {
  const JoinIntent intent{.ltime = clock_.now(), .node = env_.options.name};
  OnJoinIntent(intent);
  queues_.intents.Push(Encode(intent));
}

BroadcastQueue::Id Members::AnnounceLeave() {
  leaving_ = true;
  const LeaveIntent intent{.ltime = clock_.Tick(), .node = env_.options.name};
  OnLeaveIntent(intent);
  return OthersAlive() > 0 ? queues_.intents.Push(Encode(intent)) : 0;
}

absl::Status Members::ForceLeave(std::string_view name, bool prune) {
  const MemberStatus status = StatusOf(name);
  if (status == MemberStatus::kNone) return absl::NotFoundError("no such member");
  if (status != MemberStatus::kFailed && status != MemberStatus::kLeft) {
    return FailedPrecondition("the member is {}; only one that failed can be made to leave",
                              NameOf(status));
  }
  const LeaveIntent intent{.ltime = clock_.Tick(), .node = name, .prune = prune};
  const std::string message = Encode(intent);  // `name` may go with the member.
  OnLeaveIntent(intent);
  queues_.intents.Push(message);
  return absl::OkStatus();
}

// ---- The list.

Members::Info& Members::Insert(std::string_view name) {
  MakeRoom();
  Info& info = members_.emplace(name, Info{}).first->second;
  ++counts_[static_cast<size_t>(MemberStatus::kNone)];
  queues_.members = members_.size();
  return info;
}

void Members::MakeRoom() {
  if (members_.size() < env_.options.members_max) return;
  // Members that are gone may be forgotten early. The table of nodes limits how many are alive.
  auto oldest = members_.end();
  for (auto it = members_.begin(); it != members_.end(); ++it) {
    const MemberStatus status = it->second.status;
    if (status != MemberStatus::kLeft && status != MemberStatus::kFailed) continue;
    if (it->first == env_.options.name) continue;
    if (oldest == members_.end() || it->second.gone_at < oldest->second.gone_at) oldest = it;
  }
  if (oldest != members_.end()) Erase(oldest->first);
}

void Members::Erase(std::string_view name) {
  const auto found = members_.find(name);
  if (found == members_.end()) return;
  const Info info = found->second;
  --counts_[static_cast<size_t>(info.status)];
  members_.erase(found);
  queues_.members = members_.size();
  coordinates_.Forget(info.node->name);
  Tell(MemberChange::kReap, info);
}

void Members::SetStatus(Info& info, MemberStatus status) {
  --counts_[static_cast<size_t>(info.status)];
  ++counts_[static_cast<size_t>(status)];
  info.status = status;
}

void Members::SetGone(Info& info, MemberStatus status) {
  const bool left = status == MemberStatus::kLeft;
  SetStatus(info, status);
  info.gone_at = env_.now;
  ++(left ? env_.stats.leaves : env_.stats.failures);
  Tell(left ? MemberChange::kLeave : MemberChange::kFailed, info);
}

void Members::Reap() {
  const Timing& timing = env_.options.timing;
  std::vector<std::string> gone;
  const bool any = CountOf(MemberStatus::kFailed) + CountOf(MemberStatus::kLeft) > 0;
  for (const auto& [name, info] : members_) {
    if (!any) break;  // The usual case, and there may be thousands.
    const Duration since = env_.now - info.gone_at;
    if ((info.status == MemberStatus::kFailed && since > timing.failed_timeout) ||
        (info.status == MemberStatus::kLeft && since > timing.left_timeout)) {
      gone.push_back(name);
    }
  }
  for (const std::string& name : gone) {
    if (name != env_.options.name) Erase(name);
  }
  std::erase_if(recent_intents_, [&](const auto& intent) {
    return env_.now - intent.second.at > timing.recent_intent_timeout;
  });
}

Member Members::Describe(const Info& info) const {
  const ListedNode& node = *info.node;
  Duration round_trip{0};
  if (node.name != env_.options.name) {
    round_trip = coordinates_.RoundTrip(node.name).value_or(Duration(0));
  }
  return {.name = node.name,
          .at = node.at,
          .tags = DecodeTags(node.meta),
          .status = info.status,
          .versions = node.versions,
          .round_trip = round_trip};
}

void Members::Tell(MemberChange change, const Info& info) {
  env_.output.events.push_back(MemberEvent{change, Describe(info)});
}

std::vector<Member> Members::List() const {
  std::vector<Member> members;
  members.reserve(members_.size());
  for (const auto& [name, info] : members_) members.push_back(Describe(info));
  return members;
}

MemberStatus Members::StatusOf(std::string_view name) const {
  const auto found = members_.find(name);
  return found == members_.end() ? MemberStatus::kNone : found->second.status;
}

size_t Members::OthersAlive() const {
  const MemberStatus own = StatusOf(env_.options.name);
  const bool self = own == MemberStatus::kAlive || own == MemberStatus::kLeaving;
  return CountOf(MemberStatus::kAlive) + CountOf(MemberStatus::kLeaving) - (self ? 1 : 0);
}

}  // namespace mokv::serf
