#include "raft/types.h"

#include <charconv>

#include "base/check.h"
#include "base/checksum.h"

namespace mokv::raft {

NodeId NodeIdOf(std::string_view name, std::string_view instance_id) {
  const uint64_t id = Checksum64(instance_id, Checksum64(name));
  return NodeId(id == 0 ? 1 : id);
}

std::string VoteText(NodeId vote) {
  return vote == NodeId() ? std::string() : fmt::format("{:016x}", vote.value());
}

NodeId ParseVote(std::string_view text) {
  if (text.empty()) return NodeId();
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 16);
  if (text.size() == 16 && error == std::errc() && end == text.data() + text.size() && value != 0) {
    return NodeId(value);
  }
  return NodeIdOf(text, "");
}

std::string_view RoleName(Role role) {
  switch (role) {
    case Role::kFollower:
      return "follower";
    case Role::kPreCandidate:
      return "pre-candidate";
    case Role::kCandidate:
      return "candidate";
    case Role::kLeader:
      return "leader";
  }
  MOKV_CHECK(false);
}

}  // namespace mokv::raft
