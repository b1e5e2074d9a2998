#include "serf/prober.h"

#include <algorithm>

#include "base/check.h"

namespace mokv::serf {
namespace {

// Versions of the memberlist protocol that a receiver must understand for...
constexpr uint8_t kStreamPingSince = 3;
constexpr uint8_t kNackSince = 4;
// The number of pings that ask a suspect to speak up. Nobody waits for an ack with this number: a
// suspect that is alive answers with a refutation.
constexpr uint32_t kSeqOfChecks = 0;

}  // namespace

uint32_t Prober::NewSeq() {
  // Acks are matched by their number alone: an unpredictable one cannot be forged blindly.
  for (;;) {
    const auto seq = static_cast<uint32_t>(env_.random.Next());
    if (seq != 0 && !forwarded_.contains(seq)) return seq;
  }
}

Source Prober::SelfSource() const {
  const ListedNode& self = nodes_.self();
  return {.addr = self.at.addr, .port = self.at.port, .node = self.name};
}

std::string Prober::PingOf(uint32_t seq, std::string_view node) const {
  return Encode(Ping{.seq = seq, .node = node, .source = SelfSource()});
}

// ---- Time.

void Prober::Start() {
  next_probe_ = env_.now + env_.RandomBelow(env_.options.timing.probe_interval);
}

void Prober::Tick() {
  const MonotonicTime now = env_.now;
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
    next_probe_ = std::max(next_probe_ + env_.options.timing.probe_interval, now);
    if (!probe_.has_value()) {
      if (auto target = nodes_.NextToProbe()) StartProbe(std::move(target));
    }
  }
  ExpireForwarded();
  for (const ListedNode* suspect : nodes_.ExpireSuspicions()) {
    SendPingAndSuspicion(*suspect, kSeqOfChecks);
  }
}

MonotonicTime Prober::NextDeadline() const {
  MonotonicTime next = std::min(next_probe_, nodes_.NextSuspicion());
  if (probe_.has_value()) {
    next = std::min({next, probe_->deadline, probe_->indirect_at, probe_->again_at});
  }
  for (const auto& [seq, ping] : forwarded_) {
    next = std::min({next, ping.deadline, ping.again_at});
    if (ping.nack) next = std::min(next, ping.nack_at);
  }
  return next;
}

// ---- Answering.

void Prober::OnPing(const Endpoint& from, std::string_view body) {
  Ping ping;
  if (!Decode(body, &ping)) return env_.Dropped(Drop::kMalformed);
  if (!ping.node.empty() && ping.node != nodes_.self().name) {
    return env_.Dropped(Drop::kMisaddressed);
  }
  const bool has_source = IsValidAddress(ping.source.addr) && ping.source.port != 0;
  const Endpoint to = has_source ? Endpoint{std::string(ping.source.addr), ping.source.port} : from;
  const std::string payload = EncodeCoordinate(coordinates_.own());
  gossiper_.SendWithGossip(to, Encode(Ack{.seq = ping.seq, .payload = payload}));
}

void Prober::OnIndirectPing(const Endpoint& from, std::string_view body) {
  IndirectPing request;
  if (!Decode(body, &request) || !IsValidAddress(request.target)) {
    return env_.Dropped(Drop::kMalformed);
  }
  if (forwarded_.size() >= kForwardedPingsMax) return env_.Dropped(Drop::kQueueFull);
  const Duration timeout = env_.options.timing.probe_timeout;
  const bool has_source = IsValidAddress(request.source.addr) && request.source.port != 0;
  const uint32_t seq = NewSeq();
  ++env_.stats.indirect_pings_served;
  Forwarded ping{.seq = request.seq, .node = std::string(request.node), .nack = request.nack};
  ping.requester =
      has_source ? Endpoint{std::string(request.source.addr), request.source.port} : from;
  ping.target = {std::string(request.target),
                 request.port != 0 ? request.port : env_.options.advertise.port};
  // A little before the target's time is up: a nack at the last moment would reach the requester
  // when it has given up already, and would count as trouble of the requester's own.
  ping.nack_at = env_.now + timeout * 4 / 5;
  ping.again_at = env_.now + timeout * 2 / 5;
  ping.deadline = env_.now + timeout;
  PingFor(forwarded_.emplace(seq, std::move(ping)).first->second, seq);
}

void Prober::PingFor(const Forwarded& ping, uint32_t seq) {
  gossiper_.SendWithGossip(ping.target, PingOf(seq, ping.node));
}

void Prober::ExpireForwarded() {
  for (auto it = forwarded_.begin(); it != forwarded_.end();) {
    Forwarded& ping = it->second;
    if (env_.now >= ping.again_at) {
      ping.again_at = MonotonicTime::Max();
      PingFor(ping, it->first);
    }
    if (ping.nack && env_.now >= ping.nack_at) {
      ping.nack = false;
      gossiper_.SendWithGossip(ping.requester, Encode(Nack{.seq = ping.seq}));
    }
    it = env_.now >= ping.deadline ? forwarded_.erase(it) : std::next(it);
  }
}

// ---- Asking.

void Prober::StartProbe(std::shared_ptr<const ListedNode> target) {
  MOKV_CHECK(!probe_.has_value());
  const Timing& timing = env_.options.timing;
  ++env_.stats.probes;
  const uint32_t seq = NewSeq();
  probe_ = Probe{.target = target,
                 .seq = seq,
                 .started = env_.now,
                 .again_at = env_.now + timing.probe_timeout / 2,
                 .indirect_at = env_.now + timing.probe_timeout,
                 .deadline = env_.now + timing.probe_interval * (nodes_.awareness() + 1)};
  // A suspect must learn what is said about it, to be able to refute it.
  if (target->state == NodeState::kSuspect) return SendPingAndSuspicion(*target, seq);
  gossiper_.SendWithGossip(target->at, PingOf(seq, target->name));
}

void Prober::SendPingAndSuspicion(const ListedNode& node, uint32_t seq) {
  env_.SendPacket(node.at,
                  {PingOf(seq, node.name), Encode(Suspect{.incarnation = node.incarnation,
                                                          .node = node.name,
                                                          .from = nodes_.self().name})},
                  node.TakesChecksums());
}

// One lost packet is no sign of trouble. A second ping costs less than what a suspicion sets off.
void Prober::PingAgain() {
  probe_->again_at = MonotonicTime::Max();
  const ListedNode& target = *probe_->target;
  gossiper_.SendWithGossip(target.at, PingOf(probe_->seq, target.name));
}

void Prober::GoIndirect() {
  Probe& probe = *probe_;
  PingAgain();
  probe.indirect_at = MonotonicTime::Max();
  const ListedNode& target = *probe.target;
  const auto helpers = nodes_.Random(
      static_cast<size_t>(env_.options.timing.indirect_checks), [&](const ListedNode& node) {
        return node.state == NodeState::kAlive && node.name != target.name && !nodes_.IsSelf(node);
      });
  for (const ListedNode* helper : helpers) {
    const bool nack = helper->Speaks(kNackSince);
    probe.nacks_expected += nack ? 1 : 0;
    ++probe.helpers;
    ++env_.stats.indirect_pings_sent;
    gossiper_.SendWithGossip(helper->at, Encode(IndirectPing{.seq = probe.seq,
                                                             .target = target.at.addr,
                                                             .port = target.at.port,
                                                             .node = target.name,
                                                             .nack = nack,
                                                             .source = SelfSource()}));
  }
  if (target.Speaks(kStreamPingSince)) {
    const StreamId stream =
        env_.BeginStream(target.at, PingOf(probe.seq, target.name), probe.deadline);
    streams_.emplace(stream, probe.seq);
  }
}

std::optional<Pong> Prober::OnAck(std::string_view body) {
  Ack ack;
  if (!Decode(body, &ack)) {
    env_.Dropped(Drop::kMalformed);
    return std::nullopt;
  }
  if (probe_.has_value() && probe_->seq == ack.seq) {
    const Pong pong{probe_->target, env_.now - probe_->started, ack.payload};
    FinishProbe(/*success=*/true);
    // Only the target itself adds a payload; a helper that passes its ack on does not.
    return pong.payload.empty() ? std::nullopt : std::optional(pong);
  }
  if (ack.seq == kSeqOfChecks) return std::nullopt;
  auto forwarded = forwarded_.extract(ack.seq);
  if (forwarded.empty()) {
    env_.Dropped(Drop::kStale);
    return std::nullopt;
  }
  const Forwarded& ping = forwarded.mapped();
  gossiper_.SendWithGossip(ping.requester, Encode(Ack{.seq = ping.seq}));
  return std::nullopt;
}

void Prober::OnNack(std::string_view body) {
  Nack nack;
  if (!Decode(body, &nack)) return env_.Dropped(Drop::kMalformed);
  if (!probe_.has_value() || probe_->seq != nack.seq) return env_.Dropped(Drop::kStale);
  if (probe_->nacks < probe_->nacks_expected) ++probe_->nacks;
  // All helpers have said no, and the target itself has not answered all the while.
  const bool is_hopeless = probe_->helpers > 0 && probe_->nacks == probe_->helpers;
  if (is_hopeless) FinishProbe(/*success=*/false);
}

bool Prober::OnStreamReply(StreamId id, const absl::StatusOr<std::string>& message) {
  const auto stream = streams_.extract(id);
  if (stream.empty()) return false;
  const uint32_t seq = stream.mapped();
  const absl::StatusOr<std::string> plain = message.ok() ? env_.Unseal(*message) : message;
  if (!probe_.has_value() || probe_->seq != seq) return true;
  Ack ack;
  if (plain.ok() && plain->front() == static_cast<char>(MessageType::kAck) &&
      Decode(std::string_view(*plain).substr(1), &ack) && ack.seq == seq) {
    ++env_.stats.probes_saved_by_stream;
    FinishProbe(/*success=*/true);
  } else if (plain.status().code() == absl::StatusCode::kFailedPrecondition) {
    // Its machine says that nobody listens there. If helpers hear from it nevertheless, they do so
    // at once; it is of no use to wait longer for the others.
    probe_->refused = true;
    probe_->deadline = std::min(probe_->deadline, env_.now + env_.options.timing.probe_timeout / 2);
  }
  return true;
}

void Prober::FinishProbe(bool success) {
  const Probe probe = std::move(*probe_);
  probe_.reset();
  if (success) return nodes_.AddAwareness(-1);
  ++env_.stats.probes_failed;
  // If helpers do not even say no, perhaps it is this node that does not hear. But if the target's
  // machine has refused the connection, this node has heard that.
  if (!probe.refused) {
    nodes_.AddAwareness(probe.nacks_expected > 0 ? probe.nacks_expected - probe.nacks : 1);
  }
  nodes_.Suspect(*probe.target);
}

}  // namespace mokv::serf
