#include "sim/fencing.h"

#include <utility>

namespace mokv::sim {
namespace {

using State = std::pair<uint64_t, uint64_t>;

}  // namespace

void Fencing::OnDigest(raft::NodeId from, const replica::StateDigest& digest,
                       const raft::Membership& membership, raft::NodeId self) {
  if (!membership.Contains(from) && from != self) return;
  told_[digest.index][from] = digest;
  while (told_.size() > kKept) told_.erase(told_.begin());
  const auto at = told_.find(digest.index);
  if (at == told_.end() || !at->second.contains(self)) return;
  const auto state_of = [&](raft::NodeId node) {
    const replica::StateDigest& told = at->second.at(node);
    return State(told.low, told.high);
  };
  std::map<State, size_t> voters;
  for (const auto& [node, told] : at->second) {
    if (membership.IsVoter(node)) ++voters[state_of(node)];
  }
  for (const auto& [state, count] : voters) {
    const bool majority = 2 * count > membership.voters().size();
    if (majority && state != state_of(self) && !due_.has_value()) due_ = digest.index;
  }
}

}  // namespace mokv::sim
