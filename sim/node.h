// Node: what the simulator drives at each place, and Host: what of the world a node may use. A node
// is a process with its disk. Today it is a consensus core with a model of a disk (core_node.h);
// whatever else runs behind this interface meets the same faults, clients and checks.
//
// A turn: the host gives everything that has arrived (any of Receive, Submit, ... and actions that
// the node itself has asked for), then Tick if that is due, then EndTurn once.
//
// Threads: confined to the run's.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "raft/core.h"
#include "sim/kv_machine.h"
#include "sim/network.h"

namespace mokv::sim {

// On the network: a message, and a snapshot's data where there is one.
struct Packet {
  raft::Message message;
  std::shared_ptr<const KvMachine> data;
};

struct ClientRequest {
  uint64_t id = 0;  // Of the operation, in this run.
  Command command;
  // A get: looked up under the lease, if there is one, without asking the core.
  bool by_lease = false;
  Index committed_before;  // For the checks: what was committed anywhere when it arrived.
};

enum class ReplyKind : uint8_t {
  kDone,
  kCompared,  // A cas: the comparison was made and failed.
  kRefused,   // Certainly not done.
};

struct ClientReply {
  uint64_t id = 0;
  ReplyKind kind = ReplyKind::kDone;
  uint64_t value = 0;         // Of a get.
  Place leader = kPlacesMax;  // A refusal's hint; kPlacesMax: none.
};

class Host {
 public:
  virtual ~Host() = default;
  // The node's own clock.
  virtual MonotonicTime Now(Place place) const = 0;
  // True time passes, then `action` is part of one of the node's turns; not if it has crashed
  // since.
  virtual void After(Place place, Duration delay, std::function<void()> action) = 0;
  virtual void Send(Place from, Packet packet) = 0;
  virtual void Reply(Place place, ClientReply reply) = 0;
  virtual Place PlaceOf(raft::NodeId id) const = 0;
};

class Node {
 public:
  virtual ~Node() = default;

  virtual bool up() const = 0;
  virtual raft::NodeId id() const = 0;
  // The consensus core, for the checks; null while down.
  virtual const raft::Core* core() const = 0;

  // --- The machine. Start begins with what is on disk.
  virtual void Start() = 0;
  // Memory is lost; of what was not synced, the first part may have reached the disk: `kept` of
  // 1000.
  virtual void Crash(uint64_t kept_permille) = 0;
  // Only while down: an empty disk, and so another identity.
  virtual void Wipe(raft::NodeId id) = 0;
  virtual void StallDisk(bool stalls) = 0;
  // Added to every write.
  virtual void SlowDisk(Duration by) = 0;

  // --- Turns, while up.
  virtual void Receive(const Packet& packet) = 0;
  // A packet from this node was lost with its connection.
  virtual void OnLost(const Packet& packet) = 0;
  virtual void ConnectionClosed(raft::NodeId peer) = 0;
  virtual void Submit(const ClientRequest& request) = 0;
  virtual void ChangeMembers(std::vector<raft::MemberChange> changes) = 0;
  virtual void Transfer(raft::NodeId target) = 0;
  // The log behind it is cut but for `trailing` entries; UINT64_MAX: not at all.
  virtual void TakeSnapshot(uint64_t trailing) = 0;
  virtual MonotonicTime NextDeadline() const = 0;
  virtual void Tick() = 0;
  virtual void EndTurn() = 0;
};

}  // namespace mokv::sim
