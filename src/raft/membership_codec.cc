// Membership as the bytes of a configuration entry. Apart from the algebra, so that only this file
// knows protobuf.
#include <algorithm>

#include "base/check.h"
#include "base/status.h"
#include "raft/configuration.pb.h"
#include "raft/membership.h"

namespace mokv::raft {
namespace {

void EncodeMember(const Member& member, bool is_learner, Configuration::Member& out) {
  out.set_id(member.name);
  out.set_instance_id(member.instance_id);
  out.set_rpc_address(member.rpc_address);
  out.set_is_learner(is_learner);
  out.set_node_id(member.id.value());
  if (member.priority != kPriorityDefault) out.set_priority(member.priority);
  out.set_promote_when_caught_up(member.promote_when_caught_up);
}

Member DecodeMember(const Configuration::Member& in) {
  return {.id = in.node_id() != 0 ? NodeId(in.node_id()) : NodeIdOf(in.id(), in.instance_id()),
          .name = in.id(),
          .instance_id = in.instance_id(),
          .rpc_address = in.rpc_address(),
          .priority = in.has_priority() ? in.priority() : kPriorityDefault,
          .promote_when_caught_up = in.promote_when_caught_up()};
}

}  // namespace

std::string Membership::Encode() const {
  Configuration configuration;
  configuration.set_cluster_id(cluster_id_);
  for (const NodeId id : voters_) {
    EncodeMember(members_.at(id), false, *configuration.add_members());
  }
  for (const NodeId id : learners_) {
    EncodeMember(members_.at(id), true, *configuration.add_members());
  }
  for (const NodeId id : outgoing_) {
    const bool to_learner = std::binary_search(learners_next_.begin(), learners_next_.end(), id);
    EncodeMember(members_.at(id), to_learner, *configuration.add_outgoing_members());
  }
  for (const NodeId id : removed_) configuration.add_removed_node_ids(id.value());
  return configuration.SerializeAsString();
}

absl::StatusOr<Membership> Membership::Decode(std::string_view bytes) {
  Configuration configuration;
  if (!configuration.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return InvalidArgument("a configuration does not parse");
  }
  Membership result;
  result.cluster_id_ = configuration.cluster_id();
  for (const Configuration::Member& in : configuration.members()) {
    Member member = DecodeMember(in);
    (in.is_learner() ? result.learners_ : result.voters_).push_back(member.id);
    result.members_.emplace(member.id, std::move(member));
  }
  for (const Configuration::Member& in : configuration.outgoing_members()) {
    Member member = DecodeMember(in);
    result.outgoing_.push_back(member.id);
    if (in.is_learner()) result.learners_next_.push_back(member.id);
    result.members_.emplace(member.id, std::move(member));  // Keeps what the incoming half says.
  }
  if (configuration.removed_node_ids_size() > static_cast<int>(kRemovedMax)) {
    return InvalidArgument("a configuration remembers {} removed nodes; limit {}",
                           configuration.removed_node_ids_size(), kRemovedMax);
  }
  for (const uint64_t id : configuration.removed_node_ids()) result.removed_.emplace_back(id);
  for (Ids* ids : {&result.voters_, &result.outgoing_, &result.learners_, &result.learners_next_}) {
    std::sort(ids->begin(), ids->end());
  }
  MOKV_RETURN_IF_ERROR(result.CheckInvariant());
  return result;
}

Entry InitialEntry(const Membership& membership) {
  MOKV_CHECK(!membership.empty());
  return {.index = Index(1),
          .term = Term(1),
          .type = EntryType::kConfiguration,
          .payload = std::make_shared<const std::string>(membership.Encode())};
}

}  // namespace mokv::raft
