// PeerNetwork: the connections between this node and the others.
//
// It keeps one connection dialed to every member of the configuration; the others dial this node,
// too. What it sends to a node leaves by the connection that it dialed, or, without one, by the
// newest that the other node did. docs/peer-protocol.md says what travels on them.
//
// Owner:   the node holds the only handle, whose end stops it. Tasks that are still queued then
//          hold weak ones and do nothing. The handler must live until Stop.
// Threads: confined to `thread`, the replica thread, unless a function says otherwise. It is made
//          before that thread starts, or on it; the handle ends on it after Stop, or once the
//          thread has ended.
// Bounds:  Options names them.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "net/io_pool.h"
#include "net/listener.h"
#include "peer/connection.h"
#include "peer/context.h"
#include "peer/dial.h"
#include "peer/greeter.h"
#include "peer/link.h"
#include "peer/message_codec.h"
#include "peer/options.h"
#include "peer/snapshot_connections.h"
#include "peer/stats.h"
#include "replica/peers.h"

namespace mokv::peer {

// What a Send has encoded already, by the batch that it was made from.
class EncodedBatches {
 public:
  const Attachment& Get(const raft::EntryBatch& entries);
  void Clear() { batches_.clear(); }

 private:
  // A turn makes a batch or two for each peer that is behind: few enough to look through.
  std::vector<std::pair<const void*, std::unique_ptr<Attachment>>> batches_;
};

class PeerNetwork final : public replica::Peers,
                          public std::enable_shared_from_this<PeerNetwork>,
                          private Connection::Owner,
                          private Link::Owner {
 public:
  static std::shared_ptr<PeerNetwork> Create(net::IoThread& thread, const Clock& clock,
                                             replica::PeersHandler& handler, Options options);
  ~PeerNetwork() override;

  // For the listener. Connections arrive on its threads and are moved to `thread`, whose pool must
  // outlive the listener and its threads. Thread-safe.
  net::Protocol protocol();

  // Says goodbye to all nodes, and calls `done` once each has answered or hung up. A node that has
  // answered forwards nothing more to this one, and has got all that was sent to it before. The
  // caller bounds the wait. One farewell at a time.
  void Farewell(Task done);
  // Closes all connections. From then on neither the handler nor any `done` is called.
  void Stop();

  // Others are believed from now on. Connections with those that are not any more end, within
  // Options::distrusted_grace.
  void SetTls(PeerTls tls);
  // Other addresses at which members may be reached, as gossip tells them. A hint is only tried:
  // whoever answers there proves who it is. Bounded by what gossip keeps.
  void SetAddressHints(std::map<raft::NodeId, std::string> hints);

  void Send(const std::vector<raft::Message>& messages) override;
  void SetMembership(std::shared_ptr<const raft::Membership> membership) override;
  replica::ConnectionId SendForward(raft::NodeId to, const replica::Forward& forward) override;
  void Answer(replica::ConnectionId connection, const replica::ForwardAnswer& answer) override;
  void SendDigest(raft::NodeId to, const replica::StateDigest& digest) override;
  bool SendSnapshotRead(raft::NodeId to, const replica::SnapshotRead& read) override;
  void AnswerSnapshotRead(replica::ConnectionId connection, replica::SnapshotChunk chunk) override;
  // INVALID_ARGUMENT: `rpc_address` is no address. RESOURCE_EXHAUSTED: too many are being asked.
  void Identify(const std::string& rpc_address, IdentifyDone done) override;

  // Thread-safe.
  Stats stats() const;

 private:
  // An established connection, but for those for snapshots.
  struct Established {
    replica::ConnectionId id;
    Remote remote;
    bool is_outgoing = false;
    std::unique_ptr<Connection> connection;
    uint64_t pings = 0;            // How many were sent; also the id of the last.
    bool ping_is_pending = false;  // The last one has not been answered.
    MonotonicTime ping_sent_at;
    bool is_dirty = false;          // Has something to be flushed.
    bool is_leaving = false;        // The other side has said goodbye.
    bool owes_goodbye = false;      // The other side has not answered our goodbye.
    uint64_t counted_bytes_in = 0;  // What the peer's statistics contain of its bytes.
    uint64_t counted_bytes_out = 0;
  };
  // A node that is a member, or has a connection, or both.
  struct Peer {
    raft::NodeId id;
    std::unique_ptr<Link> link;
    std::unique_ptr<net::Timer> removal;  // It is not a member any more; its link goes soon.
    std::string said_address;             // Its address as it said when it last connected.
    Established* outgoing = nullptr;
    Established* incoming = nullptr;
    std::optional<MonotonicTime> duplicate_since;  // Since then it refuses this process.
    PeerStats stats;

    Established* best() const { return outgoing != nullptr ? outgoing : incoming; }
  };

  PeerNetwork(net::IoThread& thread, const Clock& clock, replica::PeersHandler& handler,
              Options options, PeerTls tls);

  // peer_network.cc: who is there.
  void Accept(std::unique_ptr<net::Transport> transport, std::string_view first_bytes);
  void OnReady(Connection&) override {}
  void OnClosed(Connection& connection, const absl::Status& reason) override;
  void OnLinked(raft::NodeId member, std::unique_ptr<Connection> connection,
                Remote remote) override;
  void OnLinkTrouble(raft::NodeId member) override;
  void OnRefusedAsDuplicate(raft::NodeId member, const absl::Status& reason) override;
  bool IsDuplicate(const Remote& remote);
  bool HasRoom(const Remote& remote, Purpose purpose) const;
  void OnWelcome(std::unique_ptr<Connection> connection, Remote remote, Purpose purpose);
  // Where a node is that may be asked for a snapshot; null: not known.
  std::optional<SnapshotSource> FindSnapshotSource(raft::NodeId id) const;
  Established& Establish(Peer& peer, std::unique_ptr<Connection> connection, Remote remote,
                         bool is_outgoing);
  // Closes it, and tells the handler.
  void End(replica::ConnectionId id, std::string_view reason);
  void EndSoon(replica::ConnectionId id, std::string_view reason);
  Peer& PeerOf(raft::NodeId id);
  void KeepLink(const raft::Member& member);
  void TellHints(Peer& peer);
  void RemoveLinkSoon(Peer& peer);
  void RemoveLink(raft::NodeId id);
  // Those that other nodes have made wait for this node's own, until their grace is over. It begins
  // when the first one has to wait.
  void EndDistrusted(bool grace_is_over);
  // Looks at everybody's trust again if a certificate has ended.
  void EndExpired();
  // Forgets a peer that is neither member nor connected.
  void ForgetIfGone(raft::NodeId id);
  void Tick();
  void StartTick();
  void CountBytes(Established& established);
  void Publish(Peer& peer);

  // peer_network_frames.cc: what is said.
  absl::Status OnFrame(Connection& connection, const proto::Frame& frame,
                       std::string_view attachment) override;
  absl::Status OnRaft(Established& from, const proto::Raft& message, std::string_view attachment);
  void OnPing(Established& from, const proto::Ping& ping);
  void OnPong(Established& from, const proto::Pong& pong);
  void OnGoodbye(Established& from, const proto::Goodbye& goodbye);
  // Calls what Farewell was given if all have answered.
  void CheckFarewell();
  void SendOne(const raft::Message& message);
  void SendPing(Established& to);
  // False, and counted: too much waits already, or the frame is too large.
  bool Write(Established& to, const proto::Frame& frame, const Attachment* attachment,
             size_t waiting_bytes_max);
  void FlushSoon();
  void FlushAll();
  Established* Find(replica::ConnectionId id);

  Context context_;
  replica::PeersHandler& handler_;
  bool is_stopped_ = false;
  SnapshotConnections snapshots_;
  Greeter greeter_;
  std::map<raft::NodeId, Peer> peers_;
  std::map<raft::NodeId, std::string> hints_;  // Addresses, as gossip has them.
  std::map<replica::ConnectionId, Established> established_;
  size_t incoming_ = 0;  // How many of the established ones others have made.
  std::map<uint64_t, std::unique_ptr<Dial>> identifying_;
  uint64_t last_identify_ = 0;
  net::Timer tick_;
  net::Timer distrusted_timer_;
  bool distrusted_wait_ = false;  // Some do; the timer runs.
  Task farewell_done_;
  EncodedBatches batches_;
  proto::Frame frame_;  // Kept for what it has allocated.
  std::vector<replica::ConnectionId> dirty_;
  bool flush_is_posted_ = false;

  mutable Mutex mutex_;
  std::map<raft::NodeId, PeerStats> published_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace mokv::peer
