// The branches of the core that the simulator counts and that no counter of Stats shows. Without
// MOKV_RAFT_COVERAGE, VISITED(...) does nothing.
//
// Threads: confined to the core's; the numbers are of all cores of the process.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace mokv::raft {

// name, what happens there
#define MOKV_RAFT_POINT_LIST(X)                                                                 \
  X(kVoteRequestUnheard, "a vote request is not heard while the leader is")                     \
  X(kVoteRequestUnheardInTerm, "nor one of a term that came by other news")                     \
  X(kEarlierPreVote, "a pre-vote request of an earlier term")                                   \
  X(kEarlierVote, "a vote request of an earlier term")                                          \
  X(kEarlierLeader, "a leader of an earlier term")                                              \
  X(kConnectionOfLeaderClosed, "a leader loses a connection")                                   \
  X(kHeldSuperseded, "an acknowledgement takes the place of one that waits for the disk")       \
  X(kHeldOutdated, "a promise is dropped, since its term is over when the disk answers")        \
  X(kConfigurationTruncated, "a configuration goes with its entry")                             \
  X(kTruncatedWhileWriting, "entries are overwritten while the disk has not answered for them") \
  X(kCampaignRefused, "an election timeout of one who may not stand")                           \
  X(kCampaignNever, "a member of priority 0 does not stand")                                    \
  X(kCampaignInstalling, "nobody stands while it installs a snapshot")                          \
  X(kCampaignLacks, "nobody stands while it lacks what it acknowledged")                        \
  X(kLossFound, "a peer lacks what it acknowledged")                                            \
  X(kOwnLossFound, "a follower hears that it lacks what it acknowledged")                       \
  X(kCampaignDiskStalls, "nobody stands while its disk hangs")                                  \
  X(kLeaderLost, "the hint that the leader is gone")                                            \
  X(kEarlyPreVote, "a pre-vote before the timeout")                                             \
  X(kPreVoteOfAnotherAttempt, "a pre-vote reply to another attempt")                            \
  X(kPreVoteLost, "a lost pre-vote")                                                            \
  X(kVoteNotFree, "a vote refused: given already")                                              \
  X(kVoteLogBehind, "a vote refused: the log is behind")                                        \
  X(kElectionLost, "a lost election")                                                           \
  X(kCandidateYields, "a candidate hears a leader of its term")                                 \
  X(kAppendBelowCommit, "an append of what is committed")                                       \
  X(kAppendOverlaps, "an append of what is there")                                              \
  X(kAppendConflicts, "an append that truncates")                                               \
  X(kCommitWaitsForOwnTerm, "entries of an earlier term are on a majority, and not committed")  \
  X(kProbeBeforeMemory, "a probe where the entries are not in memory")                          \
  X(kCommitTold, "a commit index that no append carries")                                       \
  X(kRejectionOutdated, "a rejection of what the log has no more")                              \
  X(kHintBelowBase, "a hint from before the log")                                               \
  X(kFetchFailed, "entries cannot be read back")                                                \
  X(kFetchOutdated, "entries read back are of no use any more")                                 \
  X(kTransferTimesOut, "a transfer that does not come about")                                   \
  X(kSilentPeer, "a peer that answers heartbeats, but not appends")                             \
  X(kSilentPeerBehindBase, "such a peer, when the log is cut")                                  \
  X(kPriorityHandsOver, "leadership goes to a member of higher priority")                       \
  X(kReadTooMany, "a read refused: too many")                                                   \
  X(kReadWaitsForCommit, "a read waits for a commit in the own term")                           \
  X(kReadRoundsFull, "a read waits for a round to end")                                         \
  X(kReadAskedAgain, "a forwarded read is asked again")                                         \
  X(kReadRequestRefused, "a forwarded read is refused")                                         \
  X(kReadAnswerOfAnother, "an answer to a read from a former leader")                           \
  X(kChangeWhileTransferring, "a change refused: transferring")                                 \
  X(kChangeInFlight, "a change refused: another is in flight")                                  \
  X(kChangeTooEarly, "a change refused: nothing committed in the own term")                     \
  X(kChangeNotCaughtUp, "a promotion refused: not caught up")                                   \
  X(kJointWaitsForTransfer, "a joint configuration is left after a transfer")                   \
  X(kRemovedLeader, "a leader that is no voter any more")                                       \
  X(kLearnersPromoted, "learners become voters by themselves")                                  \
  X(kTransferToSelf, "a transfer to the leader")                                                \
  X(kTransferTwice, "a transfer refused: another is under way")                                 \
  X(kTransferToSilent, "a transfer refused: its target is not heard from")                      \
  X(kTransferWaits, "a transfer waits for its target's log")                                    \
  X(kHandOverToNobody, "a leader steps down and nobody is fit")                                 \
  X(kTimeoutNowIgnored, "TimeoutNow to one who may not stand, or of another leader")            \
  X(kSnapshotFailed, "a snapshot that does not arrive")                                         \
  X(kSnapshotOld, "a snapshot of what is committed")                                            \
  X(kSnapshotHeld, "a snapshot of what the log has")

enum class Point : uint8_t {
#define MOKV_RAFT_POINT_ENUMERATOR(name, text) name,
  MOKV_RAFT_POINT_LIST(MOKV_RAFT_POINT_ENUMERATOR)
#undef MOKV_RAFT_POINT_ENUMERATOR
};

#define MOKV_RAFT_POINT_TEXT(name, text) text,
inline constexpr std::string_view kPointTexts[] = {MOKV_RAFT_POINT_LIST(MOKV_RAFT_POINT_TEXT)};
#undef MOKV_RAFT_POINT_TEXT
inline constexpr size_t kPoints = std::size(kPointTexts);

#ifdef MOKV_RAFT_COVERAGE
inline std::array<uint64_t, kPoints> visits{};
#define VISITED(name) ++::mokv::raft::visits[static_cast<size_t>(::mokv::raft::Point::name)]
#else
#define VISITED(name) static_cast<void>(0)
#endif

}  // namespace mokv::raft
