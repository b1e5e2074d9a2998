#include "serf/core.h"

#include <algorithm>
#include <array>

#include "base/check.h"
#include "base/status.h"

namespace mokv::serf {
namespace {

absl::Status CheckOptions(const Options& options) {
  if (!IsValidName(options.name)) {
    return InvalidArgument("node name: 1 to {} bytes of UTF-8 without control characters",
                           kNameBytesMax);
  }
  if (!IsValidAddress(options.advertise.addr) || options.advertise.port == 0) {
    return InvalidArgument("the advertised address must be one that others can reach");
  }
  return absl::OkStatus();
}

// After a failed member has answered: when to exchange lists with it again, in gossip intervals.
constexpr std::array<int, 2> kFollowUps = {5, 20};

// When to exchange lists after failed members came back, at the earliest, in gossip intervals.
constexpr uint64_t kCatchUpAfter = 25;

absl::Status CheckTags(const Tags& tags) {
  const size_t bytes = EncodeTags(tags).size();
  if (bytes <= kMetaBytesSendMax) return absl::OkStatus();
  return InvalidArgument("tags take {} bytes, and a packet has room for {}", bytes,
                         kMetaBytesSendMax);
}

}  // namespace

std::string_view NameOf(MemberStatus status) {
  switch (status) {
    case MemberStatus::kAlive:
      return "alive";
    case MemberStatus::kLeaving:
      return "leaving";
    case MemberStatus::kLeft:
      return "left";
    case MemberStatus::kFailed:
      return "failed";
    case MemberStatus::kNone:
      break;
  }
  return "none";
}

std::string_view NameOf(MemberChange change) {
  switch (change) {
    case MemberChange::kJoin:
      return "join";
    case MemberChange::kUpdate:
      return "update";
    case MemberChange::kLeave:
      return "leave";
    case MemberChange::kFailed:
      return "failed";
    case MemberChange::kReap:
      break;
  }
  return "reap";
}

absl::StatusOr<std::unique_ptr<Core>> Core::Create(Options options, Random& random,
                                                   MonotonicTime now) {
  MOKV_RETURN_IF_ERROR(CheckOptions(options));
  MOKV_RETURN_IF_ERROR(CheckTags(options.tags));
  MOKV_ASSIGN_OR_RETURN(Keyring keyring, Keyring::Create(options.keys));
  return std::unique_ptr<Core>(new Core(std::move(options), std::move(keyring), random, now));
}

Core::Core(Options options, Keyring keyring, Random& random, MonotonicTime now)
    : options_(std::move(options)),
      random_(random),
      now_(now),
      keyring_(std::move(keyring)),
      memberlist_(options_, keyring_, random_, stats_, output_, *this),
      next_conflict_(now),
      next_reap_(now + options_.timing.reap_interval),
      // At another moment on each node: after a partition that all saw heal, one is the first.
      next_reconnect_(now + options_.timing.reconnect_interval * (random.Next() % 1024) / 1024) {
  clock_.Restore(options_.clock);
  event_clock_.Restore(options_.event_clock);
  query_clock_.Restore(options_.query_clock);
  // What happened before a restart was heard then.
  if (options_.event_clock > 0) event_min_ = event_clock_.now();
  if (options_.query_clock > 0) query_min_ = query_clock_.now();
  memberlist_.Start(now, EncodeTags(options_.tags));
}

// ---- Inputs.

void Core::OnPacket(MonotonicTime now, const Endpoint& from, std::string_view packet) {
  now_ = now;
  memberlist_.OnPacket(now, from, packet);
}

std::optional<std::string> Core::OnStreamRequest(MonotonicTime now, std::string_view message) {
  now_ = now;
  if (message.empty()) return std::nullopt;
  return memberlist_.OnStreamRequest(now, message);
}

void Core::OnStreamReply(MonotonicTime now, StreamId id,
                         const absl::StatusOr<std::string>& message) {
  now_ = now;
  if (message.ok() && message->empty()) {
    return memberlist_.OnStreamReply(now, id, Unavailable("closed without an answer"));
  }
  memberlist_.OnStreamReply(now, id, message);
}

void Core::Tick(MonotonicTime now) {
  now_ = now;
  memberlist_.Tick(now);
  ExpireQueries();
  StepLeave();
  if (now >= next_reap_) {
    next_reap_ = now + options_.timing.reap_interval;
    Reap();
  }
  if (now >= next_reconnect_) {
    next_reconnect_ = now + options_.timing.reconnect_interval;
    Reconnect();
  }
  FollowUpReconnections();
  CatchUp();
}

MonotonicTime Core::NextDeadline() const {
  MonotonicTime next = std::min({memberlist_.NextDeadline(), next_reap_, next_reconnect_});
  for (const auto& [key, query] : own_queries_) next = std::min(next, query.deadline);
  if (!follow_ups_.empty()) next = std::min(next, follow_ups_.begin()->first);
  next = std::min(next, next_catch_up_);
  if (leave_phase_ != LeavePhase::kNone && leave_phase_ != LeavePhase::kDone) {
    next = std::min(next, leave_deadline_);
  }
  return next;
}

Output Core::TakeOutput() {
  Output output = std::move(output_);
  output_ = Output();
  return output;
}

// ---- Wishes.

void Core::Join(MonotonicTime now, const Endpoint& at) {
  now_ = now;
  if (leave_phase_ != LeavePhase::kNone) {
    output_.events.push_back(JoinResult{at, FailedPrecondition("this node is leaving")});
    return;
  }
  joins_.emplace(memberlist_.StartPushPull(now, at, /*join=*/true), at);
}

absl::Status Core::SetTags(MonotonicTime now, const Tags& tags) {
  now_ = now;
  MOKV_RETURN_IF_ERROR(CheckTags(tags));
  memberlist_.SetMeta(now, EncodeTags(tags));
  return absl::OkStatus();
}

absl::Status Core::SetKeys(const std::vector<std::string>& keys) {
  if (keys.empty() || !keyring_.enabled()) {
    return FailedPrecondition("encryption cannot be switched on or off while the node runs");
  }
  MOKV_ASSIGN_OR_RETURN(keyring_, Keyring::Create(keys));
  return absl::OkStatus();
}

// ---- Leaving.

size_t Core::OthersAlive() const {
  const MemberStatus own = StatusOf(options_.name);
  const bool self = own == MemberStatus::kAlive || own == MemberStatus::kLeaving;
  return CountOf(MemberStatus::kAlive) + CountOf(MemberStatus::kLeaving) - (self ? 1 : 0);
}

void Core::Leave(MonotonicTime now) {
  now_ = now;
  if (leave_phase_ != LeavePhase::kNone) return;
  leave_phase_ = LeavePhase::kIntent;
  leave_deadline_ = now + options_.timing.broadcast_timeout;
  const LeaveIntent intent{.ltime = clock_.Tick(), .node = options_.name};
  OnLeaveIntent(intent);
  if (OthersAlive() > 0) leave_broadcast_ = intents_.Push(Encode(intent));
  StepLeave();
}

void Core::StepLeave() {
  // The intent must be out before the death: others that hear both at once take the death first,
  // and would report a failure.
  if (leave_phase_ == LeavePhase::kIntent &&
      (!intents_.Contains(leave_broadcast_) || now_ >= leave_deadline_)) {
    leave_phase_ = LeavePhase::kDead;
    leave_deadline_ = now_ + options_.timing.broadcast_timeout;
    memberlist_.Leave(now_);
  }
  if (leave_phase_ == LeavePhase::kDead &&
      (OthersAlive() == 0 || memberlist_.leave_announced() || now_ >= leave_deadline_)) {
    leave_phase_ = LeavePhase::kLinger;
    leave_deadline_ =
        now_ + (OthersAlive() == 0 ? Duration(0) : options_.timing.leave_propagate_delay);
  }
  if (leave_phase_ == LeavePhase::kLinger && now_ >= leave_deadline_) {
    leave_phase_ = LeavePhase::kDone;
    output_.events.push_back(LeaveDone{});
  }
}

// ---- Members.

Member Core::Describe(const MemberInfo& info) const {
  const Node& node = *info.node;
  Duration round_trip{0};
  if (node.name != options_.name) {
    round_trip = coordinates_.RoundTrip(node.name).value_or(Duration(0));
  }
  return {.name = node.name,
          .at = node.at,
          .tags = DecodeTags(node.meta),
          .status = info.status,
          .versions = node.versions,
          .round_trip = round_trip};
}

std::vector<Member> Core::Members() const {
  std::vector<Member> members;
  members.reserve(members_.size());
  for (const auto& [name, info] : members_) members.push_back(Describe(info));
  return members;
}

MemberStatus Core::StatusOf(std::string_view name) const {
  const auto found = members_.find(name);
  return found == members_.end() ? MemberStatus::kNone : found->second.status;
}

bool Core::Suspects(std::string_view name) const {
  const Node* node = memberlist_.Find(name);
  return node != nullptr && node->state == NodeState::kSuspect;
}

size_t Core::CountOf(MemberStatus status) const {
  return status_counts_[static_cast<size_t>(status)];
}

void Core::SetStatus(MemberInfo& info, MemberStatus status) {
  --status_counts_[static_cast<size_t>(info.status)];
  ++status_counts_[static_cast<size_t>(status)];
  info.status = status;
}

void Core::Tell(MemberChange change, const MemberInfo& info) {
  output_.events.push_back(MemberEvent{change, Describe(info)});
}

void Core::MakeRoomForMember() {
  if (members_.size() < options_.members_max) return;
  // Those that are gone may be forgotten a little early; the alive are as many as Memberlist takes.
  auto oldest = members_.end();
  for (auto it = members_.begin(); it != members_.end(); ++it) {
    const MemberStatus status = it->second.status;
    if (status != MemberStatus::kLeft && status != MemberStatus::kFailed) continue;
    if (it->first == options_.name) continue;
    if (oldest == members_.end() || it->second.gone_at < oldest->second.gone_at) oldest = it;
  }
  if (oldest != members_.end()) EraseMember(oldest->first);
}

void Core::OnNodeJoin(std::shared_ptr<const Node> node) {
  auto found = members_.find(node->name);
  if (found == members_.end()) {
    MakeRoomForMember();
    found = members_.emplace(node->name, MemberInfo{}).first;
    ++status_counts_[static_cast<size_t>(MemberStatus::kNone)];
    SetStatus(found->second, MemberStatus::kAlive);
    // Intents may arrive before the node that they speak of.
    if (const auto recent = recent_intents_.find(node->name); recent != recent_intents_.end()) {
      found->second.status_ltime = recent->second.ltime;
      if (recent->second.leave) SetStatus(found->second, MemberStatus::kLeaving);
      recent_intents_.erase(recent);
    }
  } else {
    if (found->second.status == MemberStatus::kFailed) {
      // Others may be back too. Once it is calm again: what was to be heard by gossip has been.
      next_catch_up_ =
          now_ + options_.timing.gossip_interval * (kCatchUpAfter + random_.Next() % kCatchUpAfter);
    }
    SetStatus(found->second, MemberStatus::kAlive);
  }
  found->second.node = std::move(node);
  ++stats_.joins;
  Tell(MemberChange::kJoin, found->second);
}

void Core::OnNodeUpdate(const Node& node) {
  const auto found = members_.find(node.name);
  if (found != members_.end()) Tell(MemberChange::kUpdate, found->second);
}

void Core::OnNodeLeave(const Node& node) {
  const auto found = members_.find(node.name);
  if (found == members_.end()) return;
  MemberInfo& info = found->second;
  if (info.status == MemberStatus::kLeaving) {
    SetStatus(info, MemberStatus::kLeft);
    info.gone_at = now_;
    ++stats_.leaves;
    Tell(MemberChange::kLeave, info);
  } else if (info.status == MemberStatus::kAlive) {
    SetStatus(info, MemberStatus::kFailed);
    info.gone_at = now_;
    ++stats_.failures;
    Tell(MemberChange::kFailed, info);
  }
}

void Core::EraseMember(std::string_view name) {
  const auto found = members_.find(name);
  if (found == members_.end()) return;
  const MemberInfo info = found->second;
  --status_counts_[static_cast<size_t>(info.status)];
  members_.erase(found);
  coordinates_.Forget(info.node->name);
  Tell(MemberChange::kReap, info);
}

void Core::Reap() {
  std::vector<std::string> gone;
  const bool any = CountOf(MemberStatus::kFailed) + CountOf(MemberStatus::kLeft) > 0;
  for (const auto& [name, info] : members_) {
    if (!any) break;  // The usual case, and there may be thousands.
    const Duration since = now_ - info.gone_at;
    if ((info.status == MemberStatus::kFailed && since > options_.timing.failed_timeout) ||
        (info.status == MemberStatus::kLeft && since > options_.timing.left_timeout)) {
      gone.push_back(name);
    }
  }
  for (const std::string& name : gone) {
    if (name != options_.name) EraseMember(name);
  }
  std::erase_if(recent_intents_, [&](const auto& intent) {
    return now_ - intent.second.at > options_.timing.recent_intent_timeout;
  });
}

void Core::Reconnect() {
  if (leave_phase_ != LeavePhase::kNone || CountOf(MemberStatus::kFailed) == 0) return;
  std::vector<const Node*> failed;
  for (const auto& [name, info] : members_) {
    if (info.status == MemberStatus::kFailed) failed.push_back(info.node.get());
  }
  if (failed.empty()) return;
  // Together the cluster tries each failed member about once an interval, however large it is.
  const size_t alive = std::max<size_t>(1, members_.size() - failed.size());
  if (random_.Next() % alive >= failed.size()) return;
  const Endpoint to = failed[random_.Next() % failed.size()]->at;
  reconnections_.emplace(memberlist_.StartPushPull(now_, to, /*join=*/true),
                         Reconnection{.to = to});
}

// Two that take each other for dead do not gossip with each other, and what one exchange brings is
// that both refute, each among its own. The next one brings these refutations across; without it
// they would wait for somebody's next reconnection.
void Core::FollowUpReconnections() {
  while (!follow_ups_.empty() && follow_ups_.begin()->first <= now_) {
    Reconnection next = std::move(follow_ups_.begin()->second);
    follow_ups_.erase(follow_ups_.begin());
    if (leave_phase_ != LeavePhase::kNone) continue;
    ++next.round;
    reconnections_.emplace(memberlist_.StartPushPull(now_, next.to, /*join=*/false), next);
  }
}

// After a partition thousands of pieces of news spread at once, and gossip reaches nearly
// everybody: whoever still misses somebody compares lists, rather than wait for its turn.
void Core::CatchUp() {
  if (now_ < next_catch_up_) return;
  next_catch_up_ = MonotonicTime::Max();
  if (CountOf(MemberStatus::kFailed) == 0 || leave_phase_ != LeavePhase::kNone) return;
  memberlist_.PushPullWithAnyone(now_);
}

void Core::OnPushPullDone(StreamId id, const absl::Status& status) {
  if (auto reconnection = reconnections_.extract(id); !reconnection.empty()) {
    const size_t round = reconnection.mapped().round;
    if (status.ok() && round < kFollowUps.size()) {
      follow_ups_.emplace(now_ + options_.timing.gossip_interval * kFollowUps[round],
                          reconnection.mapped());
    }
    return;
  }
  const auto join = joins_.find(id);
  if (join == joins_.end()) return;
  output_.events.push_back(JoinResult{join->second, status});
  joins_.erase(join);
  if (status.ok() && leave_phase_ == LeavePhase::kNone) AnnounceJoin();
}

// ---- Serf's messages.

void Core::OnUserMessage(std::string_view message) {
  if (message.empty()) return Dropped(Drop::kMalformed);
  const std::string_view body = message.substr(1);
  bool is_news = false;
  BroadcastQueue* queue = nullptr;
  switch (static_cast<SerfType>(message.front())) {
    case SerfType::kJoin: {
      JoinIntent intent;
      if (!Decode(body, &intent)) return Dropped(Drop::kMalformed);
      is_news = OnJoinIntent(intent);
      queue = &intents_;
      break;
    }
    case SerfType::kLeave: {
      LeaveIntent intent;
      if (!Decode(body, &intent)) return Dropped(Drop::kMalformed);
      is_news = OnLeaveIntent(intent);
      queue = &intents_;
      break;
    }
    case SerfType::kUserEvent: {
      UserEventMessage event;
      if (!Decode(body, &event)) return Dropped(Drop::kMalformed);
      is_news = OnUserEvent(event);
      queue = &events_;
      break;
    }
    case SerfType::kQuery: {
      QueryMessage query;
      if (!Decode(body, &query)) return Dropped(Drop::kMalformed);
      is_news = OnQuery(query);
      queue = &queries_;
      break;
    }
    case SerfType::kQueryResponse:
      return OnQueryResponse(body);
    case SerfType::kRelay:
      return OnRelay(body);
    default:
      return Dropped(Drop::kUnknownType);
  }
  // What is news here may be news to others; everything else has been passed on already.
  if (is_news) queue->Push(std::string(message));
}

size_t Core::TakeBroadcasts(size_t budget_bytes, size_t count_max, std::vector<std::string>* out) {
  static constexpr std::string_view kUserPrefix = "\x08";
  const size_t before = out->size();
  const int transmits_max = memberlist_.TransmitsMax(members_.size());
  for (BroadcastQueue* queue : {&intents_, &queries_, &events_}) {
    budget_bytes = queue->Take(budget_bytes, kCompoundPartBytes + kUserPrefix.size(),
                               count_max - (out->size() - before), transmits_max, kUserPrefix, out);
  }
  return budget_bytes;
}

bool Core::HasBroadcasts() const {
  return !intents_.empty() || !queries_.empty() || !events_.empty();
}

// ---- Coordinates.

std::string Core::AckPayload() { return EncodeCoordinate(coordinates_.own()); }

void Core::OnPong(const Node& node, Duration round_trip, std::string_view payload) {
  const std::optional<Coordinate> coordinate = DecodeCoordinate(payload);
  if (!coordinate.has_value() || !members_.contains(node.name) ||
      !coordinates_.Update(node.name, *coordinate, round_trip, random_)) {
    ++stats_.coordinates_rejected;
  }
}

// ---- Counters.

Stats Core::stats() const {
  Stats stats = stats_;
  stats.members_alive = CountOf(MemberStatus::kAlive);
  stats.members_leaving = CountOf(MemberStatus::kLeaving);
  stats.members_left = CountOf(MemberStatus::kLeft);
  stats.members_failed = CountOf(MemberStatus::kFailed);
  stats.members_suspect = memberlist_.suspects();
  stats.awareness_score = static_cast<uint64_t>(memberlist_.awareness());
  stats.queued_membership = memberlist_.queued();
  stats.queued_intents = intents_.size();
  stats.queued_queries = queries_.size();
  stats.queued_events = events_.size();
  stats.dropped[static_cast<size_t>(Drop::kQueueFull)] +=
      memberlist_.queue_dropped() + intents_.dropped() + queries_.dropped() + events_.dropped();
  return stats;
}

void Core::SeedForTest(MonotonicTime now, const std::vector<const Core*>& others) {
  std::vector<const Node*> nodes;
  for (const Core* other : others) nodes.push_back(&other->memberlist_.self());
  memberlist_.SeedForTest(now, nodes);
}

}  // namespace mokv::serf
