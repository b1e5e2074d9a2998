// StateMachine: the inside of a Store: the items, the two indexes that find them, and which state
// still needs which version.
//
// Threads: as Store says; hash(), order() and epochs() are for readers inside an epoch.
// Versions: a new version is put in front of the old one at once. It becomes visible when its
//          revision is published; then the old one is unlinked, unless a view sees it.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "store/epochs.h"
#include "store/hash_index.h"
#include "store/heap.h"
#include "store/item.h"
#include "store/operation.h"
#include "store/ordered_index.h"
#include "store/published.h"
#include "store/store.h"

namespace mokv::store {

class StateMachine {
 public:
  explicit StateMachine(uint64_t expected_items)
      : hash_(heap_, epochs_, expected_items), order_(heap_, epochs_) {}
  ~StateMachine();
  StateMachine(const StateMachine&) = delete;
  StateMachine& operator=(const StateMachine&) = delete;

  ApplyResult Apply(const Operation& operation);
  void Apply(std::span<const Transaction> transactions, std::vector<ApplyResult>& results);
  void Publish();
  void Reclaim();

  // The version of `key` that is visible at `revision`, which a view pins. Call it inside an epoch.
  const Item* Find(std::string_view key, Revision revision) const {
    return ItemAccess::VisibleAt(hash_.Find(hash_.Hash(key), key), revision);
  }

  Epochs& epochs() const { return epochs_; }
  const HashIndex& hash() const { return hash_; }
  const OrderedIndex& order() const { return order_; }
  const Published& published() const { return published_; }
  // After the last Publish or Reclaim. Thread-safe.
  uint64_t memory_bytes() const { return memory_bytes_.load(std::memory_order_relaxed); }

  // Loads an empty state machine that nobody reads yet. Confined to one thread.
  class Loading;

 private:
  struct Superseded {
    const Item* by;
    const Item* item;
  };

  // So many operations before its turn the bucket of an operation is fetched into the cache, and
  // half as many before its turn its item and its leaf. Fetched earlier, they would be pushed out
  // again.
  static constexpr size_t kFetchedAhead = 16;

  // Where an operation's key is, or would be.
  struct Place {
    uint64_t hash = 0;
    OrderedIndex::Spot spot;
    const Item* newest = nullptr;  // Looked up when the operation's turn has come.
  };

  ApplyResult Apply(std::span<const Operation> operations, std::span<Place> places);
  // The outcome if the operation's condition does not hold.
  std::optional<ApplyResult> Refusal(const Operation& operation, const Item* found) const;
  void Apply(const Set& set, const Place& place, Revision revision);
  // Whether there was something to delete.
  bool Apply(const Delete& erase, const Place& place, Revision revision);
  // `item` takes the place of `place.newest`.
  void Put(const Place& place, const Item& item);
  void CountIn(const Item& item);
  void CountOut(const Item& item);
  // Nobody needs `item` any more. `by` is the version right in front of it.
  void Unlink(const Item& by, const Item& item);
  void UnlinkHeld(const Item& item);

  Heap heap_;
  mutable Epochs epochs_{heap_};
  HashIndex hash_;
  OrderedIndex order_;
  Published published_{heap_};

  // Confined to the writer, and ahead of what is published.
  Revision revision_;
  Stats stats_;
  Digest digest_;
  HeapVector<Superseded> superseded_{heap_};  // Since the last publication.
  // Of the transactions that are being applied.
  HeapVector<const Operation*> operations_{heap_};
  HeapVector<Place> places_{heap_};

  std::atomic<uint64_t> memory_bytes_{0};
};

class StateMachine::Loading {
 public:
  explicit Loading(StateMachine& machine) : machine_(machine), order_(machine.order_) {}
  // Ascending keys.
  void Append(const ItemFields& fields);
  void Finish(Revision revision);

 private:
  struct Pending {
    uint64_t hash;
    const Item* item;
  };
  // Items come in the order of their keys, which is none for the hash index. So many of them are sorted
  // by the beginning of their hash first, so that what is written to at a time is small and near.
  static constexpr size_t kPendingMax = size_t{1} << 20;
  static constexpr unsigned kGroupBits = 10;
  // Buckets are fetched so many items ahead of their use.
  static constexpr size_t kFetchedAhead = 16;

  void InsertPending();

  StateMachine& machine_;
  OrderedIndex::Builder order_;
  std::vector<Pending> pending_;
  std::vector<Pending> sorted_;
};

}  // namespace mokv::store
