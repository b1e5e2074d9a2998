// Intents: what tells a node that left from one that failed, and an old word from a newer one.
#include "base/status.h"
#include "serf/core.h"

namespace mokv::serf {

bool Core::RememberIntent(std::string_view name, bool leave, LamportTime ltime) {
  const auto found = recent_intents_.find(name);
  if (found != recent_intents_.end()) {
    if (ltime <= found->second.ltime) return false;
    found->second = {leave, ltime, now_};
    return true;
  }
  // Of nodes that nobody has seen: as many as there may be members, and only for minutes.
  if (recent_intents_.size() >= options_.members_max) {
    Dropped(Drop::kTableFull);
    return false;
  }
  recent_intents_.emplace(name, RecentIntent{leave, ltime, now_});
  return true;
}

bool Core::OnJoinIntent(const JoinIntent& intent) {
  if (!IsValidName(intent.node)) {
    Dropped(Drop::kMalformed);
    return false;
  }
  if (!clock_.Witness(intent.ltime)) {
    Dropped(Drop::kAbsurd);
    return false;
  }
  const auto found = members_.find(intent.node);
  if (found == members_.end()) return RememberIntent(intent.node, /*leave=*/false, intent.ltime);
  MemberInfo& info = found->second;
  if (intent.ltime <= info.status_ltime) return false;
  info.status_ltime = intent.ltime;
  // It had meant to leave, and thought better of it: it joined again under the same name.
  if (info.status == MemberStatus::kLeaving) SetStatus(info, MemberStatus::kAlive);
  return true;
}

bool Core::OnLeaveIntent(const LeaveIntent& intent) {
  if (!IsValidName(intent.node)) {
    Dropped(Drop::kMalformed);
    return false;
  }
  if (!clock_.Witness(intent.ltime)) {
    Dropped(Drop::kAbsurd);
    return false;
  }
  const auto found = members_.find(intent.node);
  if (found == members_.end()) return RememberIntent(intent.node, /*leave=*/true, intent.ltime);
  MemberInfo& info = found->second;
  if (intent.ltime <= info.status_ltime) return false;
  if (intent.node == options_.name && leave_phase_ == LeavePhase::kNone) {
    // An older life's word, or a forged one.
    ++stats_.refutations;
    AnnounceJoin();
    return false;
  }
  info.status_ltime = intent.ltime;
  switch (info.status) {
    case MemberStatus::kAlive:
      SetStatus(info, MemberStatus::kLeaving);
      break;
    case MemberStatus::kFailed:
      SetStatus(info, MemberStatus::kLeft);
      info.gone_at = now_;
      ++stats_.leaves;
      Tell(MemberChange::kLeave, info);
      break;
    default:
      break;
  }
  // Only of those that are gone: nobody else can make us forget a member that is there.
  const bool gone = info.status == MemberStatus::kLeft || info.status == MemberStatus::kFailed;
  if (intent.prune && gone && intent.node != options_.name) EraseMember(intent.node);
  return true;
}

void Core::AnnounceJoin() {
  const JoinIntent intent{.ltime = clock_.now(), .node = options_.name};
  OnJoinIntent(intent);
  intents_.Push(Encode(intent));
}

absl::Status Core::ForceLeave(MonotonicTime now, std::string_view name, bool prune) {
  now_ = now;
  const MemberStatus status = StatusOf(name);
  if (status == MemberStatus::kNone) return absl::NotFoundError("no such member");
  if (status != MemberStatus::kFailed && status != MemberStatus::kLeft) {
    return FailedPrecondition("the member is {}; only one that failed can be made to leave",
                              NameOf(status));
  }
  const LeaveIntent intent{.ltime = clock_.Tick(), .node = name, .prune = prune};
  const std::string message = Encode(intent);  // `name` may go with the member.
  OnLeaveIntent(intent);
  intents_.Push(message);
  return absl::OkStatus();
}

}  // namespace mokv::serf
