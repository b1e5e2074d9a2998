// NodeTable: who is in the cluster, and alive: the states and incarnations of SWIM with the
// Lifeguard refinements.
//
// It takes what nodes say of each other, decides what is newer, refutes what is said wrongly of
// this node, and queues what others should hear. What it changed is collected as NodeNews; the
// owner takes that after each call, and hands it to Serf's part.
//
// Threads: confined to the owner's.
// Owner:   Protocol. Borrows all that it is given.
// Bounds:  Options::members_max nodes. Input from the network is never asserted on; what is dropped
//          is counted.
#pragma once

#include <absl/container/flat_hash_map.h>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "serf/broadcast_queue.h"
#include "serf/environment.h"
#include "serf/messages.h"
#include "serf/suspicion.h"

namespace mokv::serf {

// A node as the table has it.
struct ListedNode {
  std::string name;
  Endpoint at;
  std::string meta;
  Versions versions{};
  uint32_t incarnation = 0;
  NodeState state = NodeState::kDead;
  MonotonicTime changed;  // When it came into this state.

  bool IsMember() const { return state == NodeState::kAlive || state == NodeState::kSuspect; }
  bool Speaks(uint8_t protocol) const { return versions[kProtocolMax] >= protocol; }
  bool TakesChecksums() const { return Speaks(5); }
};

struct NodeNews {
  enum class Kind { kJoined, kUpdated, kGone, kNameTaken };
  Kind kind;
  std::shared_ptr<const ListedNode> node;
  Endpoint other;  // kNameTaken: where another node says that it has the name of `node`.
};

class NodeTable {
 public:
  // `queue` gets what is to be gossiped.
  NodeTable(Environment& env, BroadcastQueue& queue);
  NodeTable(const NodeTable&) = delete;
  NodeTable& operator=(const NodeTable&) = delete;

  // Enters and announces this node. Comes first, and once.
  void Start(std::string meta);

  // --- What nodes say, as bodies of messages and as records of a list.
  void OnAlive(std::string_view body);
  void OnSuspect(std::string_view body);
  void OnDead(std::string_view body);
  void Merge(const NodeRecord& record);

  // --- What this node does and finds.
  // Announces another meta with the next incarnation.
  void SetMeta(std::string meta);
  // Says that this node is gone; from now on it refutes nothing.
  void Leave();
  // Whether that has been sent as often as it should.
  bool leave_announced() const { return leaving_ && !queue_.Contains(leave_broadcast_); }
  // A probe of `node` has failed.
  void Suspect(const ListedNode& node);
  // Declares dead the suspects whose time to refute is up. Returns those that are to be asked now.
  std::vector<const ListedNode*> ExpireSuspicions();
  MonotonicTime NextSuspicion() const;

  // The news since the last call, oldest first.
  std::vector<NodeNews> TakeNews() { return std::exchange(news_, {}); }

  // --- What is known.
  const ListedNode& self() const { return *self_; }
  bool IsSelf(const ListedNode& node) const { return &node == self_.get(); }
  const ListedNode* Find(std::string_view name) const;
  size_t size() const { return nodes_.size(); }
  size_t suspects() const { return suspicions_.size(); }
  // All nodes, as a list that is sent; views into the table.
  std::vector<NodeRecord> Records() const;
  // Up to `count` nodes at random that `wanted` accepts.
  std::vector<const ListedNode*> Random(size_t count,
                                        const std::function<bool(const ListedNode&)>& wanted);
  // The next node to probe: each comes once a round, in a new order each round, and those that have
  // been gone for long are forgotten between two rounds. Null: nobody to probe.
  std::shared_ptr<const ListedNode> NextToProbe();

  // Lifeguard's local health: how much this node has reason to doubt its own hearing; 0: none. It
  // gives others more time accordingly.
  int awareness() const { return awareness_; }
  void AddAwareness(int delta);

  // For simulations that do not want to wait for a thousand joins: adds these nodes as they are,
  // without a word to anybody.
  void SeedForTest(const std::vector<const ListedNode*>& nodes);

 private:
  using NodePtr = std::shared_ptr<ListedNode>;

  // Whether an entry may be taken at all. If not, it is counted as dropped.
  bool IsAcceptable(const Alive& alive);
  bool IsPlausible(uint32_t incarnation, const ListedNode* known);
  void TakeAlive(const Alive& alive);
  void TakeSuspect(const serf::Suspect& suspect);
  void TakeDead(const Dead& dead);
  NodePtr AddNode(const Alive& alive);
  bool MakeRoom();
  void Forget(size_t index);
  void ForgetTheGone();
  void Shuffle();
  void SetState(ListedNode& node, NodeState state);
  void AnnounceSelf();
  void Refute(uint32_t accused);
  void DropSuspicion(std::string_view name);

  Environment& env_;
  BroadcastQueue& queue_;
  NodePtr self_;
  // All nodes, in the order in which they are probed. `by_name_` is for look-ups only; no loop
  // goes through it, so that a run can be repeated.
  std::vector<NodePtr> nodes_;
  absl::flat_hash_map<std::string, NodePtr> by_name_;
  size_t probe_index_ = 0;
  std::map<std::string, Suspicion, std::less<>> suspicions_;
  // When the first suspicion needs attention; empty: to be computed. Kept, because it is asked for
  // all the time and there may be hundreds of suspicions.
  mutable std::optional<MonotonicTime> next_suspicion_;
  int awareness_ = 0;
  bool leaving_ = false;
  BroadcastQueue::Id leave_broadcast_ = 0;
  std::vector<NodeNews> news_;
};

}  // namespace mokv::serf
