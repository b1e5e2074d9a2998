#include "serf/protocol.h"

#include <algorithm>

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
  return CheckTags(options.tags);
}

// In which order one packet's messages are handled. Aliveness first, as agents do; what Serf says
// (someone means to leave) before what that leads to (they are gone); pings last, so that their
// answers carry the refutation of what came with them.
int Rank(MessageType type) {
  switch (type) {
    case MessageType::kAlive:
      return 0;
    case MessageType::kUser:
      return 1;
    case MessageType::kSuspect:
    case MessageType::kDead:
      return 2;
    default:
      return 3;
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<Protocol>> Protocol::Create(Options options, Random& random,
                                                           MonotonicTime now) {
  MOKV_RETURN_IF_ERROR(CheckOptions(options));
  MOKV_ASSIGN_OR_RETURN(Keyring keyring, Keyring::Create(options.keys));
  return std::unique_ptr<Protocol>(
      new Protocol(std::move(options), std::move(keyring), random, now));
}

Protocol::Protocol(Options options, Keyring keyring, Random& random, MonotonicTime now)
    : env_(std::move(options), std::move(keyring), random, now),
      nodes_(env_, queues_.nodes),
      gossiper_(env_, nodes_, queues_),
      prober_(env_, nodes_, gossiper_, coordinates_),
      members_(env_, queues_, coordinates_),
      events_(env_, queues_),
      queries_(env_, queues_, nodes_, members_),
      exchange_(env_, nodes_, members_, events_, queries_),
      next_reap_(now + env_.options.timing.reap_interval) {
  nodes_.Start(EncodeTags(env_.options.tags));
  HandleNews();
  prober_.Start();
  gossiper_.Start();
  exchange_.Start();
}

// ---- Packets.

void Protocol::OnPacket(MonotonicTime now, const Endpoint& from, std::string_view packet) {
  env_.now = now;
  ++env_.stats.packets_received;
  env_.stats.bytes_received += packet.size();
  std::vector<PacketMessage> messages = reader_.Read(packet, env_.keyring, &env_.stats);
  std::stable_sort(messages.begin(), messages.end(),
                   [](const auto& a, const auto& b) { return Rank(a.type) < Rank(b.type); });
  for (const PacketMessage& message : messages) {
    OnMessage(from, message);
    HandleNews();
  }
}

void Protocol::OnMessage(const Endpoint& from, const PacketMessage& message) {
  switch (message.type) {
    case MessageType::kPing:
      return prober_.OnPing(from, message.body);
    case MessageType::kIndirectPing:
      return prober_.OnIndirectPing(from, message.body);
    case MessageType::kAck:
      if (const std::optional<Pong> pong = prober_.OnAck(message.body)) OnPong(*pong);
      return;
    case MessageType::kNack:
      return prober_.OnNack(message.body);
    case MessageType::kSuspect:
      return nodes_.OnSuspect(message.body);
    case MessageType::kAlive:
      return nodes_.OnAlive(message.body);
    case MessageType::kDead:
      return nodes_.OnDead(message.body);
    case MessageType::kUser:
      return OnUserMessage(message.body);
    default:
      return env_.Dropped(Drop::kUnknownType);
  }
}

void Protocol::OnUserMessage(std::string_view message) {
  if (message.empty()) return env_.Dropped(Drop::kMalformed);
  switch (static_cast<SerfType>(message.front())) {
    case SerfType::kJoin:
      return Spread<JoinIntent>(message, queues_.intents,
                                [&](const auto& intent) { return members_.OnJoinIntent(intent); });
    case SerfType::kLeave:
      return Spread<LeaveIntent>(message, queues_.intents, [&](const auto& intent) {
        return members_.OnLeaveIntent(intent);
      });
    case SerfType::kUserEvent:
      return Spread<UserEventMessage>(message, queues_.events,
                                      [&](const auto& event) { return events_.OnEvent(event); });
    case SerfType::kQuery:
      return Spread<QueryMessage>(message, queues_.queries,
                                  [&](const auto& query) { return queries_.OnQuery(query); });
    case SerfType::kQueryResponse:
      return queries_.OnResponse(message.substr(1));
    case SerfType::kRelay:
      return queries_.OnRelay(message.substr(1));
    default:
      return env_.Dropped(Drop::kUnknownType);
  }
}

// What is news here may be news to others; everything else has been passed on already.
template <typename Message, typename Taker>
void Protocol::Spread(std::string_view message, BroadcastQueue& queue, Taker take) {
  Message decoded;
  if (!Decode(message.substr(1), &decoded)) return env_.Dropped(Drop::kMalformed);
  if (take(decoded)) queue.Push(std::string(message));
}

void Protocol::OnPong(const Pong& pong) {
  const std::string& name = pong.from->name;
  const std::optional<Coordinate> coordinate = DecodeCoordinate(pong.payload);
  if (!coordinate.has_value() || !members_.all().contains(name) ||
      !coordinates_.Update(name, *coordinate, pong.round_trip, env_.random)) {
    ++env_.stats.coordinates_rejected;
  }
}

void Protocol::HandleNews() {
  for (NodeNews& news : nodes_.TakeNews()) {
    switch (news.kind) {
      case NodeNews::Kind::kJoined:
        if (members_.OnJoined(std::move(news.node))) exchange_.OnReturn();
        break;
      case NodeNews::Kind::kUpdated:
        members_.OnUpdated(news.node->name);
        break;
      case NodeNews::Kind::kGone:
        members_.OnGone(news.node->name);
        break;
      case NodeNews::Kind::kNameTaken:
        // Two others with one name settle it between themselves.
        if (nodes_.IsSelf(*news.node)) queries_.OnNameTaken(news.other);
        break;
    }
  }
}

// ---- Streams.

std::optional<std::string> Protocol::OnStreamRequest(MonotonicTime now, std::string_view message) {
  env_.now = now;
  if (message.empty()) return std::nullopt;
  const absl::StatusOr<std::string> plain = env_.Unseal(message);
  if (!plain.ok()) return env_.Seal(EncodeError(MessageOf(plain.status())));
  return OnStreamMessage(static_cast<MessageType>(plain->front()),
                         std::string_view(*plain).substr(1));
}

std::optional<std::string> Protocol::OnStreamMessage(MessageType type, std::string_view body) {
  Ping ping;
  PushPull lists;
  MsgpackReader reader(body);
  if (type == MessageType::kPushPull && exchange_.Read(body, &lists)) {
    // The answer first, and without what the other side just said.
    std::string answer = env_.Seal(exchange_.OwnLists(lists.join));
    ++env_.stats.push_pulls_served;
    Merge(lists, /*is_join=*/false);
    return answer;
  }
  if (type == MessageType::kPing && Decode(body, &ping)) {
    if (ping.node.empty() || ping.node == name()) return env_.Seal(Encode(Ack{.seq = ping.seq}));
    env_.Dropped(Drop::kMisaddressed);
    return std::nullopt;
  }
  // The message's length comes first. The reader of the stream has used it already.
  if (type == MessageType::kUser && reader.Skip()) {
    OnUserMessage(reader.rest());
    return std::nullopt;
  }
  env_.Dropped(Drop::kMalformed);
  return std::nullopt;
}

void Protocol::OnStreamReply(MonotonicTime now, StreamId id,
                             const absl::StatusOr<std::string>& message) {
  env_.now = now;
  if (prober_.OnStreamReply(id, message)) return;
  const std::optional<ListExchange::Pending> exchange = exchange_.Take(id);
  if (!exchange.has_value()) return;
  const absl::StatusOr<std::string> plain = message.ok() ? env_.Unseal(*message) : message;
  PushPull lists;
  const absl::Status status = plain.ok() ? exchange_.ReadAnswer(*plain, &lists) : plain.status();
  if (status.ok()) Merge(lists, exchange->purpose == ListExchange::Purpose::kJoin);
  exchange_.OnDone(*exchange, status);
}

void Protocol::Merge(const PushPull& lists, bool is_join) {
  for (const NodeRecord& record : lists.nodes) {
    nodes_.Merge(record);
    HandleNews();
  }
  exchange_.MergeSerfState(lists.user_state, is_join);
}

// ---- Time.

void Protocol::Tick(MonotonicTime now) {
  env_.now = now;
  prober_.Tick();
  HandleNews();
  gossiper_.Tick();
  exchange_.RefreshIfDue();
  queries_.Expire();
  StepLeave();
  if (now >= next_reap_) {
    next_reap_ = now + env_.options.timing.reap_interval;
    members_.Reap();
  }
  exchange_.ReconnectIfDue();
}

MonotonicTime Protocol::NextDeadline() const {
  const bool leaves = leave_phase_ != LeavePhase::kNone && leave_phase_ != LeavePhase::kDone;
  return std::min({prober_.NextDeadline(), gossiper_.NextDeadline(), exchange_.NextDeadline(),
                   queries_.NextDeadline(), next_reap_,
                   leaves ? leave_deadline_ : MonotonicTime::Max()});
}

// ---- What the owner wants.

void Protocol::Join(MonotonicTime now, const Endpoint& at) {
  env_.now = now;
  exchange_.Join(at);
}

absl::Status Protocol::SetTags(MonotonicTime now, const Tags& tags) {
  env_.now = now;
  MOKV_RETURN_IF_ERROR(CheckTags(tags));
  nodes_.SetMeta(EncodeTags(tags));
  HandleNews();
  return absl::OkStatus();
}

absl::Status Protocol::SendUserEvent(MonotonicTime now, std::string_view name,
                                     std::string_view payload) {
  env_.now = now;
  return events_.Send(name, payload);
}

absl::StatusOr<QueryKey> Protocol::Query(MonotonicTime now, const QueryRequest& request) {
  env_.now = now;
  return queries_.Ask(request);
}

absl::Status Protocol::Respond(MonotonicTime now, QueryKey query, std::string_view payload) {
  env_.now = now;
  return queries_.Respond(query, payload);
}

absl::Status Protocol::ForceLeave(MonotonicTime now, std::string_view name, bool prune) {
  env_.now = now;
  return members_.ForceLeave(name, prune);
}

absl::Status Protocol::SetKeys(const std::vector<std::string>& keys) {
  if (keys.empty() || !env_.keyring.enabled()) {
    return FailedPrecondition("encryption cannot be switched on or off while the node runs");
  }
  MOKV_ASSIGN_OR_RETURN(env_.keyring, Keyring::Create(keys));
  return absl::OkStatus();
}

// ---- Leaving.

void Protocol::Leave(MonotonicTime now) {
  env_.now = now;
  if (leave_phase_ != LeavePhase::kNone) return;
  leave_phase_ = LeavePhase::kIntent;
  leave_deadline_ = now + env_.options.timing.broadcast_timeout;
  leave_broadcast_ = members_.AnnounceLeave();
  StepLeave();
}

void Protocol::StepLeave() {
  if (leave_phase_ == LeavePhase::kNone || leave_phase_ == LeavePhase::kDone) return;
  const Timing& timing = env_.options.timing;
  const MonotonicTime now = env_.now;
  // The intent must be out before the death: others that hear both at once take the death first,
  // and would report a failure.
  if (leave_phase_ == LeavePhase::kIntent &&
      (!queues_.intents.Contains(leave_broadcast_) || now >= leave_deadline_)) {
    leave_phase_ = LeavePhase::kDead;
    leave_deadline_ = now + timing.broadcast_timeout;
    nodes_.Leave();
    HandleNews();
  }
  const bool is_alone = members_.OthersAlive() == 0;
  if (leave_phase_ == LeavePhase::kDead &&
      (is_alone || nodes_.leave_announced() || now >= leave_deadline_)) {
    leave_phase_ = LeavePhase::kLinger;
    leave_deadline_ = now + (is_alone ? Duration(0) : timing.leave_propagate_delay);
  }
  if (leave_phase_ == LeavePhase::kLinger && now >= leave_deadline_) {
    leave_phase_ = LeavePhase::kDone;
    env_.output.events.push_back(LeaveDone{});
  }
}

// ---- What is known.

bool Protocol::Suspects(std::string_view name) const {
  const ListedNode* node = nodes_.Find(name);
  return node != nullptr && node->state == NodeState::kSuspect;
}

Stats Protocol::stats() const {
  Stats stats = env_.stats;
  stats.members_alive = CountOf(MemberStatus::kAlive);
  stats.members_leaving = CountOf(MemberStatus::kLeaving);
  stats.members_left = CountOf(MemberStatus::kLeft);
  stats.members_failed = CountOf(MemberStatus::kFailed);
  stats.members_suspect = nodes_.suspects();
  stats.awareness_score = static_cast<uint64_t>(nodes_.awareness());
  stats.queued_membership = queues_.nodes.size();
  stats.queued_intents = queues_.intents.size();
  stats.queued_queries = queues_.queries.size();
  stats.queued_events = queues_.events.size();
  stats.dropped[static_cast<size_t>(Drop::kQueueFull)] += queues_.dropped();
  return stats;
}

void Protocol::SeedForTest(MonotonicTime now, const std::vector<const Protocol*>& nodes) {
  env_.now = now;
  std::vector<const ListedNode*> known;
  for (const Protocol* node : nodes) known.push_back(&node->nodes_.self());
  nodes_.SeedForTest(known);
  HandleNews();
}

}  // namespace mokv::serf
