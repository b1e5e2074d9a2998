// Replica: drives Raft core, log and state machine as one deterministic machine fed by events.
//
//   clients --Propose, WaitForRead--> +---------+ --Append--> log --durable--> back here
//   peers   --messages, forwards----> | a turn  | --Send----> peers
//   alarm, tick --------------------> +---------+ --Apply---> machine --> answers
//
// The order in which all of it happens is in Turn (replica/turn.cc); read that first. The parts:
// Inbox (what came from other threads), Writes (without an answer yet), Reads (that wait), ReadGate
// (may a read look now?), Administration (changes of the cluster), StatusBoard (what is shown).
//
// Threads: Propose, CanReadNow, WaitForRead, WhyReadsWait, Request, StepAside, StopAccepting,
//          WhenIdle, Fence, OnDurable, OnLogFailure, View, report and cluster_id are thread-safe,
//          and may come before Start: nothing is served until then. Everything else is confined to
//          the executor (the replica thread), on which also every callback is called; only a refusal
//          is told on the thread that asked.
// Owner:   borrows executors, clock, generator, machine, log and peers, which must outlive it.
// Bounds:  Options names them; beyond them a request is refused at once.
// Fate:    a write is answered as done, as certainly not done, or as unknown; see write.h.
#pragma once

#include <absl/functional/any_invocable.h>
#include <absl/status/status.h>

#include <atomic>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "base/clock.h"
#include "base/executor.h"
#include "base/log_entry.h"
#include "base/random.h"
#include "machine/command.h"
#include "machine/machine.h"
#include "raft/core.h"
#include "replica/administration.h"
#include "replica/comparison.h"
#include "replica/inbox.h"
#include "replica/observer.h"
#include "replica/peers.h"
#include "replica/read_gate.h"
#include "replica/reads.h"
#include "replica/replay.h"
#include "replica/report.h"
#include "replica/snapshot_file.h"
#include "replica/snapshots.h"
#include "replica/status_board.h"
#include "replica/writes.h"
#include "wal/log.h"

namespace mokv::replica {

class Replica final : public PeersHandler {
 public:
  struct Options {
    std::string name;
    std::string instance_id;
    std::string rpc_address;  // What others dial.
    // Of the cluster that the data directory belongs to; empty while it belongs to none.
    std::string cluster_id;
    raft::Options raft;  // Its id is filled in.
    Writes::Limits writes;
    ForwardGuard* forward_guard = nullptr;  // Borrowed. Null: what others pass on is taken.
    uint64_t reads_waiting_max = 65'536;
    Snapshots::Options snapshots;                                 // Without `files` there are none.
    uint64_t comparison_interval = Comparison::kIntervalDefault;  // Of tests: see comparison.h.
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
    // The replicas differ. `fences`: it is this node's state that a majority does not have; it serves
    // nothing more, and must not under this state ever again. May be null.
    absl::AnyInvocable<void(const std::string& reason, bool fences)> on_differing;
    // What is on disk cannot be trusted any more, or not be understood; the process must end.
    absl::AnyInvocable<void(const absl::Status& reason)> on_fatal;
    Observer* observer = nullptr;  // Of tests.
  };
  struct Executors {
    Executor& replica;
    // Where the entries and parts of snapshots that a peer needs are read back from the disk.
    Executor& background;
    // Where snapshots are loaded, which takes long.
    Executor& snapshots;
    // Where they are written, which takes long and which nobody waits for: it may rest between tasks.
    Executor& snapshot_writer;
  };

  Replica(Executors executors, const Clock& clock, Random& random, machine::Machine& machine,
          Options options, Callbacks callbacks);
  ~Replica() override;
  Replica(const Replica&) = delete;
  Replica& operator=(const Replica&) = delete;

  // What the log finds at its opening is to be told to the replay: OpenLog. It may be begun anew as
  // long as nothing has been applied. The state begins with `snapshot`, if there is one.
  Replay& BeginReplay(std::optional<SnapshotToLoad> snapshot, Executor* thread);
  Replay& replay() { return *replay_; }
  // Where this node's snapshots are; null: it has none.
  const snapshot::Directory* snapshots() const;
  // Those that a start has found whole, the newest first.
  void OnSnapshotsFound(std::vector<EntryId> found) { found_snapshots_ = std::move(found); }
  const std::vector<EntryId>& snapshots_found() const { return found_snapshots_; }
  // After the replay. `new_cluster_id`: with an empty log, begin a new cluster of that id with this
  // node as its only voter; without it an empty log waits to be joined. DATA_LOSS when what was
  // found does not fit together, FAILED_PRECONDITION when it is of another cluster.
  absl::Status Start(wal::Log& log, Peers& peers, std::optional<std::string> new_cluster_id);

  // From the log's callbacks, on any thread.
  void OnDurable(wal::Ticket ticket);
  void OnLogFailure(absl::Status reason);

  struct WriteRequest {
    machine::Command command;  // One that machine::CheckCommand allows.
    std::string subject;       // On whose behalf.
    // UNAVAILABLE by then while there is no leader.
    MonotonicTime give_up_at;
  };
  void Propose(WriteRequest request, WriteDone done);
  // The leader's own command, on the replica thread: not done if this node does not lead by the next
  // turn. No limit of clients refuses it.
  void ProposeHere(machine::Command command, WriteDone done);

  // Whether a read may look at the state right now.
  bool CanReadNow(const ReadRequirement& requirement) const {
    return gate_.MayReadNow(requirement);
  }
  // Calls `ready` when it may, or with the reason why it did not come to that by `give_up_at`.
  void WaitForRead(const ReadRequirement& requirement, MonotonicTime give_up_at, ReadReady ready);
  // UNAVAILABLE: what a linearizable read that has run out of time has waited for.
  absl::Status WhyReadsWait() const;

  // Changes the cluster, on the leader, wherever that is. Answers at the latest at `give_up_at`,
  // with UNAVAILABLE. INVALID_ARGUMENT, NOT_FOUND and FAILED_PRECONDITION say what is wrong with
  // the request.
  void Request(AdminRequest request, MonotonicTime give_up_at, AdminDone done);
  // If this node leads, somebody else shall; `done` when that is so, or did not come about.
  void StepAside(MonotonicTime give_up_at, AdminDone done);

  // Gives all that this node has applied by some moment after the call, on the replica thread.
  // UNAVAILABLE: the node is starting, belongs to no cluster, or takes no part in it any more.
  // Thread-safe.
  using FreezeDone = absl::AnyInvocable<void(absl::StatusOr<FrozenSnapshot>)>;
  void Freeze(FreezeDone done);

  void OnAlarm();
  // Ends waits whose time is up, tries again what was refused, gives unused memory back, and shows
  // what is new. To be called every few tens of milliseconds.
  void Tick();
  // From now on what clients ask is refused; what is in progress is still answered.
  void StopAccepting() { Advance(Life::kStopping); }
  // Calls `done`, once, when every write that is in progress here has its answer.
  void WhenIdle(Task done);
  // This node must not serve any more, and takes no part in anything; the process goes on, so that
  // somebody can see why.
  void Fence(std::string reason);

  // PeersHandler.
  void OnMessage(raft::Message message) override;
  void OnForward(raft::NodeId from, ConnectionId connection, Forward forward) override;
  void OnForwardAnswer(ConnectionId connection, ForwardAnswer answer) override;
  void OnDigest(raft::NodeId from, const StateDigest& digest) override;
  void OnSnapshotRead(raft::NodeId from, ConnectionId connection,
                      const SnapshotRead& read) override;
  void OnSnapshotChunk(raft::NodeId from, SnapshotChunk chunk) override;
  void OnConnectionClosed(raft::NodeId peer, ConnectionId connection, bool last) override;

  ClusterView View() const { return board_.View(gate_.applied(), gate_.commit()); }
  Report report() const;
  // Of the configuration in the log; empty until there is one.
  std::string cluster_id() const { return board_.cluster_id(); }
  raft::NodeId id() const { return options_.raft.id; }
  // For whoever judges it, on the replica thread; null until there is one.
  const raft::Core* core() const { return core_.get(); }
  // The log's tickets: the first is a new cluster's first entry, the others are the core's.
  static wal::Ticket LogTicket(raft::PersistTicket ticket) {
    return kInitialTicket + ticket.value();
  }

 private:
  // It only goes forward.
  enum class Life {
    kReplaying,  // What the log holds is being applied.
    kBeginning,  // Of a new cluster: its first entry is being written.
    kRunning,
    kStopping,  // As running, but nothing new is taken from clients.
    kGone,      // Takes no part in anything; `failure_` says why.
  };
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
  struct TellWhenIdle {
    Task done;
  };
  struct Freezing {
    FreezeDone done;
  };
  using Event = std::variant<Write, WaitingRead, AdminCall, Durable, LogFailed, Fenced, EntriesRead,
                             TellWhenIdle, Freezing, Task>;

  Life life() const { return life_.load(std::memory_order_acquire); }
  void Advance(Life to);
  // OK, or why clients are not served: the node is starting, or stopping.
  absl::Status CheckAccepting() const;
  // OK, or why this node takes nothing from anybody any more. Replica thread only.
  absl::Status CheckTakesPart() const;
  uint64_t NextId() { return ++last_id_; }

  // --- replica.cc: how it starts, what is asked of it, and how it ends.
  void BeginCluster(const std::string& cluster_id);
  absl::Status StartCore(raft::InitialState initial);
  void FailEverything(std::string_view why);

  // --- turn.cc: the turn, and what it is made of.
  void Turn();
  void TakeInbox();
  void Handle(Write write);
  void Handle(WaitingRead read);
  void Handle(AdminCall call);
  void Handle(Durable durable);
  void Handle(LogFailed failed);
  void Handle(Fenced fenced);
  void Handle(EntriesRead read);
  void Handle(TellWhenIdle tell);
  void Handle(Freezing freezing);
  void Handle(Task task);
  void TickIfDue(MonotonicTime now);
  void TickBehindSockets();
  void AskCore(MonotonicTime now);
  void GiveCore(MonotonicTime now, raft::Event event);
  void Step(raft::Event event);
  void Persist(raft::PersistRequest request);
  void Install(const raft::SnapshotMeta& snapshot);
  void Send(const std::vector<raft::Message>& messages);
  void Apply(const std::vector<Entry>& committed);
  absl::Status ApplyAndCompare(std::span<const Entry> entries);
  void TellDigest(Index index);
  void OnFinding(const Comparison::Finding& finding);
  void FenceAsDiffering(const std::string& reason);
  void AnswerWrites();
  void TellLosses(const std::vector<raft::EntriesLost>& losses);
  void OnStanding(const raft::Standing& standing);
  void OnMembership();
  void AnswerReads(const raft::Output& output);
  void FetchEntries(const raft::EntriesWanted& wanted);
  MonotonicTime LeaseNow() const;
  void SetAlarm();
  void FillBoard();
  void PublishCounters();

  Executors executors_;
  const Clock& clock_;
  Random& random_;
  machine::Machine& machine_;
  Options options_;
  Callbacks callbacks_;
  wal::Log* log_ = nullptr;
  Peers* peers_ = nullptr;

  // Each says which of its functions are thread-safe.
  std::atomic<Life> life_{Life::kReplaying};
  Inbox<Event> inbox_;
  Writes writes_;
  Reads reads_;
  ReadGate gate_;
  StatusBoard board_;

  // Below: replica thread only.
  Administration administration_;
  std::unique_ptr<Replay> replay_;
  std::unique_ptr<Snapshots> snapshots_;  // Null: there are none.
  std::vector<EntryId> found_snapshots_;
  Comparison comparison_;
  std::string told_differing_;                 // What was told last.
  bool differs_ = false;                       // This node's own state: it is about to be fenced.
  std::unique_ptr<raft::Core> core_;           // Null until a new cluster's first entry is durable.
  std::optional<raft::InitialState> initial_;  // What the core then begins with.
  std::string failure_;
  uint64_t last_id_ = 0;  // Of reads, proposals, changes and forwards.
  std::vector<Event> batch_;
  std::vector<machine::Result> results_;  // Of what is being applied.

  static constexpr wal::Ticket kInitialTicket{1};
  static raft::PersistTicket CoreTicket(wal::Ticket ticket) {
    return raft::PersistTicket(ticket - kInitialTicket);
  }
  wal::Ticket durable_;

  MonotonicTime alarm_at_ = MonotonicTime::Max();
  bool tick_posted_ = false;  // See TickIfDue.
  raft::Standing standing_;
  Counters counters_;  // Those that are counted here.
};

}  // namespace mokv::replica
