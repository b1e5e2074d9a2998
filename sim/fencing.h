// Fencing: what one replica has said and heard of states, and so whether its own must be fenced: as
// soon as it has told its digest of an index and has heard from a majority of the voters that they
// have another one there, in whichever order.
//
// Counted once more, from what travels between the nodes, since what replica/comparison.h makes of
// it is judged. It also knows whether the state was changed behind the replica's back, which is what
// excuses it from being everybody's.
//
// Threads: confined to the run's. Bounds: kKept indexes, fewer than a replica keeps.
#pragma once

#include <cstddef>
#include <map>
#include <optional>

#include "raft/membership.h"
#include "replica/peers.h"

namespace mokv::sim {

class Fencing {
 public:
  void OnChanged() { changed_ = was_changed_ = true; }
  // What was changed has been written over.
  void OnWhole() { changed_ = false; }
  // A digest of its own, or one that `from` told it, counted by its configuration at the moment.
  void OnDigest(raft::NodeId from, const replica::StateDigest& digest,
                const raft::Membership& membership, raft::NodeId self);

  bool changed() const { return changed_; }
  // At some time in this life.
  bool was_changed() const { return was_changed_; }
  // The index at which a majority is known to have another state.
  std::optional<Index> due() const { return due_; }

 private:
  static constexpr size_t kKept = 8;

  bool changed_ = false;
  bool was_changed_ = false;
  std::map<Index, std::map<raft::NodeId, replica::StateDigest>> told_;
  std::optional<Index> due_;
};

}  // namespace mokv::sim
