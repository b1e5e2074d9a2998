#include "sim/mutations.h"

#include "machine/mutations/mutation.h"
#include "raft/mutations/mutation.h"
#include "replica/mutations/mutation.h"

namespace mokv::sim {

std::vector<Mutation> MutationsOf(NodeKind nodes) {
  std::vector<Mutation> mutations;
  if (nodes == NodeKind::kCores) {
    for (const raft::MutationInfo& info : raft::kMutations) {
      mutations.push_back({info.name, info.text, nodes});
    }
  } else {
    for (const replica::MutationInfo& info : replica::kMutations) {
      mutations.push_back({info.name, info.text, nodes});
    }
    for (const machine::MutationInfo& info : machine::kMutations) {
      mutations.push_back({info.name, info.text, nodes});
    }
  }
  return mutations;
}

std::string_view FindMutation(std::string_view name) {
  for (const NodeKind nodes : {NodeKind::kCores, NodeKind::kReplicas}) {
    for (const Mutation& mutation : MutationsOf(nodes)) {
      if (mutation.name == name) return mutation.name;
    }
  }
  return {};
}

void SwitchOn(std::string_view name) {
  raft::active_mutation = raft::Mutation::kNone;
  replica::active_mutation = replica::Mutation::kNone;
  machine::active_mutation = machine::Mutation::kNone;
  for (const raft::MutationInfo& info : raft::kMutations) {
    if (info.name == name) raft::active_mutation = info.mutation;
  }
  for (const replica::MutationInfo& info : replica::kMutations) {
    if (info.name == name) replica::active_mutation = info.mutation;
  }
  for (const machine::MutationInfo& info : machine::kMutations) {
    if (info.name == name) machine::active_mutation = info.mutation;
  }
}

}  // namespace mokv::sim
