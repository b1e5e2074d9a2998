// Writes: every write that has no answer yet, and where it goes.
//
//   Admit ──> waiting ──> proposed ──> an entry of the log ──> applied: answered when it is shown
//               ^  └────> forwarded to the leader ──────────> its answer
//               └ not done for the moment, with time left
//
// A write waits until a leader is known; then it becomes an entry here, or is forwarded, once. While
// it waits it is certainly not done, and so may wait again when it was refused for the moment. Once
// it is an entry, or forwarded over a connection that then broke, its fate is unknown until the log
// or the leader says. One in a client's session is forwarded anew then, since it happens once
// however often it comes; but if that does not come to an answer, its fate is unknown all the same.
//
// Keep-alives of sessions do not become entries one by one: a leader holds them for the next beat of
// the ClusterClock.
//
// Threads: Admit and the counts are thread-safe; the rest is confined to the replica thread, on
//          which `done` is called.
// Owner:   the replica. Borrows clock, machine and guard.
// Bounds:  Limits, at admission; what waits anew was admitted before.
#pragma once

#include <absl/functional/function_ref.h>
#include <absl/status/status.h>

#include <atomic>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/executor.h"
#include "machine/command.h"
#include "machine/machine.h"
#include "raft/core.h"
#include "replica/cluster_clock.h"
#include "replica/forward_guard.h"
#include "replica/peers.h"
#include "replica/pending_writes.h"
#include "replica/report.h"
#include "replica/writes_at_leader.h"
#include "wal/log.h"

namespace mokv::replica {

class Writes {
 public:
  struct Limits {
    // Writes that have no answer yet, and the bytes of their commands. The second is what protects
    // memory while no leader is known; the first bounds the work of a turn.
    uint64_t pending_max = 65'536;
    uint64_t pending_bytes_max = uint64_t{256} << 20;
    // With this much memory in the state, writes that may grow it are refused; 0: no limit.
    uint64_t memory_bytes_max = 0;
  };
  using NextId = absl::FunctionRef<uint64_t()>;

  // `guard` may be null.
  Writes(const Clock& clock, const machine::Machine& machine, Limits limits, ForwardGuard* guard)
      : clock_(clock), machine_(machine), limits_(limits), guard_(guard), cluster_clock_(machine) {}
  Writes(const Writes&) = delete;
  Writes& operator=(const Writes&) = delete;

  // Limits that need no data are checked where a write is proposed: what is applied depends on the
  // log alone. OK counts the write in; it is to be added. Otherwise it is counted as refused.
  absl::Status Admit(const machine::Command& command, uint64_t bytes);
  // The leader's own commands have no client to refuse.
  void CountIn(uint64_t bytes);
  uint64_t pending() const { return pending_; }
  uint64_t refused() const { return refused_; }
  // Fills in what this knows.
  void Count(Counters& counters) const;

  void Add(Write write) { (write.keep_alive ? held_ : waiting_).push_back(std::move(write)); }
  // Another node's clients. What is refused is answered at once; the rest waits. `refusal`: why this
  // node takes no writes at all, if so.
  struct ForwardOrigin {
    std::string_view node;  // Its name.
    ConnectionId connection;
    ForwardId id;
  };
  void AddForwarded(Peers& peers, const ForwardOrigin& origin, MonotonicTime give_up_at,
                    ForwardedWrites forwarded, const absl::Status& refusal);

  // Where the waiting ones go now: to the core, if this node leads, which must be given what this
  // returns; or to the leader, if one is known.
  std::optional<raft::Propose> Route(const raft::Core& core, wal::Log& log, Peers& peers,
                                     NextId next_id);
  // The core's answer to that.
  void OnProposed(const raft::ProposalResult& result, const raft::Core& core);
  // What was refused for the moment is tried again.
  void Unblock() { blocked_ = false; }

  // `results` has one for each entry. Answers are held until AnswerApplied.
  void OnApplied(const std::vector<Entry>& entries, std::span<const machine::Result> results);
  // A snapshot that ends with `last` has taken the state's place.
  void OnInstalled(Index last);
  // The state is published: whoever is told that a write is done finds it.
  void AnswerApplied();
  // The leader's answer. `leader`: as far as this node knows now.
  void OnForwardAnswer(ForwardId id, ConnectionId connection, std::vector<WriteResult> results,
                       raft::NodeId leader);
  void OnConnectionClosed(ConnectionId connection);

  // Answers those whose time is up. `leads`: the log decides here, soon, so entries still wait.
  // `no_leader`: why the waiting ones wait.
  void Expire(MonotonicTime now, bool leads, std::string_view no_leader);
  // The node takes no part any more: nobody is left waiting, and nobody is told more than is known.
  void FailAll(std::string_view why);
  void NotDone(Write& write, absl::Status reason);
  // Calls `done`, once, when no write is without its answer.
  void WhenIdle(Task done);

 private:
  struct Finished {
    Write write;
    WriteResult result;
  };

  absl::Status CheckLimits(const machine::Command& command, uint64_t bytes) const;
  // Also fills in what a write is, beside its command.
  absl::Status CheckForwarded(std::string_view node, Write& write,
                              ForwardGuard::WriteTold& told) const;
  // What a leader writes by itself, if it is time, goes to the front of what waits.
  void Beat(MonotonicTime now);
  Write OwnWrite(const machine::Command& command, MonotonicTime give_up_at, WriteDone done);
  void Finish(GatheredKeepAlives& gathered, const WriteResult& result);
  std::optional<raft::Propose> Propose(wal::Log& log, NextId next_id);
  void Forward(raft::NodeId leader, Peers& peers, NextId next_id);
  // Those of `waiting_` and `held_` for which `which` holds, in their order; they are yet to be answered.
  std::vector<Write> TakeWaiting(absl::FunctionRef<bool(const Write&)> which);
  void WaitAgain(Write write);
  void Unknown(std::vector<Write> writes, std::string_view why);
  WriteResult InDoubt(WriteResult result);
  void Answer(Write& write, const WriteResult& result);
  void TellIfIdle();

  const Clock& clock_;
  const machine::Machine& machine_;
  const Limits limits_;
  ForwardGuard* const guard_;

  std::atomic<uint64_t> pending_{0};
  std::atomic<uint64_t> pending_bytes_{0};
  std::atomic<uint64_t> refused_{0};

  std::vector<Write> waiting_;   // For a leader.
  std::vector<Write> held_;      // Keep-alives: for a beat, or for a leader elsewhere.
  bool blocked_ = false;         // Refused for the moment: until the next tick or leader.
  std::vector<Write> proposed_;  // In this turn.
  PendingWrites entries_;        // Of the log.
  std::vector<Finished> finished_;
  std::vector<Write> superseded_;
  WritesAtLeader at_leader_;
  ClusterClock cluster_clock_;
  Task when_idle_;

  uint64_t unknown_ = 0;
  uint64_t applied_ = 0;
  uint64_t forwarded_ = 0;
  uint64_t forwarded_here_ = 0;
};

}  // namespace mokv::replica
