#include "serf/memberlist.h"

#include <algorithm>

#include "base/check.h"
#include "base/status.h"

namespace mokv::serf {
namespace {

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

Memberlist::Memberlist(const Options& options, Keyring& keyring, Random& random, Stats& stats,
                       Output& output, MemberlistDelegate& delegate)
    : options_(options),
      timing_(options.timing),
      keyring_(keyring),
      random_(random),
      stats_(stats),
      output_(output),
      delegate_(delegate) {
  MOKV_CHECK(IsValidName(options.name));
  MOKV_CHECK(IsValidAddress(options.advertise.addr));
  MOKV_CHECK_GE(options.members_max, size_t{1});
}

void Memberlist::Start(MonotonicTime now, std::string meta) {
  MOKV_CHECK(self_ == nullptr);
  now_ = now;
  self_ = std::make_shared<Node>(Node{.name = options_.name,
                                      .at = options_.advertise,
                                      .meta = std::move(meta),
                                      .versions = kOurVersions,
                                      .incarnation = 1,
                                      .state = NodeState::kAlive,
                                      .changed = now});
  nodes_.push_back(self_);
  by_name_.emplace(self_->name, self_);
  next_probe_ = now + RandomBelow(timing_.probe_interval);
  next_gossip_ = now + RandomBelow(timing_.gossip_interval);
  next_push_pull_ = now + timing_.push_pull_interval + RandomBelow(timing_.push_pull_interval);
  delegate_.OnNodeJoin(self_);
  AnnounceSelf();
}

const Node* Memberlist::Find(std::string_view name) const {
  const auto found = by_name_.find(std::string(name));
  return found == by_name_.end() ? nullptr : found->second.get();
}

// ---- Packets.

void Memberlist::OnPacket(MonotonicTime now, const Endpoint& from, std::string_view packet) {
  now_ = now;
  ++stats_.packets_received;
  stats_.bytes_received += packet.size();
  std::vector<PacketMessage> messages = reader_.Read(packet, keyring_, &stats_);
  std::stable_sort(messages.begin(), messages.end(),
                   [](const auto& a, const auto& b) { return Rank(a.type) < Rank(b.type); });
  for (const PacketMessage& message : messages) Handle(from, message);
}

void Memberlist::Handle(const Endpoint& from, const PacketMessage& message) {
  switch (message.type) {
    case MessageType::kPing:
      return HandlePing(from, message.body);
    case MessageType::kIndirectPing:
      return HandleIndirectPing(from, message.body);
    case MessageType::kAck:
      return HandleAck(message.body);
    case MessageType::kNack:
      return HandleNack(message.body);
    case MessageType::kSuspect:
      return HandleSuspect(message.body);
    case MessageType::kAlive:
      return HandleAlive(message.body);
    case MessageType::kDead:
      return HandleDead(message.body);
    case MessageType::kUser:
      return delegate_.OnUserMessage(message.body);
    default:
      return Dropped(Drop::kUnknownType);
  }
}

void Memberlist::SendPacket(const Endpoint& to, const std::vector<std::string>& messages,
                            bool checksum) {
  std::string packet = PackPacket(messages, {.checksum = checksum, .compress = options_.compress},
                                  keyring_, random_);
  ++stats_.packets_sent;
  stats_.bytes_sent += packet.size();
  output_.packets.push_back({to, std::move(packet)});
}

void Memberlist::SendWithGossip(const Endpoint& to, std::string message) {
  std::vector<std::string> messages =
      GatherGossip(message.size() + kCompoundPartBytes, kCompoundPartsMax - 1);
  messages.insert(messages.begin(), std::move(message));
  SendPacket(to, messages, /*checksum=*/false);
}

void Memberlist::SendUser(MonotonicTime now, const Endpoint& to, std::string_view message) {
  now_ = now;
  std::string packet(1, static_cast<char>(MessageType::kUser));
  packet += message;
  SendPacket(to, {packet}, /*checksum=*/false);
}

// ---- Streams.

StreamId Memberlist::OpenStream(const Endpoint& to, std::string_view message, Stream stream,
                                MonotonicTime deadline) {
  const StreamId id = ++last_stream_;
  stream.started = now_;
  streams_.emplace(id, std::move(stream));
  output_.streams.push_back(
      {id, to, SealStream(message, options_.compress, keyring_, random_), deadline});
  return id;
}

StreamId Memberlist::StartPushPull(MonotonicTime now, const Endpoint& to, bool join) {
  now_ = now;
  ++stats_.push_pulls_begun;
  return OpenStream(to, EncodeState(join), {.purpose = Purpose::kPushPull},
                    now + timing_.stream_timeout);
}

std::vector<NodeRecord> Memberlist::LocalNodes() const {
  std::vector<NodeRecord> records;
  records.reserve(nodes_.size());
  for (const auto& node : nodes_) {
    const auto* versions = reinterpret_cast<const char*>(node->versions.data());
    records.push_back({.alive = {.incarnation = node->incarnation,
                                 .node = node->name,
                                 .addr = node->at.addr,
                                 .port = node->at.port,
                                 .meta = node->meta,
                                 .vsn = {versions, node->versions.size()}},
                       .state = node->state});
  }
  return records;
}

std::string Memberlist::EncodeState(bool join) {
  return Encode(join, LocalNodes(), delegate_.LocalState(join));
}

std::optional<std::string> Memberlist::OnStreamRequest(MonotonicTime now,
                                                       std::string_view message) {
  now_ = now;
  const auto seal = [&](std::string_view plain) {
    return SealStream(plain, options_.compress, keyring_, random_);
  };
  const absl::StatusOr<std::string> plain =
      serf::OpenStream(message, kStreamBytesMax, keyring_, &stats_);
  if (!plain.ok()) return seal(EncodeError(MessageOf(plain.status())));
  const std::string_view body = std::string_view(*plain).substr(1);
  switch (static_cast<MessageType>(plain->front())) {
    case MessageType::kPushPull: {
      std::optional<std::string> reply;
      if (!HandlePushPull(body, &reply)) Dropped(Drop::kMalformed);
      return reply;
    }
    case MessageType::kPing: {
      Ping ping;
      if (!Decode(body, &ping)) break;
      if (!ping.node.empty() && ping.node != self_->name) {
        Dropped(Drop::kMisaddressed);
        return std::nullopt;
      }
      return seal(Encode(Ack{.seq = ping.seq}));
    }
    case MessageType::kUser: {
      MsgpackReader reader(body);
      if (!reader.Skip()) break;  // Its length, which the reader of the stream went by.
      delegate_.OnUserMessage(reader.rest());
      return std::nullopt;
    }
    default:
      break;
  }
  Dropped(Drop::kMalformed);
  return std::nullopt;
}

bool Memberlist::HandlePushPull(std::string_view body, std::optional<std::string>* reply) {
  PushPull remote;
  if (!Decode(body, 2 * options_.members_max, &remote)) return false;
  // The answer first, and without what the other side just said.
  *reply = SealStream(EncodeState(remote.join), options_.compress, keyring_, random_);
  ++stats_.push_pulls_served;
  Merge(remote, 0);
  return true;
}

void Memberlist::OnStreamReply(MonotonicTime now, StreamId id,
                               const absl::StatusOr<std::string>& message) {
  now_ = now;
  const auto found = streams_.find(id);
  if (found == streams_.end()) return;
  const Stream stream = std::move(found->second);
  streams_.erase(found);
  absl::StatusOr<std::string> plain = message;
  if (message.ok()) plain = serf::OpenStream(*message, kStreamBytesMax, keyring_, &stats_);
  if (stream.purpose == Purpose::kProbe) return OnProbeStream(stream, plain);

  absl::Status status = plain.status();
  if (plain.ok()) {
    const std::string_view body = std::string_view(*plain).substr(1);
    PushPull remote;
    std::string_view error;
    if (plain->front() == static_cast<char>(MessageType::kPushPull) &&
        Decode(body, 2 * options_.members_max, &remote)) {
      Merge(remote, id);
    } else if (plain->front() == static_cast<char>(MessageType::kError) &&
               DecodeError(body, &error)) {
      status = FailedPrecondition("the other node refuses: {}", error.substr(0, 256));
    } else {
      Dropped(Drop::kMalformed);
      status = InvalidArgument("the other node's answer cannot be read");
    }
  }
  if (status.ok()) {
    const auto taken = static_cast<uint64_t>((now - stream.started).count());
    stats_.push_pull_time_ns += taken;
    stats_.push_pull_time_ns_max = std::max(stats_.push_pull_time_ns_max, taken);
  } else {
    ++stats_.push_pulls_failed;
  }
  delegate_.OnPushPullDone(id, status);
}

void Memberlist::Merge(const PushPull& remote, StreamId stream) {
  for (const NodeRecord& record : remote.nodes) {
    Alive alive = record.alive;
    if (alive.port == 0) alive.port = options_.advertise.port;
    if (!IsAcceptable(alive)) continue;
    switch (record.state) {
      case NodeState::kAlive:
        OnAlive(alive);
        break;
      case NodeState::kLeft:
        OnDead({.incarnation = alive.incarnation, .node = alive.node, .from = alive.node});
        break;
      case NodeState::kSuspect:
      case NodeState::kDead:
        // Nobody is taken for dead on hearsay: there is a chance to refute first.
        OnSuspect({.incarnation = alive.incarnation, .node = alive.node, .from = self_->name});
        break;
    }
  }
  if (!remote.user_state.empty()) delegate_.MergeState(remote.user_state, stream);
}

// ---- Time.

void Memberlist::Tick(MonotonicTime now) {
  MOKV_CHECK(self_ != nullptr);
  now_ = now;
  if (probe_.has_value()) {
    if (now >= probe_->deadline) {
      FinishProbe(/*success=*/false);
    } else if (now >= probe_->indirect_at) {
      GoIndirect();
    } else if (now >= probe_->again_at) {
      PingAgain();
    }
  }
  if (now >= next_probe_) {
    next_probe_ = std::max(next_probe_ + timing_.probe_interval, now);
    if (!probe_.has_value()) StartNextProbe();
  }
  ExpireForwarded();
  ExpireSuspicions();
  if (now >= next_gossip_ && HasGossip()) {
    next_gossip_ = now + timing_.gossip_interval;
    Gossip();
  }
  if (now >= next_push_pull_) {
    next_push_pull_ = now + PushPullPeriod();
    PushPullWithAnyone(now);
  }
}

MonotonicTime Memberlist::NextDeadline() const {
  MonotonicTime next = std::min(next_probe_, next_push_pull_);
  if (probe_.has_value()) {
    next = std::min({next, probe_->deadline, probe_->indirect_at, probe_->again_at});
  }
  for (const auto& [seq, ping] : forwarded_) {
    next = std::min({next, ping.deadline, ping.again_at});
    if (ping.nack) next = std::min(next, ping.nack_at);
  }
  next = std::min(next, NextSuspicion());
  if (HasGossip()) next = std::min(next, next_gossip_);
  return next;
}

void Memberlist::SeedForTest(MonotonicTime now, const std::vector<const Node*>& nodes) {
  now_ = now;
  for (const Node* node : nodes) {
    if (node->name == self_->name) continue;
    auto copy = std::make_shared<Node>(*node);
    copy->changed = now;
    nodes_.push_back(copy);
    by_name_.emplace(copy->name, copy);
    delegate_.OnNodeJoin(copy);
  }
  for (size_t i = nodes_.size(); i > 1; --i) std::swap(nodes_[i - 1], nodes_[random_.Next() % i]);
  // Nothing to announce: everybody knows everybody.
  broadcasts_ = BroadcastQueue();
}

}  // namespace mokv::serf
