// Machine: the replicated state machine, all that the nodes of a cluster must agree on: what every
// one of them makes of the same log. That is the key-value store, the sessions of clients, and the
// cluster's time; leases are to stand beside them, behind the same few functions.
//
// Threads: Apply, Publish, Reclaim, Install and what is said to be the writer's are confined to one
//          writer (the replica thread); all else that is const is thread-safe.
// Order:   what Apply changed is seen by nobody until Publish; a batch is seen all at once.
// Deterministic: the same entries give the same state, revisions and results on every node. Nothing
//          here asks a clock, a disk, or this node's configuration.
#pragma once

#include <absl/status/status.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/log_entry.h"
#include "base/mutex.h"
#include "machine/command.h"
#include "machine/result.h"
#include "machine/sessions.h"
#include "store/store.h"

namespace mokv::machine {

// A frozen state of the store, for readers.
using View = store::View;

// All of a state, frozen: see saved_state.h.
struct FrozenState {
  std::shared_ptr<const store::View> store;
  std::shared_ptr<const Sessions::Frozen> sessions;
};
// All of a state, made elsewhere.
struct LoadedState {
  std::unique_ptr<store::Store> store;
  std::unique_ptr<Sessions> sessions;
};

// Entries of the log whose commands are decoded. Decoding needs no state: it may be done on another
// thread than the writer's, ahead of it.
struct DecodedEntry {
  Index index;
  Command command;     // Does nothing where the entry is the core's.
  uint64_t bytes = 0;  // Of the entry's payload.
};
// DATA_LOSS for one that this version does not know.
absl::StatusOr<DecodedEntry> Decode(const Entry& entry);

class Machine {
 public:
  // Carries committed entries out, in order, and adds a result for each; those of entries that are
  // no commands say nothing. DATA_LOSS for one that this version does not know: some of those before
  // it may have been carried out then, none behind it.
  absl::Status Apply(std::span<const Entry> entries, std::vector<Result>& results);
  // The same, of entries that are decoded; it takes their operations.
  void Apply(std::span<DecodedEntry> entries, std::vector<Result>& results);
  void Publish();
  // Gives memory back that readers and views have let go of, for times without writes. A bounded
  // piece of work a call.
  void Reclaim() { store_.Reclaim(); }

  // The whole state is `loaded` from now on, published; readers go on. Returns the state from before:
  // whoever lets go of it last frees its memory, which may take long.
  struct Replaced {
    std::shared_ptr<const void> store;
    std::unique_ptr<const Sessions> sessions;
  };
  Replaced Install(LoadedState loaded);

  // The writer's: all that has been applied, right after a Publish.
  FrozenState Freeze() { return {.store = store_.TakeView(), .sessions = sessions_->Freeze()}; }
  ClusterTime time() const { return sessions_->time(); }
  // Whether there is anything for which time should pass.
  bool AnythingExpires() const { return sessions_->size() > 0; }

  // Of what is published.
  Revision revision() const { return store_.revision(); }
  store::Stats stats() const { return store_.stats(); }
  // Nodes that have applied the same entries have the same digest. While the writer publishes, another
  // thread may get one half of it older than the other.
  store::Digest digest() const;
  // All that the state has allocated, after the last Publish or Reclaim: the store's as the allocator
  // counts it, the sessions' about.
  uint64_t memory_bytes() const {
    return store_.memory_bytes() + sessions_bytes_.load(std::memory_order_relaxed);
  }
  uint64_t sessions() const { return sessions_count_.load(std::memory_order_relaxed); }
  std::shared_ptr<const View> TakeView() const { return store_.TakeView(); }
  // For a Reader, which must not outlive this.
  const store::Store& store() const { return store_; }

 private:
  class Applier;

  void PublishSessions();

  store::Store store_;
  std::unique_ptr<Sessions> sessions_ = std::make_unique<Sessions>();  // Never null.
  bool sessions_changed_ = false;  // Since the last publication, perhaps.

  // Of the sessions, as published.
  std::atomic<uint64_t> sessions_bytes_{0};
  std::atomic<uint64_t> sessions_count_{0};
  mutable Mutex mutex_;
  store::Digest sessions_digest_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace mokv::machine
