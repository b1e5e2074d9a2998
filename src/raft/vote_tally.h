// VoteTally: the answers to one candidacy or pre-candidacy. Nobody takes a grant back; so a grant
// outweighs a refusal by the same node, which may answer an earlier pre-candidacy of the same term.
//
// Threads: confined to the core's.
#pragma once

#include <map>

#include "raft/membership.h"
#include "raft/quorum.h"
#include "raft/types.h"

namespace mokv::raft {

class VoteTally {
 public:
  void Reset() { votes_.clear(); }
  void Record(NodeId from, bool granted) { votes_[from] |= granted; }
  VoteResult Result(const Membership& membership) const {
    return QuorumResult(membership, [this](NodeId voter) {
      const auto vote = votes_.find(voter);
      return vote == votes_.end() ? 0 : vote->second ? 1 : -1;
    });
  }

 private:
  std::map<NodeId, bool> votes_;
};

}  // namespace mokv::raft
