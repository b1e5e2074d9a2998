// SnapshotConnections: the connections by which nodes read each other's snapshots. They carry
// nothing else, so neither what is large nor what is urgent ever waits for the other.
//
// Who needs a snapshot dials whom it asks, when it first wants to ask, and is answered by the same
// connection. It ends when nothing has been asked for some time.
//
// Owner:   the PeerNetwork.
// Threads: confined to the replica thread.
// Bounds:  one connection of each direction with a node; Options::snapshot_* name the others.
//          Frames are as small as questions, or as one part of a snapshot.
#pragma once

#include <absl/functional/any_invocable.h>
#include <absl/status/status.h>

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "peer/connection.h"
#include "peer/context.h"
#include "peer/link.h"
#include "replica/peers.h"

namespace mokv::peer {

// Who is to be asked, and where it may be besides its address, the likeliest first.
struct SnapshotSource {
  raft::Member member;
  std::vector<std::string> hints;
};

class SnapshotConnections final : private Connection::Owner, private Link::Owner {
 public:
  // Whether another process of its identity is connected.
  using IsDuplicate = absl::AnyInvocable<bool(const Remote& remote)>;

  SnapshotConnections(Context& context, replica::PeersHandler& handler, IsDuplicate is_duplicate);
  ~SnapshotConnections() override;

  // Asking.

  // Sees to a connection with a node that has none, as long as this is called every so often.
  void Want(const SnapshotSource& source);
  bool IsConnected(raft::NodeId node) const;
  // CHECKs IsConnected. False: too much waits there.
  bool SendRead(raft::NodeId to, const replica::SnapshotRead& read);

  // Being asked.

  // Whether `node` may connect. A newer connection of the same node takes the older one's place.
  bool HasRoom(raft::NodeId node) const;
  void OnWelcome(std::unique_ptr<Connection> connection, Remote remote);
  // Drops what has no connection any more, or before which too much waits.
  void Answer(replica::ConnectionId connection, replica::SnapshotChunk chunk);

  // Once a ping interval.
  void Tick();
  // The cluster of this node has become known: those with nodes of another one end.
  void LeaveOtherClusters();
  // Others are believed than before: those with nodes that are not any more end.
  void LeaveDistrusted();
  // Whether a certificate of one of them has ended by then.
  bool CertificateEndsBy(int64_t unix_s) const;
  void Stop();

 private:
  // An established connection.
  struct Line {
    Remote remote;
    bool is_outgoing = false;  // We ask.
    std::unique_ptr<Connection> connection;
    MonotonicTime
        asked_at;  // When the last question came, or it was established. Of incoming ones.
  };
  // A node that is asked.
  struct Source {
    std::unique_ptr<Link> link;
    replica::ConnectionId line;  // 0: not connected.
    MonotonicTime asked_at;      // When somebody last wanted to.
  };

  // Connection::Owner.
  void OnReady(Connection&) override {}
  absl::Status OnFrame(Connection& connection, const proto::Frame& frame,
                       std::string_view attachment) override;
  void OnClosed(Connection& connection, const absl::Status& reason) override;
  // Link::Owner. What keeps a node from being asked is in the log; that it takes this process for a
  // duplicate is for the connections that carry messages to find out.
  void OnLinked(raft::NodeId node, std::unique_ptr<Connection> connection, Remote remote) override;
  void OnLinkTrouble(raft::NodeId) override {}
  void OnRefusedAsDuplicate(raft::NodeId, const absl::Status&) override {}

  absl::Status OnFrameOfAsker(Line& line, const proto::Frame& frame, std::string_view attachment);
  absl::Status OnFrameOfSource(Line& line, const proto::Frame& frame, std::string_view attachment);
  replica::ConnectionId Establish(std::unique_ptr<Connection> connection, Remote remote,
                                  bool is_outgoing, FrameLimits limits);
  void End(replica::ConnectionId id, std::string_view reason);
  // Asks it no more.
  void Drop(raft::NodeId source);
  bool IsFull(const Line& line) const;
  Line* Find(replica::ConnectionId id);

  Context& context_;
  replica::PeersHandler& handler_;
  IsDuplicate is_duplicate_;
  std::map<raft::NodeId, Source> sources_;
  std::map<raft::NodeId, replica::ConnectionId> askers_;
  std::map<replica::ConnectionId, Line> lines_;
};

}  // namespace mokv::peer
