// Machine: the replicated state machine, all that the nodes of a cluster must agree on: what every
// one of them makes of the same log. Today that is the key-value store; sessions of clients, the
// cluster's time and leases are to stand beside it, behind the same few functions.
//
// Threads: Apply, Publish, Reclaim and Install are confined to one writer (the replica thread); all
//          that is const is thread-safe.
// Order:   what Apply changed is seen by nobody until Publish; a batch is seen all at once.
// Deterministic: the same entries give the same state, revisions and results on every node. Nothing
//          here asks a clock, a disk, or this node's configuration.
#pragma once

#include <absl/status/status.h>

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/log_entry.h"
#include "store/store.h"

namespace mokv::machine {

// What a command came to.
using Result = store::ApplyResult;
// A frozen state of the store, for readers.
using View = store::View;

// All of a state, frozen: see saved_state.h.
struct FrozenState {
  std::shared_ptr<const store::View> store;
};
// All of a state, made elsewhere.
struct LoadedState {
  std::unique_ptr<store::Store> store;
};

class Machine {
 public:
  // Carries committed entries out, in order, and adds a result for each; those of entries that are
  // no commands say nothing. DATA_LOSS for one that this version does not know: some of those before
  // it may have been carried out then, none behind it.
  absl::Status Apply(std::span<const Entry> entries, std::vector<Result>& results);
  void Publish() { store_.Publish(); }
  // Gives memory back that readers and views have let go of, for times without writes. A bounded
  // piece of work a call.
  void Reclaim() { store_.Reclaim(); }

  // The whole state is that of `loaded` from now on, published; readers go on. Returns the state
  // from before: whoever lets go of it last frees its memory, which may take long.
  std::shared_ptr<const void> Install(LoadedState loaded) {
    return store_.Install(std::move(loaded.store));
  }

  // Of what is published.
  Revision revision() const { return store_.revision(); }
  store::Stats stats() const { return store_.stats(); }
  // Nodes that have applied the same entries have the same digest.
  store::Digest digest() const { return store_.digest(); }
  // All that the state has allocated, as the allocator counts it, after the last Publish or Reclaim.
  uint64_t memory_bytes() const { return store_.memory_bytes(); }
  std::shared_ptr<const View> TakeView() const { return store_.TakeView(); }
  // What is published, which the writer alone knows the place in the log of.
  FrozenState Freeze() const { return {.store = store_.TakeView()}; }
  // For a Reader, which must not outlive this.
  const store::Store& store() const { return store_; }

 private:
  store::Store store_;
};

}  // namespace mokv::machine
