// Core: one node's part in Raft consensus, after Ongaro's dissertation ("§3.4"; "figure 2" is the
// paper's). A pure function of its inputs: no I/O, threads, clock or entropy of its own. The same
// events with the same times and the same generator give the same outputs, bit for bit.
//
//   core->Step(now, event);               any number of times: one turn's worth
//   Output output = core->TakeOutput();   then once: what there is to do now (output.h)
//
// Threads:   confined to the owner's thread (the replica thread).
// Owner:     does what each Output asks for: persists, sends, applies. The core borrows the
//            generator, which must outlive it.
// Units:     `now` is this node's monotonic clock and never goes back; bytes are EntryBytes.
// Errors:    a malformed message of a peer is dropped and counted, never asserted on. MOKV_CHECKs
//            state our own invariants and the owner's duties.
// Parts:     core.cc (dispatch, terms, output), election.cc, follower.cc, replication.cc,
//            heartbeat.cc (a leader's periodic duties), losses.cc, reads.cc,
//            membership_change.cc, transfer.cc, snapshots.cc. docs/raft.md has the table of states.
#pragma once

#include <absl/status/statusor.h>

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "base/clock.h"
#include "base/random.h"
#include "raft/durability.h"
#include "raft/election_timer.h"
#include "raft/events.h"
#include "raft/forwarded_reads.h"
#include "raft/lease.h"
#include "raft/log_view.h"
#include "raft/options.h"
#include "raft/output.h"
#include "raft/progress.h"
#include "raft/read_index.h"
#include "raft/vote_tally.h"

namespace mokv::raft {

// What a core begins with: what the owner found on its disk.
struct InitialState {
  // Empty on a node that waits to be joined. On the first node of a new cluster it holds
  // InitialEntry, and hard_state.term is 1.
  LogView log;
  HardState hard_state;
  // The state machine has applied everything up to here, at most
  // max(hard_state.commit, log.base().index). The log must have all later entries in memory.
  Index applied;
  // The newest snapshot, if there is one. It must not end before log.base().
  std::optional<SnapshotMeta> snapshot;
};

struct Stats {
  uint64_t pre_votes = 0;    // Candidacies that were tried out.
  uint64_t elections = 0;    // Terms stood for.
  uint64_t leaderships = 0;  // Terms won.
  uint64_t quorum_lost = 0;  // Leaderships ended by check-quorum.
  uint64_t disk_stalls = 0;  // Times leadership was handed over because the disk hung.
  uint64_t read_rounds = 0;  // Heartbeat rounds begun for reads.
  uint64_t lease_reads = 0;  // Reads answered from the lease.
  uint64_t proposals_refused = 0;
  uint64_t appends_rejected = 0;  // Conflicts, seen by the leader.
  uint64_t snapshots_sent = 0;
  uint64_t snapshots_installed = 0;
  uint64_t malformed = 0;     // Messages dropped.
  uint64_t misaddressed = 0;  // Messages to a former life of this node's name.
};

class Core {
 public:
  // DATA_LOSS if what was found does not fit together. The node begins as a follower; the only
  // voter of its cluster stands for election with the first Tick.
  static absl::StatusOr<std::unique_ptr<Core>> Create(const Options& options, InitialState initial,
                                                      Random& random, MonotonicTime now);
  Core(const Core&) = delete;
  Core& operator=(const Core&) = delete;

  void Step(MonotonicTime now, Event event);
  Output TakeOutput();

  // When the next Tick is due; Max() if time alone changes nothing. Until then the owner of an idle
  // core has nothing to do.
  MonotonicTime NextDeadline() const { return next_deadline_; }

  NodeId id() const { return options_.id; }
  Role role() const { return role_; }
  Term term() const { return term_; }
  NodeId vote() const { return vote_; }
  NodeId leader() const { return leader_; }
  Index commit() const { return commit_; }
  Index applied() const { return applied_; }  // Handed out for application.
  bool can_serve() const { return role_ == Role::kLeader && CommittedInTerm(); }
  const LogView& log() const { return log_; }
  const Durability& durability() const { return durability_; }
  // The configuration in effect.
  const std::shared_ptr<const Membership>& membership() const;
  // While leading: what is known of each other member. Empty otherwise.
  const std::map<NodeId, Progress>& progress() const { return progress_; }
  bool transferring() const { return transfer_.has_value(); }
  // What this node had acknowledged and lacks, as a leader has told it; 0/0 as a rule.
  Position lost_through() const { return lost_through_; }
  // Until when, by this node's clock, a leader may answer reads without asking its peers, from a
  // state that has applied commit(); zero when it may not. The owner publishes it after every turn
  // before it sends the turn's messages, since one of them may make another node leader.
  MonotonicTime lease_until() const;
  // Peers that are alive, or are being sent a snapshot, still need the entries after this one. The
  // owner decides how long it keeps them for that.
  Index CompactionLimit() const;
  uint64_t uncommitted_bytes() const { return uncommitted_bytes_; }
  const Stats& stats() const { return stats_; }

 private:
  struct HeldMessage {
    PersistTicket ticket;
    Message message;
  };
  struct Transfer {
    RequestId request;  // 0: the core's own wish.
    NodeId target;
    MonotonicTime deadline;
    bool timeout_now_sent = false;
  };

  Core(const Options& options, InitialState initial, Random& random, MonotonicTime now);

  // --- core.cc: events, terms and what leaves.
  void On(Tick tick);
  void On(Receive receive);
  void On(Propose propose);
  void On(Persisted persisted);
  void On(Read read);
  void On(ChangeMembership change);
  void On(TransferLeadership transfer);
  void On(ConnectionClosed closed);
  void On(EntriesFetched fetched);
  void On(SnapshotTaken taken);
  void On(LogCompacted compacted);
  void On(SnapshotFailed failed);

  void Dispatch(const Message& message);
  bool AdmitTerm(const Message& message);
  void AnswerEarlierTerm(const Message& message);
  bool IsWellFormed(const Message& message) const;
  void BecomeFollower(Term term, NodeId leader);
  void LeaveLeadership();
  void SetLeader(NodeId leader);
  void SetTermAndVote(Term term, NodeId vote);
  void CommitTo(Index index);
  void AppendToLog(Entry entry);
  void TruncateLog(Index from);

  template <typename Body>
  void Send(NodeId to, Body body) {
    Deliver({.from = options_.id, .to = to, .term = term_, .body = std::move(body)});
  }
  template <typename Body>
  void SendWhenDurable(NodeId to, Body body) {
    Hold({.from = options_.id, .to = to, .term = term_, .body = std::move(body)});
  }
  void Deliver(Message message);
  void Hold(Message message);
  void ReleaseHeld();
  bool HasUnhanded() const;
  PersistTicket PromiseTicket() const;
  void TakePersist();
  void TakeCommitted();
  void TakeStanding();
  void UpdateDeadline();

  // --- election.cc: §3.4, §3.6.1, §4.2.3, §6.4.1, §9.6.
  bool CanCampaign() const;
  bool InLeaderContact() const;
  bool DiskStalls() const;
  void OnElectionTimeout();
  void StartPreVote();
  void StartElection(bool transfer);
  void BecomeLeader();
  void OnLeaderLost();
  void On(const Message& message, const PreVoteRequest& request);
  void On(const Message& message, const PreVoteReply& reply);
  void On(const Message& message, const VoteRequest& request);
  void On(const Message& message, const VoteReply& reply);
  void On(const Message& message, const TermNotice& notice);

  // --- follower.cc: §3.5, receiver of AppendEntries and heartbeats.
  void HearLeader(NodeId leader);
  void On(const Message& message, const Append& append);
  void AppendFromLeader(const std::vector<Entry>& entries);
  void AcceptUpTo(NodeId leader, Index match);
  void On(const Message& message, const Heartbeat& heartbeat);

  // --- replication.cc: §3.5, §3.6.2, §10.2.1, the leader's side.
  Refusal WhyNotPropose(uint64_t bytes) const;
  void AppendAsLeader(EntryType type, Payload payload);
  Index MatchOf(NodeId id) const;
  void AdvanceCommit();
  bool CommittedInTerm() const { return commit_ >= term_begin_; }
  void Replicate(NodeId peer, Progress& progress);
  bool SendNextAppend(NodeId peer, Progress& progress);
  void SendAppend(NodeId peer, Progress& progress, EntryBatch entries);
  void TellCommit(NodeId peer, Progress& progress);
  EntryBatch BatchFrom(Index from);
  void On(const Message& message, const AppendReply& reply);

  // --- losses.cc: entries that were acknowledged and are gone.
  Position AcknowledgedBy(const Progress& progress) const;
  void NoteLossOf(NodeId peer, Progress& progress, const HeartbeatReply& reply);
  std::optional<Index> NoteOwnLoss(Position acknowledged);
  void EndOwnLoss();
  bool Contradicts(Position last) const;

  // --- heartbeat.cc: a leader's periodic duties.
  void LeaderDuties();
  bool HasQuorum() const;
  void BroadcastHeartbeat();
  void On(const Message& message, const HeartbeatReply& reply);
  void ConfirmRounds();
  bool HandOverIfDiskStalls();
  void HandOverToPriority();

  // --- reads.cc: §6.4.
  bool ReleaseByLease(const ReadOrigin& origin);
  void AddRead(ReadOrigin origin);
  void BeginReadRound();
  void Release(const ReadOrigin& origin, Index index);
  void RefuseRead(const ReadOrigin& origin, Refusal refusal);
  void ForwardReads();
  void ForwardOverdueReads();
  void FailForwardedReads();
  void On(const Message& message, const ReadIndexRequest& request);
  void On(const Message& message, const ReadIndexReply& reply);

  // --- membership_change.cc: §4.
  absl::Status WhyNotChange(const std::vector<MemberChange>& changes) const;
  absl::Status StartChange(const std::vector<MemberChange>& changes);
  bool ChangeInFlight() const;
  void AppendMembership(const Membership& membership);
  void OnMembershipInEffect();
  void OnMembershipCommitted();
  void DropRemovedPeers();
  void PromoteCaughtUp();
  void FinishChange(absl::Status status, bool fate_unknown);

  // --- transfer.cc: §3.10.
  absl::Status WhyNotTransferTo(NodeId target) const;
  absl::Status WhySilent(NodeId target) const;
  NodeId BestTransferTarget() const;
  void StartTransfer(RequestId request, NodeId target);
  void MaybeSendTimeoutNow(NodeId peer, const Progress& progress);
  void FinishTransfer(absl::Status status);
  void HandOverAndStepDown();
  void On(const Message& message, const TimeoutNow& timeout_now);

  // --- snapshots.cc: §5.
  void SendSnapshot(NodeId peer, Progress& progress);
  void On(const Message& message, const InstallSnapshot& install);

  const Options options_;
  MonotonicTime now_;
  MonotonicTime next_deadline_;
  Stats stats_;

  // Figure 2, persistent state.
  Term term_;
  NodeId vote_;
  LogView log_;
  bool hard_state_changed_ = false;  // Since the last PersistRequest.
  PersistTicket hard_state_ticket_;  // Of the last one that carried a term or vote.
  Index commit_persisted_;
  Durability durability_;
  std::optional<Index> truncate_from_;   // Of what the owner has been given.
  std::optional<SnapshotMeta> install_;  // Not given to the owner yet.
  PersistTicket install_ticket_;         // Of the last one that was.
  std::deque<HeldMessage> held_;         // By ticket.

  // Figure 2, volatile state.
  Role role_ = Role::kFollower;
  NodeId leader_;
  Index commit_;
  Index applied_;
  std::optional<SnapshotMeta> snapshot_;
  ElectionTimer election_timer_;
  MonotonicTime last_leader_contact_;
  // The last of the entries that this node acknowledged, in this life or a former one, and lost. In
  // memory only: after a restart a leader tells it again.
  Position lost_through_;
  MonotonicTime vote_for_nobody_until_;  // Leases: what a former life may have promised.
  bool leader_lost_ = false;             // Its connection has closed and it was not heard since.
  int early_pre_votes_left_ = 0;
  VoteTally tally_;
  ForwardedReads forwarded_;
  MonotonicTime next_forward_check_;

  // Figure 2, volatile state on leaders.
  std::map<NodeId, Progress> progress_;
  Progress::Limits limits_;
  Index term_begin_;  // Of the no-op.
  uint64_t uncommitted_bytes_ = 0;
  std::vector<EntryBatch> batches_;  // Made in this turn.
  MonotonicTime next_heartbeat_;
  MonotonicTime next_priority_check_;
  HeartbeatRounds rounds_;
  Round timed_round_;  // The last that began because it was time, and not for a read.
  Round confirmed_round_;
  ReadIndex reads_;
  Lease lease_;
  std::optional<Transfer> transfer_;
  std::optional<RequestId> change_;  // The membership change that somebody waits for.

  Output output_;
  Standing standing_;  // As last told.
};

}  // namespace mokv::raft
