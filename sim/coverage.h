// Coverage: what a run has visited, as named counters that can be added up over runs. A counter
// that stays zero over many seeds is a fault or a part of the core that the simulator does not
// reach.
//
// Threads: confined to the run's.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "raft/core.h"
#include "raft/coverage.h"
#include "raft/messages.h"
#include "sim/node.h"

namespace mokv::sim {

inline constexpr size_t kMessageKinds = std::variant_size_v<decltype(raft::Message::body)>;
inline constexpr std::array<std::string_view, kMessageKinds> kMessageNames = {
    "PreVoteRequest", "PreVoteReply", "VoteRequest",    "VoteReply",       "Append",
    "AppendReply",    "Heartbeat",    "HeartbeatReply", "InstallSnapshot", "ReadIndexRequest",
    "ReadIndexReply", "TimeoutNow",   "TermNotice"};

// Kinds of faults; plan.h draws them, nemesis.h does them.
#define MOKV_SIM_FAULT_LIST(X)                                                     \
  X(kLoss, "messages lost")                                                        \
  X(kDuplication, "messages duplicated, copies late")                              \
  X(kDelay, "messages delayed")                                                    \
  X(kReordering, "messages reordered")                                             \
  X(kCutOneWay, "one-way partition")                                               \
  X(kCutTwoWay, "two-way partition")                                               \
  X(kCutPartial, "partial partition: one pair")                                    \
  X(kCrash, "crash, unsynced data lost")                                           \
  X(kCrashAll, "crash of everybody")                                               \
  X(kDiskStall, "disk stall")                                                      \
  X(kDiskSlow, "slow disk")                                                        \
  X(kClockRate, "clock at another rate")                                           \
  X(kClockJump, "clock jumps")                                                     \
  X(kPause, "node paused, wakes up late")                                          \
  X(kConnectionReset, "connections closed")                                        \
  X(kChange, "membership change")                                                  \
  X(kReplace, "member replaced")                                                   \
  X(kWipe, "disk wiped under the old name")                                        \
  X(kTransfer, "leadership transfer")                                              \
  X(kSnapshot, "snapshot and compaction")                                          \
  X(kTrigger, "crash, pause or cut the moment a message leaves")                   \
  X(kLeftBehind, "a node is cut off until the others' logs begin after its end")   \
  X(kOverrule, "a leader's minority is written to, overruled, and heard late")     \
  X(kProbeLeader, "leader cut off and asked, others written to")                   \
  X(kRemoveUnheard, "a member removed while it is cut off, and heard again later") \
  X(kDiskFull, "full disk")                                                        \
  X(kSyncFails, "a sync fails")                                                    \
  X(kSyncHangs, "a sync hangs")                                                    \
  X(kStateChanged, "a state changed silently")                                     \
  X(kOldCopy, "an older copy of a disk put back")                                  \
  X(kGracefulStop, "graceful stop")                                                \
  X(kTornWrite, "crash in the middle of a write, near its end")

enum class FaultKind : uint8_t {
#define MOKV_SIM_FAULT_ENUMERATOR(name, text) name,
  MOKV_SIM_FAULT_LIST(MOKV_SIM_FAULT_ENUMERATOR)
#undef MOKV_SIM_FAULT_ENUMERATOR
};
#define MOKV_SIM_FAULT_NAME(name, text) #name,
inline constexpr std::string_view kFaultNames[] = {MOKV_SIM_FAULT_LIST(MOKV_SIM_FAULT_NAME)};
#undef MOKV_SIM_FAULT_NAME
#define MOKV_SIM_FAULT_TEXT(name, text) text,
inline constexpr std::string_view kFaultTexts[] = {MOKV_SIM_FAULT_LIST(MOKV_SIM_FAULT_TEXT)};
#undef MOKV_SIM_FAULT_TEXT
inline constexpr size_t kFaultKinds = std::size(kFaultNames);

#define MOKV_SIM_COUNTER_LIST(X)                                     \
  X(lost_on_arrival, "messages lost to a cut or a crash")            \
  X(lost, "messages lost")                                           \
  X(duplicated, "messages duplicated")                               \
  X(reordered, "messages overtaken")                                 \
  X(starts, "starts from a disk")                                    \
  X(writes, "disk writes")                                           \
  X(writes_lost, "disk writes lost in a crash")                      \
  X(writes_kept, "disk writes that survived a crash unanswered")     \
  X(entries_lost, "entries lost in a crash")                         \
  X(committed, "entries committed")                                  \
  X(applied_in_parts, "committed entries left for another turn")     \
  X(joint_committed, "joint configurations committed")               \
  X(snapshots_taken, "snapshots taken")                              \
  X(compactions, "logs cut")                                         \
  X(fetches, "entries read back for a peer")                         \
  X(reads_leader, "reads on a leader")                               \
  X(reads_follower, "reads on a follower")                           \
  X(reads_waited, "reads that waited for their index")               \
  X(reads_refused, "reads refused")                                  \
  X(reads_by_lease, "look-ups under a lease")                        \
  X(proposals, "proposals accepted")                                 \
  X(proposals_overruled, "proposals whose place another entry took") \
  X(refused_not_leader, "proposals refused: not leader")             \
  X(refused_transferring, "proposals refused: transferring")         \
  X(refused_uncommitted, "proposals refused: too much uncommitted")  \
  X(changes_done, "membership changes done")                         \
  X(changes_refused, "membership changes refused")                   \
  X(changes_unknown, "membership changes of unknown fate")           \
  X(transfers_done, "transfers done")                                \
  X(transfers_failed, "transfers failed")                            \
  X(operations_done, "operations done")                              \
  X(operations_refused, "operations refused")                        \
  X(operations_unknown, "operations of unknown outcome")             \
  X(compared, "cas comparisons that failed")                         \
  X(told_unknown, "writes answered as of unknown outcome")           \
  X(reads_stale, "reads of what need not be the newest state")       \
  X(reads_failed, "reads that ran out of time")                      \
  X(forwards, "requests passed on to a leader")                      \
  X(sessions_opened, "sessions of clients opened")                   \
  X(sessions_ended, "sessions that ended under their clients")       \
  X(kept_alive, "sessions kept alive")                               \
  X(sent_again, "writes in a session sent again")                    \
  X(connections_closed, "ends of connections closed")                \
  X(interrupted, "turns interrupted")                                \
  X(died_in_turn, "crashes in the middle of a turn")                 \
  X(torn_writes, "crashes in the middle of a write")                 \
  X(torn_snapshots, "crashes in the middle of writing a snapshot")   \
  X(rotten_snapshots, "starts with a damaged snapshot")              \
  X(installed, "snapshots installed")                                \
  X(log_syncs_failed, "syncs of a log that failed")                  \
  X(other_syncs_failed, "other syncs that failed")                   \
  X(ended, "nodes that ended because of their disk")                 \
  X(died_in_sync, "crashes while a sync hung")                       \
  X(states_changed, "states that were changed")                      \
  X(states_whole, "changed states that were written over")           \
  X(reads_unjudged, "reads of a changed state")                      \
  X(fenced, "nodes that were fenced")                                \
  X(refused_memory, "writes refused at the memory limit")            \
  X(copies_put_back, "older copies that were put back")              \
  X(losses_told, "nodes that were told what they had lost")          \
  X(losses_healed, "nodes that have again what they had lost")       \
  X(stopped, "graceful stops that came to their end")                \
  X(excused, "runs whose end had no quorum that could lead")         \
  X(gave_up, "histories too hard to judge")

struct Coverage {
  std::array<uint64_t, kMessageKinds> sent{};
  std::array<uint64_t, kMessageKinds> received{};
  std::array<uint64_t, kFaultKinds> faults{};
#define MOKV_SIM_COUNTER(name, text) uint64_t name = 0;
  MOKV_SIM_COUNTER_LIST(MOKV_SIM_COUNTER)
#undef MOKV_SIM_COUNTER
  raft::Stats core;
  std::array<uint64_t, raft::kPoints> points{};

  void AddStats(const raft::Stats& stats);
};

// Every counter with its name, in an order that stays: to add runs up, and to print.
struct Counter {
  std::string name;
  uint64_t value = 0;
  // Nothing may ever count here: it would be a bug.
  bool must_be_zero = false;
  // Nothing needs to count here: it says what was left unjudged, or nodes of this kind have none.
  bool may_be_zero = false;
};
std::vector<Counter> CountersOf(const Coverage& coverage, NodeKind nodes);

}  // namespace mokv::sim
