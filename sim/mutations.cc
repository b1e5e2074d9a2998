#include "sim/mutations.h"

#include "machine/mutations/mutation.h"
#include "raft/mutations/mutation.h"
#include "replica/mutations/mutation.h"
#include "wal/mutations/mutation.h"

namespace mokv::sim {

namespace {

// Disks of cores lose nothing.
bool IsOfLosses(raft::Mutation mutation) {
  return mutation == raft::Mutation::kLossForgotten || mutation == raft::Mutation::kLossNotReset;
}

}  // namespace

std::vector<Mutation> MutationsOf(NodeKind nodes) {
  std::vector<Mutation> mutations;
  for (const raft::MutationInfo& info : raft::kMutations) {
    if (IsOfLosses(info.mutation) != (nodes == NodeKind::kReplicas)) continue;
    mutations.push_back({info.name, info.text, nodes});
  }
  if (nodes == NodeKind::kReplicas) {
    for (const replica::MutationInfo& info : replica::kMutations) {
      mutations.push_back({info.name, info.text, nodes});
    }
    for (const machine::MutationInfo& info : machine::kMutations) {
      mutations.push_back({info.name, info.text, nodes});
    }
    for (const wal::MutationInfo& info : wal::kMutations) {
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
  wal::active_mutation = wal::Mutation::kNone;
  for (const raft::MutationInfo& info : raft::kMutations) {
    if (info.name == name) raft::active_mutation = info.mutation;
  }
  for (const replica::MutationInfo& info : replica::kMutations) {
    if (info.name == name) replica::active_mutation = info.mutation;
  }
  for (const machine::MutationInfo& info : machine::kMutations) {
    if (info.name == name) machine::active_mutation = info.mutation;
  }
  for (const wal::MutationInfo& info : wal::kMutations) {
    if (info.name == name) wal::active_mutation = info.mutation;
  }
}

}  // namespace mokv::sim
