// Deliberate bugs of the replica, one of which the simulator can switch on, as src/raft/mutations
// has them of the core. kName.diff beside this header says what the bug changes; how diffs are made
// and put into a copy of the sources is in src/raft/mutations/README.md.
//
// Threads: `active_mutation` is set before the first replica is made and not while one runs.
#pragma once

#include <cstdint>
#include <string_view>

namespace mokv::replica {

// name, what it breaks
#define MOKV_REPLICA_MUTATION_LIST(X)                                                          \
  X(kDurableWhenGiven, "the core is told that a write is durable when it is given to the log") \
  X(kHardStateForgotten, "votes and terms are not given to the log")                           \
  X(kRecoveryAppliesAll, "recovery applies entries that are not known to be committed")        \
  X(kAnswerBeforePublish, "writes are answered before the state that has them is published")   \
  X(kAppliedBeforePublish, "the applied index is shown before the state that has it")          \
  X(kLeaseRaisedBeforeApply, "the lease is raised before what it must see is applied")         \
  X(kLeaseNotLowered, "the lease is not lowered before messages leave")                        \
  X(kLeaseWithoutClock, "a look-up under the lease does not ask the clock")                    \
  X(kCommitNotPromised, "the commit index is not shown before messages leave")                 \
  X(kReadsDoNotCompare, "a look-up under the lease does not compare applied and commit index") \
  X(kReadBeforeApplied, "reads are let through before their index is applied")                 \
  X(kAnswerLetsLaterReads, "the answer to a question lets reads through that came after it")   \
  X(kForwardSentAgain, "forwarded writes whose connection closed are sent again")              \
  X(kForwardForgotten, "forwarded writes whose connection closed are not answered")            \
  X(kForwardToldNotDone, "forwarded writes that wait too long are told as not done")           \
  X(kEntryToldNotDone, "entries that wait for a quorum too long are told as not done")         \
  X(kSupersededToldTwice, "a superseded write is told as not done, and proposed again")        \
  X(kPendingIgnoresTerm, "a write counts as done when any entry takes its place")              \
  X(kSnapshotNotSynced, "a snapshot gets its name before it is on disk")                       \
  X(kFetchedNotSynced, "a fetched snapshot gets its name before it is on disk")                \
  X(kCutBehindNewest, "the log is cut behind the newer of two snapshots")                      \
  X(kSnapshotMembersOld, "a snapshot has the members of the log's beginning")                  \
  X(kKeepAliveLost, "keep-alives that a leader holds are lost with its leadership")            \
  X(kTimeFromWallClock, "the cluster's time is what the leader's clock shows")                 \
  X(kDoubtForgotten, "a write that is given up while it is sent again is told as not done")    \
  X(kConditionAtProposal, "a condition is compared where a write is proposed, not applied")    \
  X(kMemoryCheckedAtApply, "the memory limit is looked at where a write is applied")           \
  X(kDigestIgnored, "a node ignores that its state is not a majority's")                       \
  X(kFencedGoesOn, "a leader that is about to be fenced answers writes from its state")

enum class Mutation : uint8_t {
  kNone,
#define MOKV_REPLICA_MUTATION_ENUMERATOR(name, text) name,
  MOKV_REPLICA_MUTATION_LIST(MOKV_REPLICA_MUTATION_ENUMERATOR)
#undef MOKV_REPLICA_MUTATION_ENUMERATOR
};

struct MutationInfo {
  Mutation mutation;
  std::string_view name;
  std::string_view text;
};

inline constexpr MutationInfo kMutations[] = {
#define MOKV_REPLICA_MUTATION_INFO(name, text) {Mutation::name, #name, text},
    MOKV_REPLICA_MUTATION_LIST(MOKV_REPLICA_MUTATION_INFO)
#undef MOKV_REPLICA_MUTATION_INFO
};

inline Mutation active_mutation = Mutation::kNone;
// Of the namespace that it stands in: the core has one of the same text.
#define MUTATED(name) (active_mutation == Mutation::name)

}  // namespace mokv::replica
