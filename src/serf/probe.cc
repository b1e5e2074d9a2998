// Failure detection: pings, indirect pings, their TCP fallback, and what they do to our own
// confidence (awareness).
#include <algorithm>

#include "base/check.h"
#include "serf/memberlist.h"

namespace mokv::serf {
namespace {

// Versions of the memberlist protocol that a receiver must understand for...
constexpr uint8_t kStreamPingSince = 3;
constexpr uint8_t kNackSince = 4;
constexpr uint8_t kChecksumSince = 5;
// Asks a suspect to speak up; who answers is known by what it says, not by this number.
constexpr uint32_t kSeqOfChecks = 0;

}  // namespace

uint32_t Memberlist::NewSeq() {
  // Acks are matched by their number alone: an unpredictable one cannot be forged blindly.
  for (;;) {
    const auto seq = static_cast<uint32_t>(random_.Next());
    if (seq != 0 && !forwarded_.contains(seq)) return seq;
  }
}

Source Memberlist::SelfSource() const {
  return {.addr = self_->at.addr, .port = self_->at.port, .node = self_->name};
}

void Memberlist::AddAwareness(int delta) {
  awareness_ = std::clamp(awareness_ + delta, 0, timing_.awareness_max - 1);
}

// ---- Answering.

void Memberlist::HandlePing(const Endpoint& from, std::string_view body) {
  Ping ping;
  if (!Decode(body, &ping)) return Dropped(Drop::kMalformed);
  if (!ping.node.empty() && ping.node != self_->name) return Dropped(Drop::kMisaddressed);
  const bool has_source = IsValidAddress(ping.source.addr) && ping.source.port != 0;
  const Endpoint to = has_source ? Endpoint{std::string(ping.source.addr), ping.source.port} : from;
  const std::string payload = delegate_.AckPayload();
  SendWithGossip(to, Encode(Ack{.seq = ping.seq, .payload = payload}));
}

void Memberlist::HandleIndirectPing(const Endpoint& from, std::string_view body) {
  IndirectPing request;
  if (!Decode(body, &request) || !IsValidAddress(request.target)) {
    return Dropped(Drop::kMalformed);
  }
  if (forwarded_.size() >= kForwardedPingsMax) return Dropped(Drop::kQueueFull);
  const bool has_source = IsValidAddress(request.source.addr) && request.source.port != 0;
  const uint32_t seq = NewSeq();
  ++stats_.indirect_pings_served;
  Forwarded ping{.seq = request.seq, .node = std::string(request.node), .nack = request.nack};
  ping.requester =
      has_source ? Endpoint{std::string(request.source.addr), request.source.port} : from;
  ping.target = {std::string(request.target),
                 request.port != 0 ? request.port : options_.advertise.port};
  // A little before the target's time is up: a nack on the last moment would reach the requester
  // when it has already given up, and count as trouble of its own.
  ping.nack_at = now_ + timing_.probe_timeout * 4 / 5;
  ping.again_at = now_ + timing_.probe_timeout * 2 / 5;
  ping.deadline = now_ + timing_.probe_timeout;
  PingFor(forwarded_.emplace(seq, std::move(ping)).first->second, seq);
}

void Memberlist::PingFor(const Forwarded& ping, uint32_t seq) {
  SendWithGossip(ping.target, Encode(Ping{.seq = seq, .node = ping.node, .source = SelfSource()}));
}

void Memberlist::ExpireForwarded() {
  for (auto it = forwarded_.begin(); it != forwarded_.end();) {
    Forwarded& ping = it->second;
    if (now_ >= ping.again_at) {
      ping.again_at = MonotonicTime::Max();
      PingFor(ping, it->first);
    }
    if (ping.nack && now_ >= ping.nack_at) {
      ping.nack = false;
      SendWithGossip(ping.requester, Encode(Nack{.seq = ping.seq}));
    }
    it = now_ >= ping.deadline ? forwarded_.erase(it) : std::next(it);
  }
}

// ---- Asking.

void Memberlist::StartNextProbe() {
  if (std::shared_ptr<Node> target = NextTarget()) StartProbe(std::move(target));
}

std::shared_ptr<Node> Memberlist::NextTarget() {
  for (size_t looked_at = 0; looked_at <= nodes_.size(); ++looked_at) {
    if (probe_index_ >= nodes_.size()) {
      // Once around: those that are gone are forgotten here, and a new order keeps the time until
      // somebody probes a given node evenly distributed. The dead stay for as long as Serf lists
      // them: after a partition each must hear of its own death from our list, to refute it.
      probe_index_ = 0;
      for (size_t i = 0; i < nodes_.size();) {
        const Node& node = *nodes_[i];
        const Duration kept =
            node.state == NodeState::kLeft ? timing_.gossip_to_the_dead : timing_.failed_timeout;
        if (!node.IsMember() && &node != self_.get() && now_ - node.changed > kept) {
          Forget(i);
        } else {
          ++i;
        }
      }
      for (size_t i = nodes_.size(); i > 1; --i) {
        std::swap(nodes_[i - 1], nodes_[random_.Next() % i]);
      }
    }
    const std::shared_ptr<Node>& node = nodes_[probe_index_++];
    if (node != self_ && node->IsMember()) return node;
  }
  return nullptr;
}

void Memberlist::StartProbe(std::shared_ptr<Node> target) {
  MOKV_CHECK(!probe_.has_value());
  ++stats_.probes;
  const uint32_t seq = NewSeq();
  probe_ = Probe{.target = target,
                 .seq = seq,
                 .started = now_,
                 .again_at = now_ + timing_.probe_timeout / 2,
                 .indirect_at = now_ + timing_.probe_timeout,
                 .deadline = now_ + timing_.probe_interval * (awareness_ + 1)};
  // A suspect must learn what is said about it, to be able to refute it.
  if (target->state == NodeState::kSuspect) return SendPingAndSuspicion(*target, seq);
  SendWithGossip(target->at,
                 Encode(Ping{.seq = seq, .node = target->name, .source = SelfSource()}));
}

void Memberlist::SendPingAndSuspicion(const Node& node, uint32_t seq) {
  SendPacket(
      node.at,
      {Encode(Ping{.seq = seq, .node = node.name, .source = SelfSource()}),
       Encode(Suspect{.incarnation = node.incarnation, .node = node.name, .from = self_->name})},
      node.versions[kProtocolMax] >= kChecksumSince);
}

void Memberlist::CheckSuspect(const Node& node) { SendPingAndSuspicion(node, kSeqOfChecks); }

// One packet lost is no sign of trouble; a second one costs less than what a suspicion sets off.
void Memberlist::PingAgain() {
  probe_->again_at = MonotonicTime::Max();
  const Node& target = *probe_->target;
  SendWithGossip(target.at,
                 Encode(Ping{.seq = probe_->seq, .node = target.name, .source = SelfSource()}));
}

void Memberlist::GoIndirect() {
  Probe& probe = *probe_;
  PingAgain();
  probe.indirect_at = MonotonicTime::Max();
  const Node& target = *probe.target;
  const auto helpers =
      RandomNodes(static_cast<size_t>(timing_.indirect_checks), [&](const Node& node) {
        return node.state == NodeState::kAlive && node.name != target.name &&
               node.name != self_->name;
      });
  for (const Node* helper : helpers) {
    const bool nack = helper->versions[kProtocolMax] >= kNackSince;
    probe.nacks_expected += nack ? 1 : 0;
    ++probe.helpers;
    ++stats_.indirect_pings_sent;
    SendWithGossip(helper->at, Encode(IndirectPing{.seq = probe.seq,
                                                   .target = target.at.addr,
                                                   .port = target.at.port,
                                                   .node = target.name,
                                                   .nack = nack,
                                                   .source = SelfSource()}));
  }
  if (target.versions[kProtocolMax] >= kStreamPingSince) {
    probe.stream = OpenStream(
        target.at, Encode(Ping{.seq = probe.seq, .node = target.name, .source = SelfSource()}),
        {.purpose = Purpose::kProbe, .node = target.name, .seq = probe.seq}, probe.deadline);
  }
}

void Memberlist::HandleAck(std::string_view body) {
  Ack ack;
  if (!Decode(body, &ack)) return Dropped(Drop::kMalformed);
  if (probe_.has_value() && probe_->seq == ack.seq) {
    // Only the target itself adds a payload, not one who asked it for us.
    if (!ack.payload.empty())
      delegate_.OnPong(*probe_->target, now_ - probe_->started, ack.payload);
    return FinishProbe(/*success=*/true);
  }
  if (ack.seq == kSeqOfChecks) return;
  const auto forwarded = forwarded_.find(ack.seq);
  if (forwarded == forwarded_.end()) return Dropped(Drop::kStale);
  const Forwarded ping = forwarded->second;
  forwarded_.erase(forwarded);
  SendWithGossip(ping.requester, Encode(Ack{.seq = ping.seq}));
}

void Memberlist::HandleNack(std::string_view body) {
  Nack nack;
  if (!Decode(body, &nack)) return Dropped(Drop::kMalformed);
  if (!probe_.has_value() || probe_->seq != nack.seq) return Dropped(Drop::kStale);
  if (probe_->nacks < probe_->nacks_expected) ++probe_->nacks;
  if (ProbeIsHopeless()) FinishProbe(/*success=*/false);
}

void Memberlist::OnProbeStream(const Stream& stream, const absl::StatusOr<std::string>& message) {
  if (!probe_.has_value() || probe_->seq != stream.seq) return;
  Ack ack;
  if (message.ok() && message->front() == static_cast<char>(MessageType::kAck) &&
      Decode(std::string_view(*message).substr(1), &ack) && ack.seq == stream.seq) {
    ++stats_.probes_saved_by_stream;
    return FinishProbe(/*success=*/true);
  }
  if (message.status().code() == absl::StatusCode::kFailedPrecondition) {
    // Its machine says that nobody listens there. Helpers that hear from it nevertheless do so at
    // once; there is no use in waiting for the others.
    probe_->refused = true;
    probe_->deadline = std::min(probe_->deadline, now_ + timing_.probe_timeout / 2);
  }
}

bool Memberlist::ProbeIsHopeless() const {
  // Everybody who was asked has said no, and its port has not answered all the while.
  return probe_->helpers > 0 && probe_->nacks == probe_->helpers;
}

void Memberlist::FinishProbe(bool success) {
  const Probe probe = std::move(*probe_);
  probe_.reset();
  if (success) return AddAwareness(-1);
  ++stats_.probes_failed;
  // Helpers that do not even say no: perhaps it is we who do not hear. A refusal was heard well.
  if (!probe.refused) {
    AddAwareness(probe.nacks_expected > 0 ? probe.nacks_expected - probe.nacks : 1);
  }
  OnSuspect(
      {.incarnation = probe.target->incarnation, .node = probe.target->name, .from = self_->name});
}

}  // namespace mokv::serf
