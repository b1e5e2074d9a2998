// Comparison: do the replicas have the same state? At fixed indexes of the log each node tells all
// others the digest of its state, and compares what it hears with its own.
//
// Pure: it decides what a set of digests means; who is told, and what follows, is the replica's.
//
// Threads: confined to the replica thread.
// Bounds:  kKept indexes of those that members tell of; a member that is further behind is compared at
//          a later one.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "raft/membership.h"
#include "replica/peers.h"

namespace mokv::replica {

class Comparison {
 public:
  // Entries between two comparisons: what differs is found within a fraction of a second of writing,
  // and a comparison costs as much as a few writes.
  static constexpr uint64_t kIntervalDefault = 1024;
  // What is hashed, and how: digests of different formats say nothing about each other.
  static constexpr uint32_t kFormat = 1;

  enum class Verdict {
    kOpen,     // Too few have told.
    kEqual,    // A majority of the voters has this node's state, and nobody another.
    kOthers,   // A majority has this node's state, and somebody another.
    kDiffers,  // A majority has one and the same state, which is not this node's.
    kNobody,   // All voters have told, and no majority has the same.
  };
  struct Finding {
    Verdict verdict = Verdict::kOpen;
    Index index;
    std::vector<raft::NodeId> others;  // Who has another state than this node.
  };

  // Every node of a cluster has the same interval.
  explicit Comparison(uint64_t interval = kIntervalDefault) : interval_(interval) {}

  // Those of `self` that are kept, the newest last.
  std::vector<StateDigest> DigestsOf(raft::NodeId self) const;

  bool IsDue(Index index) const { return index.value() % interval_ == 0; }

  // A state of this node, or of `from`, a member. What it means now.
  Finding OnOwn(const StateDigest& own, const raft::Membership& membership, raft::NodeId self);
  Finding OnTold(raft::NodeId from, const StateDigest& told, const raft::Membership& membership,
                 raft::NodeId self);

 private:
  static constexpr size_t kKept = 16;

  using Told = std::map<raft::NodeId, StateDigest>;

  Finding Judge(Index index, const raft::Membership& membership, raft::NodeId self) const;
  void Add(raft::NodeId node, const StateDigest& digest);

  const uint64_t interval_;
  std::map<Index, Told> told_;
};

}  // namespace mokv::replica
