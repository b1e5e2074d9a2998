#include "peer/peer_network.h"

#include <algorithm>
#include <ctime>
#include <utility>

#include "base/check.h"
#include "base/logging.h"
#include "base/status.h"
#include "peer/frame.h"

namespace mokv::peer {
namespace {

LocalNode LocalNodeOf(const Options& options, const PeerTls& tls) {
  return {.name = options.name,
          .instance_id = options.instance_id,
          .rpc_address = options.rpc_address,
          .version = options.version,
          .cluster_id = options.cluster_id,
          .replaces = options.replaces,
          .id = raft::NodeIdOf(options.name, options.instance_id),
          // Never 0, which means unknown.
          .process_id = options.process_id != 0 ? options.process_id : NewSalt() | 1,
          .allowed_names = tls.allowed_names};
}

}  // namespace

std::shared_ptr<PeerNetwork> PeerNetwork::Create(net::IoThread& thread, const Clock& clock,
                                                 replica::PeersHandler& handler, Options options) {
  // Not kept with the options: other keys come, and then nobody holds the old ones.
  PeerTls tls = std::exchange(options.tls, PeerTls());
  return std::shared_ptr<PeerNetwork>(
      new PeerNetwork(thread, clock, handler, std::move(options), std::move(tls)));
}

PeerNetwork::PeerNetwork(net::IoThread& thread, const Clock& clock, replica::PeersHandler& handler,
                         Options options, PeerTls tls)
    : context_{.thread = thread,
               .clock = clock,
               .options = options,
               .local = LocalNodeOf(options, tls),
               .tls = std::move(tls),
               .random = SeededRandom(NewSalt())},
      handler_(handler),
      snapshots_(context_, handler, [this](const Remote& remote) { return IsDuplicate(remote); }),
      greeter_(context_,
               {.has_room = [this](const Remote& remote,
                                   Purpose purpose) { return HasRoom(remote, purpose); },
                .is_duplicate = [this](const Remote& remote) { return IsDuplicate(remote); },
                .welcome =
                    [this](std::unique_ptr<Connection> connection, Remote remote, Purpose purpose) {
                      OnWelcome(std::move(connection), std::move(remote), purpose);
                    }}),
      tick_(thread),
      distrusted_timer_(thread) {
  MOKV_CHECK(!options.name.empty() && !options.instance_id.empty());
  StartTick();
}

PeerNetwork::~PeerNetwork() { Stop(); }

net::Protocol PeerNetwork::protocol() {
  net::Protocol protocol;
  protocol.alpn = kAlpn;
  protocol.clear_prefix = kMagic;
  protocol.accept = [weak = weak_from_this(), thread = &context_.thread](
                        std::unique_ptr<net::Transport> transport, std::string_view first_bytes) {
    net::Transport::MoveTo(
        std::move(transport), *thread,
        [weak, first_bytes = std::string(first_bytes)](std::unique_ptr<net::Transport> arrived) {
          const std::shared_ptr<PeerNetwork> self = weak.lock();
          if (self != nullptr) self->Accept(std::move(arrived), first_bytes);
        });
  };
  return protocol;
}

void PeerNetwork::Accept(std::unique_ptr<net::Transport> transport, std::string_view first_bytes) {
  if (!is_stopped_) greeter_.Accept(std::move(transport), first_bytes);
}

void PeerNetwork::Stop() {
  is_stopped_ = true;
  farewell_done_ = nullptr;
  tick_.Cancel();
  distrusted_timer_.Cancel();
  greeter_.Stop();
  snapshots_.Stop();
  for (auto& [number, dial] : identifying_) {
    dial->Cancel();
    context_.thread.DeleteSoon(std::move(dial));
  }
  identifying_.clear();
  peers_.clear();
  for (auto& [id, established] : established_) {
    established.connection->Close();
    context_.thread.DeleteSoon(std::move(established.connection));
  }
  established_.clear();
  incoming_ = 0;
  context_.counters.open = 0;
  MutexLock lock(mutex_);
  published_.clear();
}

void PeerNetwork::SetTls(PeerTls tls) {
  if (is_stopped_) return;
  context_.local.allowed_names = tls.allowed_names;
  context_.tls = std::move(tls);
  EndDistrusted(/*grace_is_over=*/false);
  snapshots_.LeaveDistrusted();
}

void PeerNetwork::EndDistrusted(bool grace_is_over) {
  std::map<replica::ConnectionId, std::string> distrusted;
  bool any_waits = false;
  for (const auto& [id, established] : established_) {
    const absl::Status trusted = established.connection->CheckTrust(established.is_outgoing);
    if (trusted.ok()) continue;
    const Established* own = PeerOf(established.remote.id).outgoing;
    const bool has_own = own != nullptr && own->connection->CheckTrust(/*is_outgoing=*/true).ok();
    if (established.is_outgoing || has_own || grace_is_over) {
      distrusted.emplace(id, MessageOf(trusted));
    } else {
      any_waits = true;
    }
  }
  for (const auto& [id, reason] : distrusted) {
    Counters::Add(context_.counters.distrusted);
    End(id, reason);
  }
  const bool was_waiting = std::exchange(distrusted_wait_, any_waits);
  if (!any_waits) return distrusted_timer_.Cancel();
  // Begun anew by each reload, it would never be over if they come often.
  if (was_waiting) return;
  distrusted_timer_.Start(context_.options.distrusted_grace,
                          [this] { EndDistrusted(/*grace_is_over=*/true); });
}

// Who is to be connected.

PeerNetwork::Peer& PeerNetwork::PeerOf(raft::NodeId id) {
  Peer& peer = peers_[id];
  peer.id = id;
  peer.stats.id = id;
  return peer;
}

void PeerNetwork::SetMembership(std::shared_ptr<const raft::Membership> membership) {
  MOKV_CHECK(membership != nullptr);
  if (is_stopped_) return;
  for (const auto& [id, member] : membership->members()) {
    // A member of our own name is this node, or what it was before it lost its disk.
    if (member.name != context_.local.name) KeepLink(member);
  }
  for (auto& [id, peer] : peers_) {
    if (peer.link != nullptr && !membership->Contains(id)) RemoveLinkSoon(peer);
  }
  // A member takes nobody's place any more: it may itself be replaced one day, and come back.
  if (membership->Contains(context_.local.id)) context_.local.replaces.clear();
  if (membership->cluster_id().empty()) return;
  context_.local.cluster_id = membership->cluster_id();
  for (const auto& [id, established] : established_) {
    const std::string& theirs = established.remote.cluster_id;
    if (!theirs.empty() && theirs != context_.local.cluster_id) EndSoon(id, "of another cluster");
  }
  snapshots_.LeaveOtherClusters();
}

void PeerNetwork::KeepLink(const raft::Member& member) {
  Peer& peer = PeerOf(member.id);
  peer.removal = nullptr;
  peer.stats.name = member.name;
  peer.stats.address = member.rpc_address;
  if (peer.link == nullptr) {
    Link::Owner& owner = *this;
    peer.link = std::make_unique<Link>(context_, member, Purpose::kMessages, owner);
  } else if (peer.link->address() != member.rpc_address) {
    peer.link->SetAddress(member.rpc_address);
    const bool elsewhere = peer.link->connected_address() != member.rpc_address;
    if (peer.outgoing != nullptr && elsewhere) EndSoon(peer.outgoing->id, "moved");
  }
  TellHints(peer);
  Publish(peer);
}

void PeerNetwork::SetAddressHints(std::map<raft::NodeId, std::string> hints) {
  if (is_stopped_) return;
  hints_ = std::move(hints);
  for (auto& [id, peer] : peers_) TellHints(peer);
}

void PeerNetwork::TellHints(Peer& peer) {
  if (peer.link == nullptr) return;
  std::vector<std::string> hints;
  if (const auto found = hints_.find(peer.id); found != hints_.end())
    hints.push_back(found->second);
  hints.push_back(peer.said_address);
  peer.link->SetHints(std::move(hints));
}

void PeerNetwork::RemoveLinkSoon(Peer& peer) {
  if (peer.removal != nullptr) return;
  peer.removal = std::make_unique<net::Timer>(context_.thread);
  const Duration grace = peer.outgoing != nullptr ? context_.options.removed_grace : Duration(0);
  peer.removal->Start(grace, [this, id = peer.id] { RemoveLink(id); });
}

void PeerNetwork::RemoveLink(raft::NodeId id) {
  const auto found = peers_.find(id);
  MOKV_CHECK(found != peers_.end());  // Its timer goes with it.
  Peer& peer = found->second;
  peer.link = nullptr;
  peer.removal = nullptr;
  peer.stats.address.clear();
  if (peer.outgoing != nullptr) {
    End(peer.outgoing->id, "removed");
  } else {
    ForgetIfGone(id);
  }
}

void PeerNetwork::ForgetIfGone(raft::NodeId id) {
  const auto found = peers_.find(id);
  if (found == peers_.end()) return;
  Peer& peer = found->second;
  if (peer.link != nullptr || peer.best() != nullptr) {
    Publish(peer);
    return;
  }
  peers_.erase(found);
  MutexLock lock(mutex_);
  published_.erase(id);
}

// Who is connected.

void PeerNetwork::OnLinked(raft::NodeId member, std::unique_ptr<Connection> connection,
                           Remote remote) {
  Peer& peer = PeerOf(member);
  MOKV_CHECK(peer.outgoing == nullptr);
  peer.duplicate_since.reset();
  if (IsDuplicate(remote)) {
    LogWarn("a second process of a node was met; it is left alone",
            {{"name", remote.name}, {"address", connection->address()}});
    connection->Close();
    context_.thread.DeleteSoon(std::move(connection));
    return peer.link->OnDisconnected();
  }
  Counters::Add(context_.counters.opened_out);
  peer.outgoing = &Establish(peer, std::move(connection), std::move(remote), true);
  peer.stats.last_error.clear();
  Publish(peer);
  if (distrusted_wait_) EndDistrusted(/*grace_is_over=*/false);
}

// While one process of an identity is connected, another of the same identity is a copy: its vote
// and its acknowledgements would be taken for those of the first. (A process that dies is
// disconnected.)
bool PeerNetwork::IsDuplicate(const Remote& remote) {
  const auto found = peers_.find(remote.id);
  if (found == peers_.end() || remote.process_id == 0) return false;
  const auto is_other = [&](const Established* known) {
    return known != nullptr && known->remote.process_id != 0 &&
           known->remote.process_id != remote.process_id && !known->connection->closed();
  };
  return is_other(found->second.outgoing) || is_other(found->second.incoming);
}

void PeerNetwork::OnRefusedAsDuplicate(raft::NodeId member, const absl::Status& reason) {
  Peer& peer = PeerOf(member);
  const MonotonicTime now = context_.clock.Now();
  if (!peer.duplicate_since.has_value()) peer.duplicate_since = now;
  if (now - *peer.duplicate_since < context_.options.duplicate_final_after) return;
  if (context_.options.on_duplicate == nullptr) return;
  context_.options.on_duplicate(
      fmt::format("another process of this node runs: {}. Stop one of them; a copy of a data "
                  "directory must not be started",
                  MessageOf(reason)));
}

bool PeerNetwork::HasRoom(const Remote& remote, Purpose purpose) const {
  if (purpose == Purpose::kSnapshots) return snapshots_.HasRoom(remote.id);
  return incoming_ < context_.options.incoming_max;
}

void PeerNetwork::OnWelcome(std::unique_ptr<Connection> connection, Remote remote,
                            Purpose purpose) {
  if (purpose == Purpose::kSnapshots) {
    return snapshots_.OnWelcome(std::move(connection), std::move(remote));
  }
  Peer& peer = PeerOf(remote.id);
  if (peer.stats.name.empty()) peer.stats.name = remote.name;
  peer.said_address = remote.rpc_address;
  peer.duplicate_since.reset();
  TellHints(peer);
  Counters::Add(context_.counters.opened_in);
  Established* const older = peer.incoming;
  peer.incoming = &Establish(peer, std::move(connection), std::move(remote), false);
  ++incoming_;
  if (peer.link != nullptr && peer.outgoing == nullptr) peer.link->Hurry();
  Publish(peer);
  if (older == nullptr) return;
  Counters::Add(context_.counters.replaced);
  End(older->id, "replaced by a newer one");
}

PeerNetwork::Established& PeerNetwork::Establish(Peer& peer, std::unique_ptr<Connection> connection,
                                                 Remote remote, bool is_outgoing) {
  const replica::ConnectionId id = context_.NextConnectionId();
  connection->SetEstablished(id, FrameLimits());
  connection->SetOwner(*this);
  LogInfo("connected with a node", {{"name", remote.name},
                                    {"address", connection->address()},
                                    {"direction", is_outgoing ? "out" : "in"}});
  peer.stats.version = remote.version;
  Established& established = established_[id];
  established.id = id;
  established.remote = std::move(remote);
  established.is_outgoing = is_outgoing;
  established.connection = std::move(connection);
  context_.counters.open = established_.size();
  if (is_outgoing) SendPing(established);
  return established;
}

void PeerNetwork::OnClosed(Connection& connection, const absl::Status& reason) {
  End(connection.id(), reason.ok() ? "closed by the other side" : MessageOf(reason));
}

void PeerNetwork::EndSoon(replica::ConnectionId id, std::string_view reason) {
  context_.thread.Post([weak = weak_from_this(), id, reason = std::string(reason)] {
    const std::shared_ptr<PeerNetwork> self = weak.lock();
    if (self != nullptr && self->Find(id) != nullptr) self->End(id, reason);
  });
}

void PeerNetwork::End(replica::ConnectionId id, std::string_view reason) {
  const auto found = established_.find(id);
  MOKV_CHECK(found != established_.end());
  Established& established = found->second;
  const raft::NodeId peer_id = established.remote.id;
  Peer& peer = PeerOf(peer_id);
  LogInfo("connection with a node closed", {{"name", established.remote.name},
                                            {"address", established.connection->address()},
                                            {"reason", reason}});
  CountBytes(established);
  Counters::Add(context_.counters.closed);
  if (!established.is_outgoing) --incoming_;
  const bool was_outgoing = peer.outgoing == &established;
  if (was_outgoing) peer.outgoing = nullptr;
  if (peer.incoming == &established) peer.incoming = nullptr;
  const bool last = peer.best() == nullptr;
  established.connection->Close();
  context_.thread.DeleteSoon(std::move(established.connection));
  established_.erase(found);
  context_.counters.open = established_.size();
  if (was_outgoing && peer.link != nullptr) peer.link->OnDisconnected();
  ForgetIfGone(peer_id);
  handler_.OnConnectionClosed(peer_id, id, last);
  CheckFarewell();
}

void PeerNetwork::OnLinkTrouble(raft::NodeId member) {
  Peer& peer = PeerOf(member);
  peer.stats.last_error = peer.link->last_error();
  Publish(peer);
}

// Who may be asked for snapshots.

// A member is where its link found it, or may be. A node that belongs to no cluster yet knows no
// members: its leader is where it said when it connected.
std::optional<SnapshotSource> PeerNetwork::FindSnapshotSource(raft::NodeId id) const {
  const auto found = peers_.find(id);
  if (found == peers_.end()) return std::nullopt;
  const Peer& peer = found->second;
  SnapshotSource source{.member = {.id = id}};
  if (peer.link != nullptr) {
    source.member.name = peer.link->expected().name;
    source.member.instance_id = peer.link->expected().instance_id;
    source.member.rpc_address = peer.link->address();
    if (peer.outgoing != nullptr) source.hints.push_back(peer.link->connected_address());
  } else if (peer.incoming != nullptr) {
    source.member.name = peer.incoming->remote.name;
    source.member.instance_id = peer.incoming->remote.instance_id;
  } else {
    return std::nullopt;
  }
  if (const auto hint = hints_.find(id); hint != hints_.end()) source.hints.push_back(hint->second);
  source.hints.push_back(peer.said_address);
  return source;
}

bool PeerNetwork::SendSnapshotRead(raft::NodeId to, const replica::SnapshotRead& read) {
  if (is_stopped_) return false;
  if (snapshots_.IsConnected(to)) return snapshots_.SendRead(to, read);
  if (const std::optional<SnapshotSource> source = FindSnapshotSource(to)) {
    snapshots_.Want(*source);
  }
  return false;
}

void PeerNetwork::AnswerSnapshotRead(replica::ConnectionId connection,
                                     replica::SnapshotChunk chunk) {
  snapshots_.Answer(connection, std::move(chunk));
}

// Once an interval.

void PeerNetwork::StartTick() {
  tick_.Start(context_.options.ping_interval, [this] { Tick(); });
}

void PeerNetwork::Tick() {
  StartTick();
  std::vector<replica::ConnectionId> silent;
  for (auto& [id, established] : established_) {
    CountBytes(established);
    if (established.connection->CountSilence() >= context_.options.silent_intervals_max) {
      silent.push_back(id);
    } else if (established.is_outgoing) {
      SendPing(established);
    }
  }
  for (auto& [id, peer] : peers_) Publish(peer);
  for (const replica::ConnectionId id : silent) {
    if (Find(id) == nullptr) continue;
    Counters::Add(context_.counters.silent_closed);
    End(id, "heard nothing for too long");
  }
  snapshots_.Tick();
  EndExpired();
}

void PeerNetwork::EndExpired() {
  const int64_t now_unix_s = std::time(nullptr);
  const bool any = std::any_of(established_.begin(), established_.end(), [&](const auto& entry) {
    return entry.second.connection->CertificateEndsBy(now_unix_s);
  });
  if (any) EndDistrusted(/*grace_is_over=*/false);
  if (snapshots_.CertificateEndsBy(now_unix_s)) snapshots_.LeaveDistrusted();
}

void PeerNetwork::CountBytes(Established& established) {
  PeerStats& stats = PeerOf(established.remote.id).stats;
  const Connection& connection = *established.connection;
  stats.bytes_in +=
      connection.bytes_in() - std::exchange(established.counted_bytes_in, connection.bytes_in());
  stats.bytes_out +=
      connection.bytes_out() - std::exchange(established.counted_bytes_out, connection.bytes_out());
}

void PeerNetwork::Publish(Peer& peer) {
  peer.stats.is_connected_out = peer.outgoing != nullptr;
  peer.stats.is_connected_in = peer.incoming != nullptr;
  MutexLock lock(mutex_);
  published_[peer.id] = peer.stats;
}

Stats PeerNetwork::stats() const {
  Stats stats = context_.counters.Read();
  MutexLock lock(mutex_);
  for (const auto& [id, peer] : published_) stats.peers.push_back(peer);
  return stats;
}

}  // namespace mokv::peer
