// Replica: drives Raft core, log and store as one deterministic machine fed by events.
//
//   clients --Propose, WaitForRead--> +---------+ --Append--> log --durable--> back here
//   peers   --messages, forwards----> | a turn  | --Send----> peers
//   alarm, tick --------------------> +---------+ --Apply---> store --> answers
//
// Threads: Propose, WaitForRead, CanReadNow, Request, View, StepAside, StopAccepting and status are
//          thread-safe, and may come before Start: nothing is served until then. Everything else is
//          confined to the executor (the replica thread), on which also every callback is called;
//          only a refusal is told on the thread that asked.
// Owner:   borrows executors, clock, generator, store, log and peers, which must outlive it.
// Order:   one turn takes everything that has queued as one batch. What it gave is persisted, sent
//          and applied in this order; see Turn.
// Bounds:  Options names them; beyond them a request is refused at once.
// Fate:    a write is answered as done, as certainly not done, or as unknown; see write.h.
#pragma once

#include <absl/functional/any_invocable.h>
#include <absl/functional/function_ref.h>
#include <absl/status/status.h>

#include <atomic>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/clock.h"
#include "base/executor.h"
#include "base/log_entry.h"
#include "base/mutex.h"
#include "base/random.h"
#include "machine/command.h"
#include "machine/machine.h"
#include "raft/core.h"
#include "replica/administration.h"
#include "replica/cluster.h"
#include "replica/forwarded.h"
#include "replica/peers.h"
#include "replica/pending_writes.h"
#include "replica/reads.h"
#include "replica/recovery.h"
#include "replica/status.h"
#include "wal/log.h"

namespace mokv::replica {

class Replica final : public PeersHandler, public Cluster {
 public:
  struct Options {
    std::string name;
    std::string instance_id;
    std::string rpc_address;  // What others dial.
    // That the data directory belongs to; empty while it is of none.
    std::string cluster_id;
    raft::Options raft;  // Its id is filled in.
    // Writes that have no answer yet, and the bytes of their commands. The second is what protects
    // memory while no leader is known; the first bounds the work of a turn.
    uint64_t proposals_pending_max = 65'536;
    uint64_t proposals_bytes_max = uint64_t{256} << 20;
    uint64_t reads_waiting_max = 65'536;
    // With this much memory in the store, writes that may grow it are refused; 0: no limit.
    uint64_t memory_bytes_max = 0;
  };
  struct Callbacks {
    // Whether linearizable reads and writes are served through this node has changed. May be null.
    absl::AnyInvocable<void(bool serving)> on_serving_changed;
    // Who leads, as far as this node knows: empty when nobody does. May be null.
    absl::AnyInvocable<void(const std::string& leader, Term term)> on_leader_changed;
    // `node`, this one or a peer of this leader, lacks what it had acknowledged, or has it again.
    // May be null.
    absl::AnyInvocable<void(const std::string& node, const raft::EntriesLost& loss)>
        on_entries_lost;
    // The cluster of the log, once it is known. May be null.
    absl::AnyInvocable<void(const std::string& cluster_id)> on_cluster_id;
    // OnAlarm is to be called at `at`, or soon after. A later call takes the place of an earlier
    // one.
    absl::AnyInvocable<void(MonotonicTime at)> set_alarm;
    // What is on disk cannot be trusted any more, or not be understood; the process must end.
    absl::AnyInvocable<void(const absl::Status& reason)> on_fatal;
  };
  // Where the entries that a slow peer needs are read back from the disk.
  struct Executors {
    Executor& replica;
    Executor& background;
  };

  Replica(Executors executors, const Clock& clock, Random& random, machine::Machine& machine,
          Options options, Callbacks callbacks);
  ~Replica() override;
  Replica(const Replica&) = delete;
  Replica& operator=(const Replica&) = delete;

  // Where the log's recovery is to be told.
  Recovery& recovery() { return *recovery_; }
  // After the recovery. `new_cluster_id`: with an empty log, begin a new cluster of that id with
  // this node as its only voter; without it an empty log waits to be joined. DATA_LOSS when what
  // was recovered does not fit together, FAILED_PRECONDITION when it is of another cluster.
  absl::Status Start(wal::Log& log, Peers& peers, std::optional<std::string> new_cluster_id);

  // From the log's callbacks, on any thread.
  void OnDurable(wal::Ticket ticket);
  void OnLogFailure(absl::Status reason);

  struct WriteRequest {
    machine::Command command;
    std::string subject;  // On whose behalf.
    // UNAVAILABLE by then while there is no leader.
    MonotonicTime give_up_at;
  };
  void Propose(WriteRequest request, WriteDone done);

  // Whether a read may look at the store right now.
  bool CanReadNow(const ReadRequirement& requirement) const;
  // Calls `ready` when it may, or with the reason why it did not come to that by `give_up_at`.
  void WaitForRead(const ReadRequirement& requirement, MonotonicTime give_up_at, ReadReady ready);
  // UNAVAILABLE: what a linearizable read that has run out of time has waited for. Thread-safe.
  absl::Status WhyReadsWait() const;

  ClusterView View() const override;
  void Request(AdminRequest request, MonotonicTime give_up_at, AdminDone done) override;
  // If this node leads, somebody else shall; `done` when that is so, or did not come about.
  void StepAside(MonotonicTime give_up_at, AdminDone done);

  void OnAlarm();
  // Ends waits whose time is up, tries again what was refused, gives unused memory back. To be
  // posted every few tens of milliseconds.
  void Tick();
  // From now on what clients ask is refused; what is in progress is still answered.
  void StopAccepting();
  // Calls `done`, once, when every write that is in progress here has its answer. Thread-safe.
  void WhenIdle(Task done);
  // This node must not serve any more, and takes no part in anything; the process goes on, so that
  // somebody can see why. Thread-safe.
  void Fence(std::string reason);

  // PeersHandler.
  void OnMessage(raft::Message message) override;
  void OnForward(raft::NodeId from, ConnectionId connection, Forward forward) override;
  void OnForwardAnswer(ConnectionId connection, ForwardAnswer answer) override;
  void OnConnectionClosed(raft::NodeId peer, ConnectionId connection, bool last) override;

  Status status() const;
  // Of the configuration in the log; empty until there is one. Thread-safe.
  std::string cluster_id() const;
  raft::NodeId id() const { return options_.raft.id; }

 private:
  struct Durable {
    wal::Ticket ticket;
  };
  struct LogFailed {
    absl::Status reason;
  };
  struct Fenced {
    std::string reason;
  };
  struct EntriesRead {
    raft::NodeId peer;
    absl::StatusOr<std::vector<Entry>> entries;
  };
  using Event =
      std::variant<Write, WaitingRead, AdminCall, Durable, LogFailed, Fenced, EntriesRead>;

  // --- replica.cc: what comes in, and the turn.
  void Enqueue(Event event);
  void ScheduleTurn();
  void Turn();
  void TakeInbox();
  void TickIfDue(MonotonicTime now);
  void TickBehindSockets();
  void Handle(Write write);
  void Handle(WaitingRead read);
  void Handle(AdminCall call);
  void Handle(Durable durable);
  void Handle(LogFailed failed);
  void Handle(Fenced fenced);
  void Handle(EntriesRead read);
  void Step(raft::Event event);
  void BeginCluster(const std::string& cluster_id);
  void SetAlarm();

  // --- output.cc: what a turn gave.
  void Process(raft::Output output);
  void Persist(raft::PersistRequest request);
  void OnPersisted(wal::Ticket ticket);
  void Apply(const std::vector<Entry>& committed);
  void FetchEntries(const raft::EntriesWanted& wanted);
  void OnStanding(const raft::Standing& standing);
  void OnMembership();
  void ReleaseReads();
  void LowerLease();
  void RaiseLease();
  MonotonicTime LeaseNow() const;
  void PublishStatus();

  // --- writes.cc: where writes go and how they are answered.
  absl::Status Admit(const machine::Command& command, uint64_t bytes) const;
  absl::Status AdmitForwarded(const std::string& bytes) const;
  void RouteWrites();
  void ProposeWaiting();
  void ForwardWaiting(raft::NodeId leader);
  // Those of `waiting_writes_` for which `which` holds, in their order; they are yet to be
  // answered.
  std::vector<Write> TakeWaiting(absl::FunctionRef<bool(const Write&)> which);
  void RefuseWaitingOfPeers();
  void OnProposed(const raft::ProposalResult& result);
  void AcceptForwarded(ConnectionId connection, ForwardId id, MonotonicTime give_up_at,
                       ForwardedWrites forwarded);
  void AnswerForwarded(WritesAtLeader::Batch batch, std::vector<WriteResult> results);
  void WaitAgain(Write write);
  void NotDone(Write& write, absl::Status reason);
  void Unknown(std::vector<Write> writes, std::string_view why);
  void ExpireWrites(MonotonicTime now);
  void Answer(Write& write, const WriteResult& result);
  void TellIfIdle();
  void FailEverything(std::string_view why);

  Executors executors_;
  const Clock& clock_;
  Random& random_;
  machine::Machine& machine_;
  Options options_;
  Callbacks callbacks_;
  wal::Log* log_ = nullptr;
  Peers* peers_ = nullptr;

  Mutex inbox_mutex_;
  std::vector<Event> inbox_ ABSL_GUARDED_BY(inbox_mutex_);
  bool turn_posted_ ABSL_GUARDED_BY(inbox_mutex_) = false;

  // Another one: who looks at the cluster, as anybody with a certificate may, must not stand in the
  // way of writes.
  mutable Mutex shown_mutex_;
  Status status_ ABSL_GUARDED_BY(shown_mutex_);
  std::shared_ptr<const raft::Membership> membership_ ABSL_GUARDED_BY(shown_mutex_) =
      std::make_shared<const raft::Membership>();
  // Who votes as far as others are told: a change that is not committed may yet come to nothing, or
  // need the very nodes that it takes the vote from.
  std::shared_ptr<const raft::Membership> settled_membership_ ABSL_GUARDED_BY(shown_mutex_) =
      membership_;

  // Below: replica thread only.
  std::vector<Event> batch_;
  std::unique_ptr<Recovery> recovery_;
  std::unique_ptr<raft::Core> core_;           // Null until the initial entry is durable.
  std::optional<wal::Ticket> initial_ticket_;  // Of a new cluster.
  std::optional<raft::Recovered> initial_;     // What the core then begins with.
  bool failed_ = false;                        // For good; `failure_` says why.
  std::string failure_;
  uint64_t last_id_ = 0;  // Of reads, proposals, changes and forwards.

  struct Persisting {
    wal::Ticket written;
    raft::PersistTicket ticket;
  };
  std::deque<Persisting> persisting_;
  wal::Ticket durable_;

  std::vector<Write> waiting_writes_;  // For a leader.
  bool writes_blocked_ = false;        // Refused for the moment: until the next tick or leader.
  std::vector<Write> proposed_;        // In this turn.
  PendingWrites pending_writes_;       // Entries of the log.
  WritesAtLeader writes_at_leader_;    // Forwarded.
  struct Finished {
    Write write;
    WriteResult result;
  };
  std::vector<machine::Result> results_;  // Of what is being applied.
  std::vector<Finished> finished_;        // Answered once it is published.
  Task when_idle_;
  Reads reads_;
  bool reads_blocked_ = false;
  Administration administration_;
  MonotonicTime alarm_at_ = MonotonicTime::Max();
  bool tick_posted_ = false;  // See TickIfDue.
  raft::Standing standing_;

  // Written by the replica thread, read by any.
  std::atomic<bool> open_{false};     // The log has been recovered.
  std::atomic<bool> started_{false};  // And the core is there.
  std::atomic<bool> gone_{false};     // As `failed_`.
  std::atomic<bool> serving_{false};
  std::atomic<bool> accepting_{true};
  // Until when this node may answer linearizable reads without asking anybody, as nanoseconds of
  // the clock. Lowered before messages leave, raised after what they must see is published.
  std::atomic<int64_t> lease_until_ns_{0};
  std::atomic<uint64_t> term_{0};
  std::atomic<uint64_t> last_index_{0};
  std::atomic<uint64_t> commit_index_{0};
  std::atomic<uint64_t> applied_index_{0};

  // Counted where it happens; those that many threads count are atomic.
  std::atomic<uint64_t> reads_waiting_{0};
  std::atomic<uint64_t> proposals_pending_{0};
  std::atomic<uint64_t> proposals_bytes_{0};
  std::atomic<uint64_t> proposals_refused_{0};
  Counters counters_;  // The rest.
};

}  // namespace mokv::replica
