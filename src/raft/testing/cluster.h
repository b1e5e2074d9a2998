// CoreCluster: a few cores with modelled disks and a network in the test's hands, all in one thread.
// What a node sends stays in flight until the test delivers, duplicates or drops it; what it writes
// stays unsynced until the test persists it, and a crash loses it. Invariants are checked all
// along.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/random.h"
#include "raft/core.h"
#include "raft/testing/invariants.h"

namespace mokv::raft::testing {

// A place where a node runs: it keeps its name, and its disk until that is wiped.
struct Node {
  std::string name;
  NodeId id;
  Options options;
  Disk disk;
  Disk copy;                          // As it once was.
  std::deque<PersistRequest> writes;  // Not synced.
  bool disk_held = false;             // Writes wait for Persist().
  std::unique_ptr<Random> random;
  std::unique_ptr<Core> core;  // Null while it is down.

  // What the core has told, newest last.
  std::vector<ProposalResult> proposals;
  std::map<RequestId, ReadResult> reads;
  std::vector<ChangeResult> changes;
  std::vector<TransferResult> transfers;
};

class CoreCluster {
 public:
  using Trace = std::function<void(const std::string& line)>;
  using Link = std::pair<std::string, std::string>;

  // Election timeouts are drawn; without a seed each is the shortest.
  CoreCluster() = default;
  explicit CoreCluster(uint64_t seed) : seeds_(seed) {}

  // A node with an empty disk, or one whose log begins with `initial`. `options.id` is its id.
  Node& Add(const std::string& name, Options options, const Membership* initial = nullptr);
  Node& node(const std::string& name) { return *nodes_.at(name); }
  const std::map<std::string, std::unique_ptr<Node>>& nodes() const { return nodes_; }
  // Who answers under this id's name now; null if nobody ever did.
  Node* Find(NodeId id);

  MonotonicTime now() const { return now_; }
  void Advance(Duration duration) { now_ = now_ + duration; }

  // One turn of a node that is up.
  void Step(Node& node, Event event);
  void Read(Node& node, RequestId request);
  // Syncs its oldest `count` writes.
  void Persist(Node& node, size_t count = SIZE_MAX);
  void Crash(Node& node);
  // Begins with what is on disk. Its state machine has applied nothing but its snapshot.
  void Restart(Node& node);
  // Another disk under the old name: `id` is its new one.
  void Wipe(Node& node, NodeId id);
  // A snapshot of all that is applied and durable.
  void TakeSnapshot(Node& node);
  void Compact(Node& node, Index through);

  std::deque<Message>& network() { return network_; }
  // A message is lost. Of a snapshot its sender is told, as by a connection that breaks.
  void Lose(const Message& message);
  // A message arrives, or is lost if the link is cut or the node is down.
  void Deliver(const Message& message);
  void Cut(const std::string& from, const std::string& to) { cut_.insert({from, to}); }
  void Heal() { cut_.clear(); }

  const Invariants& invariants() const { return invariants_; }
  void set_trace(Trace trace) { trace_ = std::move(trace); }

 private:
  void Turn(Node& node);
  void Process(Node& node, Output output);
  void Print(const std::string& line) {
    if (trace_ != nullptr) trace_(line);
  }
  void PrintOutput(const Node& node, const Output& output);
  EntryBatch Fetch(const Node& node, const EntriesWanted& wanted) const;

  std::optional<SeededRandom> seeds_;
  uint64_t lives_ = 0;
  MonotonicTime now_{std::chrono::hours(1)};
  std::map<std::string, std::unique_ptr<Node>> nodes_;
  std::map<NodeId, std::string> names_;
  std::map<NodeId, Disk> wiped_;
  std::deque<Message> network_;
  std::set<Link> cut_;
  Invariants invariants_;
  Trace trace_;
};

}  // namespace mokv::raft::testing
