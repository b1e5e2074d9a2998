// PeerNetwork: what is said on established connections.
#include <utility>

#include "base/check.h"
#include "base/logging.h"
#include "base/status.h"
#include "peer/forward_codec.h"
#include "peer/peer_network.h"

namespace mokv::peer {

const Attachment& EncodedBatches::Get(const raft::EntryBatch& entries) {
  for (const auto& [batch, attachment] : batches_) {
    if (batch == entries.get()) return *attachment;
  }
  batches_.emplace_back(entries.get(), std::make_unique<Attachment>(EncodeEntries(*entries)));
  return *batches_.back().second;
}

// Out.

PeerNetwork::Established* PeerNetwork::Find(replica::ConnectionId id) {
  const auto found = established_.find(id);
  return found == established_.end() ? nullptr : &found->second;
}

void PeerNetwork::Send(const std::vector<raft::Message>& messages) {
  for (const raft::Message& message : messages) SendOne(message);
  batches_.Clear();
  FlushAll();
}

void PeerNetwork::SendOne(const raft::Message& message) {
  const auto peer = peers_.find(message.to);
  Established* to = peer == peers_.end() ? nullptr : peer->second.best();
  if (to == nullptr) {
    Counters::Add(context_.counters.dropped_unconnected);
    return;
  }
  frame_.Clear();
  EncodeMessage(message, *frame_.mutable_raft());
  const Options& options = context_.options;
  const auto* append = std::get_if<raft::Append>(&message.body);
  if (append == nullptr || append->entries == nullptr || append->entries->empty()) {
    Write(*to, frame_, nullptr, options.waiting_bytes_max + options.waiting_bytes_reserve);
  } else if (to->connection->waiting_bytes() > options.waiting_bytes_max) {
    Counters::Add(context_.counters.dropped_full);  // Before anything is encoded for it.
  } else if (append->entries->size() >= kRecordsMax) {
    Counters::Add(context_.counters.dropped_too_large);
  } else {
    Write(*to, frame_, &batches_.Get(append->entries), options.waiting_bytes_max);
  }
}

bool PeerNetwork::Write(Established& to, const proto::Frame& frame, const Attachment* attachment,
                        size_t waiting_bytes_max) {
  if (to.connection->waiting_bytes() > waiting_bytes_max) {
    Counters::Add(context_.counters.dropped_full);
    return false;
  }
  if (!to.connection->Write(frame, attachment)) {
    Counters::Add(context_.counters.dropped_too_large);
    return false;
  }
  if (!to.is_dirty) {
    to.is_dirty = true;
    dirty_.push_back(to.id);
  }
  return true;
}

void PeerNetwork::FlushSoon() {
  if (std::exchange(flush_is_posted_, true)) return;
  context_.thread.Post([weak = weak_from_this()] {
    const std::shared_ptr<PeerNetwork> self = weak.lock();
    if (self == nullptr) return;
    self->flush_is_posted_ = false;
    self->FlushAll();
  });
}

void PeerNetwork::FlushAll() {
  for (const replica::ConnectionId id : dirty_) {
    Established* established = Find(id);
    if (established == nullptr) continue;
    established->is_dirty = false;
    established->connection->Flush();
  }
  dirty_.clear();
}

replica::ConnectionId PeerNetwork::SendForward(raft::NodeId to, const replica::Forward& forward) {
  const auto peer = peers_.find(to);
  Established* out = peer == peers_.end() ? nullptr : peer->second.best();
  if (out == nullptr || out->connection->closed() || out->is_leaving) {
    Counters::Add(context_.counters.dropped_unconnected);
    return replica::ConnectionId();
  }
  if (out->connection->waiting_bytes() > context_.options.waiting_bytes_max) {
    Counters::Add(context_.counters.dropped_full);  // Before anything is encoded for it.
    return replica::ConnectionId();
  }
  const auto* writes = std::get_if<replica::ForwardedWrites>(&forward.body);
  if (writes != nullptr && writes->writes.size() > kRecordsMax) {
    Counters::Add(context_.counters.dropped_too_large);
    return replica::ConnectionId();
  }
  proto::Frame frame;
  Attachment attachment;
  EncodeForward(forward, *frame.mutable_forward(), attachment);
  if (!Write(*out, frame, &attachment, context_.options.waiting_bytes_max)) {
    return replica::ConnectionId();
  }
  FlushSoon();
  return out->id;
}

void PeerNetwork::Answer(replica::ConnectionId connection, const replica::ForwardAnswer& answer) {
  Established* out = Find(connection);
  if (out == nullptr) {
    Counters::Add(context_.counters.dropped_unconnected);
    return;
  }
  proto::Frame frame;
  Attachment attachment;
  EncodeAnswer(answer, *frame.mutable_forward_answer(), attachment);
  const Options& options = context_.options;
  Write(*out, frame, &attachment, options.waiting_bytes_max + options.waiting_bytes_reserve);
  FlushSoon();
}

void PeerNetwork::SendDigest(raft::NodeId to, const replica::StateDigest& digest) {
  const auto peer = peers_.find(to);
  if (peer == peers_.end() || peer->second.best() == nullptr) return;
  proto::Frame frame;
  proto::Digest& out = *frame.mutable_digest();
  out.set_index(digest.index.value());
  out.set_format(digest.format);
  out.set_low(digest.low);
  out.set_high(digest.high);
  if (Write(*peer->second.best(), frame, nullptr, context_.options.waiting_bytes_max)) FlushSoon();
}

void PeerNetwork::SendPing(Established& to) {
  if (!to.ping_is_pending) {
    ++to.pings;
    to.ping_is_pending = true;
    to.ping_sent_at = context_.clock.Now();
  }
  // A ping leaves even while the last one has not been answered, so that the other side does not
  // take us for dead, and however much waits: silence ends the connection before there are many.
  proto::Frame frame;
  frame.mutable_ping()->set_id(to.pings);
  to.connection->Write(frame);
  to.connection->Flush();
}

// A goodbye leaves behind what was sent before it, so its answer shows that all of that has
// arrived.
void PeerNetwork::Farewell(Task done) {
  farewell_done_ = std::move(done);
  for (auto& [id, established] : established_) {
    proto::Frame frame;
    frame.mutable_goodbye();
    established.owes_goodbye = established.connection->Write(frame);
    established.connection->Flush();
  }
  CheckFarewell();
}

void PeerNetwork::CheckFarewell() {
  if (farewell_done_ == nullptr) return;
  for (const auto& [id, established] : established_) {
    if (established.owes_goodbye) return;
  }
  std::exchange(farewell_done_, nullptr)();
}

void PeerNetwork::Identify(const std::string& rpc_address, IdentifyDone done) {
  absl::StatusOr<net::HostPort> target = net::ParseHostPort(rpc_address);
  if (target.ok() && identifying_.size() >= context_.options.identify_max) {
    target = ResourceExhausted("{} nodes are being asked already", identifying_.size());
  }
  if (is_stopped_) return;
  if (!target.ok()) {
    context_.thread.Post(
        [weak = weak_from_this(), status = target.status(), done = std::move(done)]() mutable {
          const std::shared_ptr<PeerNetwork> self = weak.lock();
          if (self != nullptr && !self->is_stopped_) done(std::move(status));
        });
    return;
  }
  const uint64_t number = ++last_identify_;
  auto finish = [this, number,
                 done = std::move(done)](absl::StatusOr<Dial::Reached> reached) mutable {
    const auto found = identifying_.find(number);
    MOKV_CHECK(found != identifying_.end());
    context_.thread.DeleteSoon(std::move(found->second));
    identifying_.erase(found);
    if (!reached.ok()) {
      done(reached.status());
      return;
    }
    reached->connection->Close();
    context_.thread.DeleteSoon(std::move(reached->connection));
    Remote& remote = reached->remote;
    done(replica::PeerIdentity{.name = std::move(remote.name),
                               .instance_id = std::move(remote.instance_id),
                               .cluster_id = std::move(remote.cluster_id),
                               .version = std::move(remote.version),
                               .replaces = std::move(remote.replaces)});
  };
  auto dial =
      std::make_unique<Dial>(context_, *target, Expected(), Purpose::kIdentify, std::move(finish));
  Dial& started = *dial;
  identifying_.emplace(number, std::move(dial));
  started.Start();
}

// In.

absl::Status PeerNetwork::OnFrame(Connection& connection, const proto::Frame& frame,
                                  std::string_view attachment) {
  if (frame.group() != kGroup) return absl::UnimplementedError("of another group");
  Established* from = Find(connection.id());
  MOKV_CHECK(from != nullptr);
  switch (frame.body_case()) {
    case proto::Frame::kPing:
      OnPing(*from, frame.ping());
      return absl::OkStatus();
    case proto::Frame::kPong:
      OnPong(*from, frame.pong());
      return absl::OkStatus();
    case proto::Frame::kGoodbye:
      OnGoodbye(*from, frame.goodbye());
      return absl::OkStatus();
    case proto::Frame::kRaft:
      return OnRaft(*from, frame.raft(), attachment);
    case proto::Frame::kForward: {
      MOKV_ASSIGN_OR_RETURN(replica::Forward forward, DecodeForward(frame.forward(), attachment));
      handler_.OnForward(from->remote.id, from->id, std::move(forward));
      return absl::OkStatus();
    }
    case proto::Frame::kForwardAnswer: {
      MOKV_ASSIGN_OR_RETURN(replica::ForwardAnswer answer,
                            DecodeAnswer(frame.forward_answer(), attachment));
      handler_.OnForwardAnswer(from->id, std::move(answer));
      return absl::OkStatus();
    }
    case proto::Frame::kDigest: {
      const proto::Digest& digest = frame.digest();
      handler_.OnDigest(from->remote.id, {.index = Index(digest.index()),
                                          .format = digest.format(),
                                          .low = digest.low(),
                                          .high = digest.high()});
      return absl::OkStatus();
    }
    case proto::Frame::kHello:
    case proto::Frame::kHelloReply:
      return absl::InvalidArgumentError("a second greeting");
    case proto::Frame::kSnapshotRead:
    case proto::Frame::kSnapshotChunk:
      return absl::InvalidArgumentError("a part of a snapshot on a connection for messages");
    case proto::Frame::BODY_NOT_SET:
      break;
  }
  return absl::UnimplementedError("a frame of an unknown kind");
}

absl::Status PeerNetwork::OnRaft(Established& from, const proto::Raft& message,
                                 std::string_view attachment) {
  if (message.from() != from.remote.id.value() || message.to() != context_.local.id.value()) {
    return InvalidArgument("a message from {:016x} to {:016x} on a connection from {:016x}",
                           message.from(), message.to(), from.remote.id.value());
  }
  MOKV_ASSIGN_OR_RETURN(raft::Message decoded, DecodeMessage(message, attachment));
  handler_.OnMessage(std::move(decoded));
  return absl::OkStatus();
}

void PeerNetwork::OnPing(Established& from, const proto::Ping& ping) {
  proto::Frame frame;
  frame.mutable_pong()->set_id(ping.id());
  const Options& options = context_.options;
  Write(from, frame, nullptr, options.waiting_bytes_max + options.waiting_bytes_reserve);
  FlushSoon();
}

void PeerNetwork::OnPong(Established& from, const proto::Pong& pong) {
  if (!from.ping_is_pending || pong.id() != from.pings) return;  // Not the answer to the last one.
  from.ping_is_pending = false;
  Peer& peer = PeerOf(from.remote.id);
  peer.stats.round_trips.Add(context_.clock.Now() - from.ping_sent_at);
  Publish(peer);
}

void PeerNetwork::OnGoodbye(Established& from, const proto::Goodbye& goodbye) {
  if (goodbye.is_answer()) {
    from.owes_goodbye = false;
    CheckFarewell();
    return;
  }
  from.is_leaving = true;
  proto::Frame frame;
  frame.mutable_goodbye()->set_is_answer(true);
  const Options& options = context_.options;
  Write(from, frame, nullptr, options.waiting_bytes_max + options.waiting_bytes_reserve);
  FlushSoon();
}

}  // namespace mokv::peer
