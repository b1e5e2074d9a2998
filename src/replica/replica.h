// Replica: drives the log and the state machine as one deterministic machine fed by events. This is
// where Raft's core takes its seat between proposals and the log; until then the cluster has one
// voter, which elects itself at start, and for which "durable here" is "committed".
//
// Threads: Propose, WaitForRead, CanReadNow, StopAccepting and status are thread-safe, and may come
//          before Start: nothing is served until then. Recover, Start and Tick are confined to the
//          executor (the replica thread), on which also every callback is called; only a refusal
//          is told on the thread that asked.
// Owner:   borrows executor, log, store and clock, which must outlive it.
// Order:   one turn takes everything that has queued as one batch: entries to the log, then what
//          the log has made durable is applied, published to readers, and only then answered.
// Bounds:  Options names them; beyond them a proposal is refused at once.
#pragma once

#include <absl/functional/any_invocable.h>
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
#include "store/store.h"
#include "wal/log.h"

namespace mokv::replica {

// What became of a write.
struct WriteResult {
  enum class Fate {
    kApplied,  // `applied` says what the state machine answered.
    kNotDone,  // Certainly not carried out, now or later.
    kUnknown,  // May have been carried out, or may still be.
  };
  Fate fate = Fate::kNotDone;
  store::ApplyResult applied;
  absl::Status reason;  // Unless kApplied.
};
using WriteDone = absl::AnyInvocable<void(const WriteResult& result)>;

// How fresh a read must be.
struct ReadRequirement {
  bool linearizable = true;
  Revision min_revision;  // 0: none.
};
using ReadReady = absl::AnyInvocable<void(const absl::Status& status)>;

enum class Role { kFollower, kLeader };

// A picture of one moment, field by field.
struct Status {
  Role role = Role::kFollower;
  bool has_leader = false;
  Term term;
  Index commit_index;
  Index applied_index;
  uint64_t proposals_pending = 0;
  uint64_t proposals_refused = 0;
  uint64_t proposals_applied = 0;
  uint64_t batches = 0;
};

class Replica {
 public:
  struct Options {
    std::string node_id;
    std::string instance_id;
    std::string rpc_address;  // What others dial.
    // Writes that were proposed and have no answer yet.
    uint64_t proposals_pending_max = 65'536;
    uint64_t reads_waiting_max = 65'536;
    // With this much memory in the store, writes that may grow it are refused; 0: no limit.
    uint64_t memory_bytes_max = 0;
  };
  struct Callbacks {
    // Whether linearizable reads and writes are served now has changed. May be null.
    absl::AnyInvocable<void(bool serving)> on_serving_changed;
    // The log cannot be trusted any more; the process must end.
    absl::AnyInvocable<void(const absl::Status& reason)> on_fatal;
  };

  Replica(Executor& executor, const Clock& clock, store::Store& store, Options options,
          Callbacks callbacks);
  ~Replica();
  Replica(const Replica&) = delete;
  Replica& operator=(const Replica&) = delete;

  // During the log's recovery: every entry in order. DATA_LOSS for one that this version does not
  // know, or a first one that is not a configuration.
  absl::Status Recover(const wal::EntryView& entry);
  // After recovery. `new_cluster_id`: with an empty log, begin a new cluster of that id with this
  // node as its only voter; without it an empty log waits to be joined. A log that has entries
  // makes the node stand for election.
  void Start(wal::Log& log, std::optional<std::string> new_cluster_id);

  // From the log's callbacks, on any thread.
  void OnDurable(Index last, Term term);
  void OnLogFailure(absl::Status reason);

  void Propose(store::Command command, WriteDone done);

  // Whether a read may look at the store right now.
  bool CanReadNow(const ReadRequirement& requirement) const;
  // Calls `ready` when it may, or with the reason why it did not come to that by `give_up_at`.
  void WaitForRead(const ReadRequirement& requirement, MonotonicTime give_up_at, ReadReady ready);

  // Time passes: ends waits whose time is up, gives unused memory back. To be posted every few tens
  // of milliseconds.
  void Tick();
  // From now on proposals are refused; those in progress are still answered.
  void StopAccepting();

  Status status() const;
  // Of the configuration in the log; empty until there is one. Thread-safe.
  std::string cluster_id() const;

 private:
  struct Proposal {
    std::shared_ptr<const std::string> payload;
    WriteDone done;
  };
  struct Durable {
    Index last;
    Term term;
  };
  struct LogFailed {
    absl::Status reason;
  };
  struct WaitingRead {
    ReadRequirement requirement;
    MonotonicTime give_up_at;
    ReadReady ready;
  };
  using Event = std::variant<Proposal, Durable, LogFailed, WaitingRead>;

  // An entry that is not applied yet, and who waits for it.
  struct PendingEntry {
    Entry entry;
    WriteDone done;  // Null for entries that nobody proposed.
  };

  void Enqueue(Event event);
  void Turn();
  void Handle(Proposal& proposal);
  void Handle(Durable& durable);
  void Handle(LogFailed& failed);
  void Handle(WaitingRead& read);
  void PersistNewEntries();
  void ApplyCommitted();
  absl::StatusOr<store::ApplyResult> ApplyEntry(const wal::EntryView& entry);
  void ReleaseReads();
  void AddEntry(EntryType type, std::shared_ptr<const std::string> payload, WriteDone done);
  void SetServing(bool serving);
  void Refuse(WriteDone& done, absl::Status reason);

  Executor& executor_;
  const Clock& clock_;
  store::Store& store_;
  const Options options_;
  Callbacks callbacks_;
  wal::Log* log_ = nullptr;

  mutable Mutex mutex_;
  std::string cluster_id_ ABSL_GUARDED_BY(mutex_);
  std::vector<Event> inbox_ ABSL_GUARDED_BY(mutex_);

  // Below: replica thread only.
  std::vector<Event> batch_;
  HardState hard_state_;
  bool hard_state_changed_ = false;
  Index last_index_;
  std::vector<Entry> new_entries_;
  wal::Demand new_demand_;            // Of the new entries on the log's space.
  std::deque<PendingEntry> pending_;  // In log order.
  struct Answer {
    WriteDone done;
    WriteResult result;
  };
  std::vector<Answer> answers_;
  std::vector<WaitingRead> waiting_reads_;
  bool failed_ = false;

  // Written by the replica thread, read by any.
  std::atomic<bool> started_{false};
  std::atomic<bool> serving_{false};
  std::atomic<bool> accepting_{true};
  std::atomic<uint64_t> term_{0};
  std::atomic<uint64_t> commit_index_{0};
  std::atomic<uint64_t> applied_index_{0};
  std::atomic<uint64_t> reads_waiting_{0};
  std::atomic<uint64_t> proposals_pending_{0};
  std::atomic<uint64_t> proposals_refused_{0};
  std::atomic<uint64_t> proposals_applied_{0};
  std::atomic<uint64_t> batches_{0};
};

}  // namespace mokv::replica
