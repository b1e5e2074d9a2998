// Peers: the replica's way to other nodes. The interface is here, with the code that calls it;
// src/peer implements it over connections, the simulator over its network.
//
// Threads: all calls, and all that the implementation tells the replica, on the replica thread.
// Order:   what is sent to one peer over one connection arrives in that order, each once, or not at
//          all once the connection has closed.
#pragma once

#include <absl/functional/any_invocable.h>
#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/clock.h"
#include "base/strong_int.h"
#include "raft/membership.h"
#include "raft/messages.h"
#include "replica/state_digest.h"
#include "replica/write.h"

namespace mokv::replica {

// One established connection, of either direction. Never used twice in a process; 0 means none.
using ConnectionId = StrongInt<struct ConnectionIdTag>;

// Numbers what one node has forwarded; the answer carries it.
using ForwardId = StrongInt<struct ForwardIdTag>;

// Writes that another node passes on to the leader. One hop only: who gets this and does not lead
// refuses it.
struct ForwardedWrites {
  struct Write {
    std::shared_ptr<const std::string> command;  // machine::EncodeCommand.
    // Whose client it was: authorized where it connected, and once more by the leader.
    std::string subject;
  };
  std::vector<Write> writes;
};

// A change of the cluster that an operator has asked another node for.
struct AdminRequest {
  enum class Kind {
    kAddMember,     // `name` at `rpc_address`; asked who it is first.
    kRemoveMember,  // `name`.
    kTransfer,      // To `name`, or to the best one if that is empty.
  };
  Kind kind = Kind::kAddMember;
  std::string name;
  std::string rpc_address;
  std::string subject;
  // kAddMember: gossip suggests it, so a node that was removed for good is refused. kRemoveMember:
  // nobody decided it, the node was away for too long, so it may come back by itself.
  bool automatic = false;
};

struct Forward {
  ForwardId id;
  // How long the sender still waits for the answer.
  Duration wait{0};
  std::variant<ForwardedWrites, AdminRequest> body;
};

struct ForwardAnswer {
  struct Admin {
    absl::Status status;
    bool fate_unknown = false;
  };
  ForwardId id;
  // For writes, one for each, in order; a kNotDone with UNAVAILABLE may be sent anew elsewhere.
  std::variant<std::vector<WriteResult>, Admin> body;
};

// A snapshot is a file (src/snapshot), which whoever needs it reads from its leader, part by part.
struct SnapshotRead {
  raft::Position last;  // It ends with this entry.
  uint64_t offset = 0;
  uint64_t bytes_max = 0;  // At most kSnapshotChunkBytesMax.
};
struct SnapshotChunk {
  raft::Position last;
  uint64_t offset = 0;
  // The size of the whole file. 0: the sender does not have it (any more), or cannot read it.
  uint64_t file_bytes = 0;
  std::string bytes;  // From `offset` on; fewer than asked for only at the end of the file.
};
// Small enough that sending one delays no heartbeat: well under a millisecond with TLS.
inline constexpr uint64_t kSnapshotChunkBytesMax = uint64_t{256} << 10;

// Who answers at an address.
struct PeerIdentity {
  std::string name;
  std::string instance_id;
  std::string cluster_id;  // Empty: of none yet.
  std::string version;
  // Of a node whose data directory was rebuilt: the instances of its name that are lost, and whose
  // place it is to take.
  std::vector<std::string> replaces;
};
// In PeerIdentity::replaces: whichever instance has the name. A directory that was lost as a whole
// does not know which one it was.
inline constexpr std::string_view kAnyInstance = "any";

class Peers {
 public:
  using IdentifyDone = absl::AnyInvocable<void(absl::StatusOr<PeerIdentity> identity)>;

  virtual ~Peers() = default;

  // What a turn gave, to be sent at once. What has no connection, or more than its bound waiting,
  // is dropped: Raft asks again. Entries of one batch (by pointer) are encoded once.
  virtual void Send(const std::vector<raft::Message>& messages) = 0;
  // Whom to keep connections with; told at the start and after every change. `cluster_id` is that
  // of the membership.
  virtual void SetMembership(std::shared_ptr<const raft::Membership> membership) = 0;
  // The connection it left by; 0: none, certainly not sent.
  virtual ConnectionId SendForward(raft::NodeId to, const Forward& forward) = 0;
  // Over the connection that it came by; dropped if that has closed.
  virtual void Answer(ConnectionId connection, const ForwardAnswer& answer) = 0;
  // Dropped if there is no connection.
  virtual void SendDigest(raft::NodeId to, const StateDigest& digest) = 0;
  // Asks `to` for a part of a snapshot, over a connection of its own, so that neither waits for the
  // other: Raft's messages, and what is large. It is dialed when it is needed, and ends when nothing
  // has been asked for some time. False: there is none yet, or too much waits there; ask again.
  virtual bool SendSnapshotRead(raft::NodeId to, const SnapshotRead& read) = 0;
  // Over the connection by which the question came; dropped if that has closed.
  virtual void AnswerSnapshotRead(ConnectionId connection, SnapshotChunk chunk) = 0;
  // Connects to `rpc_address`, asks who is there, and hangs up. UNAVAILABLE when nobody answers in
  // time; FAILED_PRECONDITION when it speaks another protocol or is refused.
  virtual void Identify(const std::string& rpc_address, IdentifyDone done) = 0;
};

// What the implementation tells; the replica.
class PeersHandler {
 public:
  virtual ~PeersHandler() = default;
  virtual void OnMessage(raft::Message message) = 0;
  virtual void OnForward(raft::NodeId from, ConnectionId connection, Forward forward) = 0;
  virtual void OnForwardAnswer(ConnectionId connection, ForwardAnswer answer) = 0;
  virtual void OnDigest(raft::NodeId from, const StateDigest& digest) = 0;
  virtual void OnSnapshotRead(raft::NodeId from, ConnectionId connection,
                              const SnapshotRead& read) = 0;
  virtual void OnSnapshotChunk(raft::NodeId from, SnapshotChunk chunk) = 0;
  // An established connection with `peer` is no more; those for snapshots do not count. `last`: there is no other one with it.
  virtual void OnConnectionClosed(raft::NodeId peer, ConnectionId connection, bool last) = 0;
};

}  // namespace mokv::replica
