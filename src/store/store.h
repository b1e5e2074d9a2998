// Store: the key-value part of the state. Applies transactions one at a time and in order; many
// threads read it at the same time (store/view.h) without waiting for the writer.
//
// Threads: Apply, Publish, Reclaim and Install are confined to one writer (the replica thread); all
//          that is const is thread-safe.
// Order:   what Apply changed is seen by nobody until Publish; a batch is seen all at once.
// Deterministic: the same transactions give the same state, revisions and results on every node.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/ids.h"
#include "base/mutex.h"
#include "store/digest.h"
#include "store/item.h"
#include "store/operation.h"
#include "store/published.h"
#include "store/view.h"

namespace mokv::store {

class StateMachine;

struct ApplyResult {
  enum class Outcome {
    kApplied,          // Done, which may mean that there was nothing to delete.
    kConditionFailed,  // An `expected_revision` did not hold; nothing changed.
  };
  Outcome outcome = Outcome::kApplied;
  // Of the store after this transaction.
  Revision revision{};
  // With kConditionFailed: the item's mod_revision, 0 when the key does not exist; and which
  // operation it was, counted from 0.
  Revision found_revision{};
  uint64_t failed_operation = 0;
  // With kApplied: items that were deleted.
  uint64_t deleted = 0;

  bool operator==(const ApplyResult&) const = default;
};

class Store {
 public:
  Store();
  ~Store();
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  // A transaction of one operation.
  ApplyResult Apply(const Operation& operation);
  // Applies them one after another and adds their results to `results`. It takes less time than one
  // call each: the memory that a transaction needs is fetched while those before it are applied.
  void Apply(std::span<const Transaction> transactions, std::vector<ApplyResult>& results);
  // Shows readers everything that has been applied.
  void Publish();
  // Frees memory that readers and views have let go of. Publish does so, too; this is for times
  // without writes. One call does a bounded amount of work.
  void Reclaim();

  // Of the published state.
  Revision revision() const;
  Stats stats() const;
  Digest digest() const;
  // All that the store has allocated, as the allocator counts it, after the last Publish or
  // Reclaim: items, both indexes, older versions that views hold, what waits until no reader can be
  // looking at it, and the lists of all these.
  uint64_t memory_bytes() const;
  std::shared_ptr<const View> TakeView() const;

  // Replaces the whole state by that of `loaded`, and publishes it. Readers see it with their next
  // Find; a View keeps what it had. Returns the old state: whoever lets go of it last frees its
  // memory, which may take long.
  std::shared_ptr<const void> Install(std::unique_ptr<Store> loaded);

 private:
  friend class BulkLoader;
  friend class Reader;
  explicit Store(std::shared_ptr<StateMachine> machine);

  std::shared_ptr<const StateMachine> Newest() const;

  std::shared_ptr<StateMachine> machine_;  // The writer's. Shared with views and readers.
  // The same for everybody else: readers compare the address at every Find.
  std::atomic<const StateMachine*> newest_address_;
  mutable Mutex mutex_;
  std::shared_ptr<const StateMachine> newest_ ABSL_GUARDED_BY(mutex_);
};

// Makes a store of items that come in order, several times faster than applying commands: for
// snapshots. Confined to one thread, which need not be the writer's.
class BulkLoader {
 public:
  // With `expected_items`, room is made for all of them at once, not step by step.
  explicit BulkLoader(uint64_t expected_items = 0);
  ~BulkLoader();

  // DATA_LOSS when the key does not follow the last one's, or when the numbers cannot be an item's.
  absl::Status Add(const ItemFields& item);
  // DATA_LOSS when an item is newer than `revision`, or that is above kRevisionMax. The loader is
  // spent.
  absl::StatusOr<std::unique_ptr<Store>> Finish(Revision revision);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace mokv::store
