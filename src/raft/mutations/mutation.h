// Deliberate bugs of the core, one of which a test can switch on: a simulator that does not notice
// it has a hole. kName.diff beside this header says what the bug changes (README.md); the product
// is built without any of them.
//
// Threads: `active_mutation` is set before the first core is made and not while one runs.
#pragma once

#include <cstdint>
#include <string_view>

namespace mokv::raft {

// name, what it breaks
#define MOKV_RAFT_MUTATION_LIST(X)                                                               \
  X(kVoteNotPersisted, "the vote is kept in memory only")                                        \
  X(kTermNotPersisted, "a new term is kept in memory only")                                      \
  X(kReplyBeforePersist, "votes and acknowledgements leave before what they promise is durable") \
  X(kVoteTwice, "a second candidate of the same term gets the vote too")                         \
  X(kVoteForStaleLog, "votes do not compare logs")                                               \
  X(kOldTermCommitByCounting, "entries of earlier terms are committed by counting")              \
  X(kNoTruncationOnConflict, "conflicting entries are kept")                                     \
  X(kTruncateMatching, "entries that match are truncated as well")                               \
  X(kNoPreviousCheck, "an append is taken without comparing the entry before it")                \
  X(kMatchFromStaleReply, "acknowledgements of an earlier term count")                           \
  X(kCommitBeyondMatched, "the commit index is not bounded by what the append has proved")       \
  X(kReadWithoutQuorum, "a read is released without a round to a quorum")                        \
  X(kReadBeforeOwnTermCommit, "a new leader's reads do not wait for its no-op")                  \
  X(kReusedReadContext, "heartbeat answers count for rounds that began after them")              \
  X(kReadIndexTooEarly, "a shared round releases reads that came after it began")                \
  X(kLeaseWithoutDriftBound, "the lease is not shortened by the drift bound")                    \
  X(kLeaseFromReplyTime, "the lease runs from the arrival of the answers")                       \
  X(kLeaseKeptOverPause, "the lease is compared with the time of the last tick")                 \
  X(kLeaseKeptDuringTransfer, "the lease is not given up when leadership is handed over")        \
  X(kHintWithLeases, "the hint that the leader is gone is believed although leases are on")      \
  X(kPreVoteCountedAsVote, "a granted pre-vote is counted as a vote")                            \
  X(kNoStickiness, "vote requests are answered while the leader is alive")                       \
  X(kNoCheckQuorum, "a leader without a quorum goes on")                                         \
  X(kLearnerCounted, "learners count in majorities")                                             \
  X(kJointCountedAsSimple, "a joint configuration needs the incoming majority only")             \
  X(kChangeBeforeOwnTermCommit, "membership may change before a commit in the own term")         \
  X(kSecondChangeInFlight, "a second membership change may begin before the first ends")         \
  X(kLeaveJointEarly, "a joint configuration is left before it is committed")                    \
  X(kConfigurationNotRolledBack, "a truncated configuration stays in effect")                    \
  X(kConfigurationWhenCommitted, "a new leader ignores an uncommitted configuration")            \
  X(kLeaderCountsBeforeDisk, "the leader counts its own entries before they are durable")        \
  X(kAbaAcknowledgement, "the disk's late answer counts for entries written since")              \
  X(kSnapshotMovesCommitBack, "an old snapshot is installed over newer entries")                 \
  X(kSnapshotStaleConfiguration, "an installed snapshot leaves the old configuration")           \
  X(kTimeoutNowToLagging, "leadership is handed to a peer that lags")                            \
  X(kInstanceIgnored, "a wiped disk counts under its old name")                                  \
  X(kLossForgotten, "who lacks what it acknowledged votes as if it never had it")                \
  X(kLossNotReset, "what a peer acknowledged counts although it has lost it")

enum class Mutation : uint8_t {
  kNone,
#define MOKV_RAFT_MUTATION_ENUMERATOR(name, text) name,
  MOKV_RAFT_MUTATION_LIST(MOKV_RAFT_MUTATION_ENUMERATOR)
#undef MOKV_RAFT_MUTATION_ENUMERATOR
};

struct MutationInfo {
  Mutation mutation;
  std::string_view name;
  std::string_view text;
};

inline constexpr MutationInfo kMutations[] = {
#define MOKV_RAFT_MUTATION_INFO(name, text) {Mutation::name, #name, text},
    MOKV_RAFT_MUTATION_LIST(MOKV_RAFT_MUTATION_INFO)
#undef MOKV_RAFT_MUTATION_INFO
};

inline Mutation active_mutation = Mutation::kNone;
// Of the namespace that it stands in: the replica has one of the same text.
#define MUTATED(name) (active_mutation == Mutation::name)

}  // namespace mokv::raft
