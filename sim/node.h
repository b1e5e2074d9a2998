// Node: what the simulator drives at each place, and Host: what of the world a node may use. A node
// is a process with its disk: a consensus core with a model of a disk (core_node.h), or a whole
// replica with its log and store (replica_node.h). Both meet the same faults, clients and checks.
//
// A turn: the host gives everything that has arrived (any of Receive, Submit, ... and actions that
// the node itself has asked for), then Tick if that is due, then EndTurn once.
//
// Threads: confined to the run's.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "raft/core.h"
#include "raft/testing/invariants.h"
#include "replica/peers.h"
#include "sim/kv_machine.h"
#include "sim/network.h"

namespace mokv::sim {

enum class NodeKind : uint8_t { kCores, kReplicas };

// What replicas say to each other besides Raft's messages.
using Passed = std::variant<replica::Forward, replica::ForwardAnswer, replica::SnapshotRead,
                            replica::SnapshotChunk, replica::StateDigest>;

// On the network: a message of Raft's, and a snapshot's data where there is one.
struct Packet {
  raft::Message message;
  std::shared_ptr<const KvMachine> data;

  // --- Of replicas.
  // Instead of a message, of which then only `to` counts.
  std::shared_ptr<const Passed> passed;
  // The connection that it goes by, and its number among all that go this way (wires.h); 0: none.
  replica::ConnectionId connection;
  uint64_t number = 0;
};

// What a client asks for instead of its command.
enum class SessionCall : uint8_t { kNone, kOpen, kKeepAlive };

struct ClientRequest {
  uint64_t id = 0;  // Of the operation, in this run.
  Command command;
  // A get: looked up under the lease, if there is one, without asking the core.
  bool by_lease = false;
  Index committed_before;  // For the checks: what was committed anywhere when it arrived.

  // --- Of replicas.
  // A get that need not see the newest state, but one no older than `min_revision`.
  bool stale = false;
  uint64_t min_revision = 0;
  Duration patience{0};  // The node gives up after so long.
  // Of the client's session: for a write, 0 is none.
  SessionCall call = SessionCall::kNone;
  uint64_t session = 0;
  uint64_t sequence = 0;
  uint64_t ttl_ms = 0;
};

enum class ReplyKind : uint8_t {
  kDone,
  kCompared,  // A cas: the comparison was made and failed.
  kRefused,   // Certainly not done.
  kUnknown,   // It may have been done, or may still be.
  kEnded,     // The session has; by this attempt nothing was done.
};

struct ClientReply {
  uint64_t id = 0;
  ReplyKind kind = ReplyKind::kDone;
  uint64_t value = 0;         // Of a get.
  Place leader = kPlacesMax;  // A refusal's hint; kPlacesMax: none.
  uint64_t revision = 0;      // Of a replica's state, where the answer tells it.
  uint64_t session = 0;       // That was opened.
  bool full = false;          // Refused, since the state may not grow.
};

enum class SyncOf : uint8_t { kLog, kSnapshots, kDirectories };

class Host {
 public:
  virtual ~Host() = default;
  // The node's own clock.
  virtual MonotonicTime Now(Place place) const = 0;
  // After `delay` of true time, `action` is part of one of the node's turns, unless the node has
  // crashed since.
  virtual void After(Place place, Duration delay, std::function<void()> action) = 0;
  // The same for what another thread of the node does: it need not wait for the end of a turn that
  // is interrupted.
  virtual void Beside(Place place, Duration delay, std::function<void()> action) = 0;
  // The node is in the middle of a turn, and others may go on before that turn does. Anything may
  // happen here, also the node's own crash. `handed_over`: it has just told another to lead, so what
  // the rest of the turn would do matters more than elsewhere; it is interrupted often, and for long.
  virtual void Interrupt(Place place, bool handed_over) = 0;
  virtual void Send(Place from, Packet packet) = 0;
  virtual void Reply(Place place, ClientReply reply) = 0;
  virtual Place PlaceOf(raft::NodeId id) const = 0;
  // Whether a connection can be made: somebody is there, and both ways are open.
  virtual bool CanConnect(Place from, Place to) const = 0;
};

class Node {
 public:
  virtual ~Node() = default;

  virtual bool up() const = 0;
  virtual raft::NodeId id() const = 0;

  // --- For the checks.
  // The consensus core; null while down, and before a new cluster's first entry is on disk.
  virtual const raft::Core* core() const = 0;
  // What the state has.
  virtual Index applied() const = 0;
  // Whether the entry is on the node's disk, or was on the disk that it had under that id.
  virtual bool Holds(raft::NodeId id, raft::Position position) const = 0;
  // The revision that a linearizable read would be answered from at once; nothing: it would wait,
  // or the node has no revisions.
  virtual std::optional<uint64_t> ReadsAtOnceFrom() const { return std::nullopt; }
  // Answers that it still owes to its clients, in words; empty: none.
  virtual std::string Owes() const { return {}; }

  // --- The machine. Start begins with what is on disk; it is not up then if the disk has no room
  // for a first log.
  virtual void Start() = 0;
  // Memory is lost; of what was not synced, the first part may have reached the disk: `kept` of
  // 1000. May come in the middle of a turn, through Host::Interrupt.
  virtual void Crash(uint64_t kept_permille) = 0;
  // Only while down: an empty disk, and so another identity.
  virtual void Wipe(const raft::Member& member) = 0;
  virtual void StallDisk(bool stalls) = 0;
  // Added to every write.
  virtual void SlowDisk(Duration by) = 0;
  // No more room than `spare` bytes, until it is called with nothing.
  virtual void FillDisk(std::optional<uint64_t> spare) { static_cast<void>(spare); }

  // --- Of replicas only.
  // The next sync of such files fails, until it is called with nothing.
  virtual void FailSync(std::optional<SyncOf> of) { static_cast<void>(of); }
  // Whatever syncs does not come back.
  virtual void HangSyncs(bool hang) { static_cast<void>(hang); }
  // The state becomes another one, behind everybody's back. Part of a turn; false: there is none to
  // change.
  virtual bool ChangeState(uint64_t seed) {
    static_cast<void>(seed);
    return false;
  }
  // Whether the state is such a one, or the node is fenced for it and is to get another disk.
  virtual bool differs() const { return false; }
  // Keeps a copy of the disk; false: there is nothing on it yet.
  virtual bool CopyDisk() { return false; }
  // The disk, and its copy; null: not known, or there is none.
  virtual const raft::testing::Disk* disk() const { return nullptr; }
  virtual const raft::testing::Disk* copy() const { return nullptr; }
  // Only while down: the copy takes the disk's place.
  virtual void PutCopyBack() {}
  // Whether the disk lacks what it had before a copy took its place.
  virtual bool lacks() const { return false; }
  // Hands leadership over, answers what is asked, and then calls `done`: the process may end. Part of a
  // turn.
  virtual void Stop(std::function<void()> done) { static_cast<void>(done); }
  // Between Stop and its end.
  virtual bool stopping() const { return false; }

  // --- Turns, while up.
  virtual void Receive(const Packet& packet) = 0;
  // A packet from this node was lost with its connection.
  virtual void OnLost(const Packet& packet) = 0;
  virtual void ConnectionClosed(raft::NodeId peer) = 0;
  // A replica gets it also between turns, and in the middle of one: clients have their own threads.
  virtual void Submit(const ClientRequest& request) = 0;
  virtual void ChangeMembers(std::vector<raft::MemberChange> changes) = 0;
  virtual void Transfer(raft::NodeId target) = 0;
  // The log that it covers is cut except for `trailing` entries; UINT64_MAX: not at all. Replicas
  // take no snapshots yet: their plans have no fault that is about them, and this does nothing.
  virtual void TakeSnapshot(uint64_t trailing) { static_cast<void>(trailing); }
  virtual MonotonicTime NextDeadline() const = 0;
  virtual void Tick() = 0;
  virtual void EndTurn() = 0;
};

}  // namespace mokv::sim
