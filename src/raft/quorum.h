// Quorum arithmetic: what a majority has reached, and whether an election is won, in simple and in
// joint configurations (§4.3). Pure functions.
#pragma once

#include <absl/container/inlined_vector.h>

#include <algorithm>

#include "base/check.h"
#include "raft/membership.h"

namespace mokv::raft {

enum class VoteResult { kPending, kWon, kLost };

constexpr size_t MajorityOf(size_t voters) { return voters / 2 + 1; }

// The greatest value that a majority of `voters` has reached; `value_of` maps an id to its value.
template <typename ValueOf>
auto ReachedByMajority(const Membership::Ids& voters, const ValueOf& value_of) {
  MOKV_CHECK(!voters.empty());
  absl::InlinedVector<decltype(value_of(NodeId())), 8> values;
  for (const NodeId voter : voters) values.push_back(value_of(voter));
  // Sorted downwards, the value at MajorityOf - 1 is reached by that many and no greater one is.
  const auto nth = values.begin() + static_cast<ptrdiff_t>(MajorityOf(values.size()) - 1);
  std::nth_element(values.begin(), nth, values.end(), std::greater<>());
  return *nth;
}

template <typename ValueOf>
auto ReachedByQuorum(const Membership& membership, const ValueOf& value_of) {
  const auto incoming = ReachedByMajority(membership.voters(), value_of);
  if (!membership.joint()) return incoming;
  return std::min(incoming, ReachedByMajority(membership.outgoing(), value_of));
}

// `vote_of` maps an id to +1 (granted), -1 (refused) or 0 (not heard yet).
template <typename VoteOf>
VoteResult MajorityResult(const Membership::Ids& voters, const VoteOf& vote_of) {
  size_t granted = 0;
  size_t refused = 0;
  for (const NodeId voter : voters) {
    const int vote = vote_of(voter);
    granted += vote > 0 ? 1 : 0;
    refused += vote < 0 ? 1 : 0;
  }
  MOKV_CHECK_LE(granted + refused, voters.size());
  if (granted >= MajorityOf(voters.size())) return VoteResult::kWon;
  // Lost once those who have not refused are no majority any more.
  if (voters.size() - refused < MajorityOf(voters.size())) return VoteResult::kLost;
  return VoteResult::kPending;
}

template <typename VoteOf>
VoteResult QuorumResult(const Membership& membership, const VoteOf& vote_of) {
  const VoteResult incoming = MajorityResult(membership.voters(), vote_of);
  if (!membership.joint()) return incoming;
  const VoteResult outgoing = MajorityResult(membership.outgoing(), vote_of);
  if (incoming == VoteResult::kLost || outgoing == VoteResult::kLost) return VoteResult::kLost;
  return incoming == outgoing ? incoming : VoteResult::kPending;
}

}  // namespace mokv::raft
