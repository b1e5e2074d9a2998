// ReplicaCluster: several replicas with real logs and stores, connected by a network in the test's
// hands, all in one thread. Messages of one connection arrive in order, each once, unless a link is
// cut (they are lost) or broken (the connection closes and a new one is made).
//
// Settle and Run do all that can be done at each moment, in one order. A test may take single steps
// instead, with the executors of each life, DeliverAny and Advance.
//
// Threads: confined to the test's.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "base/check.h"
#include "base/testing/fake_clock.h"
#include "replica/testing/node_life.h"

namespace mokv::replica::testing {

struct ClusterOptions {
  size_t nodes = 3;
  // What all lives have in common; names and the like are filled in.
  LifeOptions life;
  Duration tick = std::chrono::milliseconds(50);
};

class ReplicaCluster {
 public:
  // Node "n1" begins the cluster; the others wait to be added.
  explicit ReplicaCluster(ClusterOptions options);
  explicit ReplicaCluster(size_t nodes, bool lease_reads = false)
      : ReplicaCluster(WithLeases(nodes, lease_reads)) {}

  NodeLife& life(const std::string& name) { return *places_.at(name).life; }
  bool IsUp(const std::string& name) const { return places_.at(name).life != nullptr; }
  Replica& replica(const std::string& name) { return *life(name).replica; }
  machine::Machine& machine(const std::string& name) { return life(name).machine; }
  CrashFileSystem& files(const std::string& name) { return *places_.at(name).files; }
  FakeClock& clock() { return clock_; }
  std::vector<std::string> names() const;

  // Everything that can happen without time passing.
  void Settle();
  // Time passes, in small steps.
  void Run(Duration duration);
  void Advance(Duration duration) { clock_.now = clock_.now + duration; }
  // The oldest message of a connection; `choice` says of which. Nothing reaches the `deaf`. False
  // when there is none.
  bool DeliverAny(uint64_t choice, const std::set<std::string>& deaf);
  // Called in the middle of a turn, when `name` has handed its messages over.
  using OnSend = std::function<void(const std::string& name, const std::vector<raft::Message>&)>;
  void set_on_send(OnSend on_send) { on_send_ = std::move(on_send); }
  // Until `condition` holds; a failure after 30 s.
  void RunUntil(const std::function<bool()>& condition, const char* what);
  // Adds all others and waits until everybody votes.
  void Form();
  // The name of the one that serves as leader; empty if there is none.
  std::string Leader();
  std::string Follower();

  // The process dies, the machine stays.
  void Kill(const std::string& name);
  void Restart(const std::string& name);
  // Of one that is down: its disk is this older copy of it.
  void PutBack(const std::string& name, std::unique_ptr<CrashFileSystem> older) {
    MOKV_CHECK(!IsUp(name));
    places_.at(name).files = std::move(older);
  }
  // Another, empty disk under the old name.
  void Wipe(const std::string& name);
  // The same, and it says that it takes the place of `replaces`; empty: of what it was.
  void Rebuild(const std::string& name, std::string replaces = "");
  // What one sends to the other is lost, in both directions; the connections stay.
  void Cut(const std::string& one, const std::string& other);
  void CutOneWay(const std::string& from, const std::string& to) { cut_.insert({from, to}); }
  void Isolate(const std::string& name);
  void Heal() { cut_.clear(); }
  // What one sends to the other is on its way, in both directions, until the release.
  void Hold(const std::string& one, const std::string& other);
  void Release();
  // The connection between the two closes; what was on its way is lost.
  void Break(const std::string& one, const std::string& other);

 private:
  class NodePeers;
  static ClusterOptions WithLeases(size_t nodes, bool lease_reads) {
    ClusterOptions options{.nodes = nodes};
    options.life.raft.lease_reads = lease_reads;
    return options;
  }
  struct Place {
    std::unique_ptr<CrashFileSystem> files;
    std::unique_ptr<Peers> peers;
    std::unique_ptr<NodeLife> life;
    std::string instance_id;
    std::vector<std::string> replaces;
    uint64_t lives = 0;
  };
  struct Delivery {
    std::string from;
    std::string to;
    ConnectionId connection;
    std::variant<raft::Message, Forward, ForwardAnswer, SnapshotRead, SnapshotChunk, StateDigest>
        what;
  };
  using Link = std::pair<std::string, std::string>;

  // Of both directions: in order of names.
  static Link LinkOf(const std::string& one, const std::string& other) {
    return one < other ? Link(one, other) : Link(other, one);
  }
  void Start(const std::string& name, std::optional<std::string> new_cluster_id);
  Place* FindById(raft::NodeId id, std::string* name);
  ConnectionId Connect(const std::string& one, const std::string& other);
  bool DeliverOne();
  void Deliver(Delivery delivery);
  bool IsOpen(const Delivery& delivery) const;

  ClusterOptions options_;
  FakeClock clock_;
  std::map<std::string, Place> places_;
  std::map<Link, ConnectionId> connections_;
  std::set<Link> cut_;  // From, to.
  std::deque<Delivery> network_;
  std::set<Link> held_;
  std::deque<Delivery> on_the_way_;
  uint64_t last_connection_ = 0;
  uint64_t instances_ = 0;
  MonotonicTime next_tick_;
  OnSend on_send_;
};

}  // namespace mokv::replica::testing
