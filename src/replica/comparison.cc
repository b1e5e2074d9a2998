#include "replica/comparison.h"

#include <algorithm>

namespace mokv::replica {
namespace {

bool HasSameState(const StateDigest& one, const StateDigest& other) {
  return one.low == other.low && one.high == other.high;
}

}  // namespace

Comparison::Finding Comparison::OnOwn(const StateDigest& own, const raft::Membership& membership,
                                      raft::NodeId self) {
  Add(self, own);
  return Judge(own.index, membership, self);
}

Comparison::Finding Comparison::OnTold(raft::NodeId from, const StateDigest& told,
                                       const raft::Membership& membership, raft::NodeId self) {
  if (from == self || !membership.Contains(from) || told.format != kFormat || !IsDue(told.index)) {
    return {.index = told.index};
  }
  Add(from, told);
  return Judge(told.index, membership, self);
}

std::vector<StateDigest> Comparison::DigestsOf(raft::NodeId self) const {
  std::vector<StateDigest> digests;
  for (const auto& [index, told] : told_) {
    if (const auto own = told.find(self); own != told.end()) digests.push_back(own->second);
  }
  return digests;
}

void Comparison::Add(raft::NodeId node, const StateDigest& digest) {
  told_[digest.index][node] = digest;
  while (told_.size() > kKept) told_.erase(told_.begin());
}

Comparison::Finding Comparison::Judge(Index index, const raft::Membership& membership,
                                      raft::NodeId self) const {
  Finding finding{.index = index};
  const auto at = told_.find(index);
  if (at == told_.end() || !at->second.contains(self)) return finding;
  const Told& told = at->second;
  const StateDigest& own = told.at(self);
  const raft::Membership::Ids& voters = membership.voters();
  // How many voters have the state that `digest` is of.
  const auto count = [&](const StateDigest& digest) {
    return static_cast<size_t>(std::count_if(told.begin(), told.end(), [&](const auto& other) {
      return membership.IsVoter(other.first) && HasSameState(other.second, digest);
    }));
  };
  size_t heard = 0;
  bool others_agree = false;
  for (const auto& [node, digest] : told) {
    if (membership.IsVoter(node)) ++heard;
    if (HasSameState(digest, own)) continue;
    if (membership.Contains(node)) finding.others.push_back(node);
    others_agree = others_agree || 2 * count(digest) > voters.size();
  }
  if (others_agree) {
    finding.verdict = Verdict::kDiffers;
  } else if (2 * count(own) > voters.size()) {
    finding.verdict = finding.others.empty() ? Verdict::kEqual : Verdict::kOthers;
  } else if (heard == voters.size()) {
    finding.verdict = Verdict::kNobody;
  }
  return finding;
}

}  // namespace mokv::replica
