// Store: the key-value state machine. Applies commands one at a time and in order; read by many
// threads at the same time without waiting for the writer.
//
// Threads: Apply, Publish and Reclaim are confined to one writer (the replica thread); all that is
//          const is thread-safe. A Reader is confined to the thread that uses it.
//          A View is immutable and thread-safe, and outlives the Store if it must.
// Order:   what Apply changed is seen by nobody until Publish; a batch is seen all at once.
// Deterministic: the same commands give the same state, revisions and results on every node.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "store/command.h"
#include "store/digest.h"
#include "store/item.h"
#include "store/published.h"

namespace mokv::store {

class StateMachine;

struct ApplyResult {
  enum class Outcome {
    kApplied,          // Done, which may mean that there was nothing to delete.
    kConditionFailed,  // `expected_revision` did not hold; nothing changed.
  };
  Outcome outcome = Outcome::kApplied;
  // Of the store after this command.
  Revision revision{};
  // With kConditionFailed: the item's mod_revision, 0 when the key does not exist.
  Revision found_revision{};
  // With kApplied of a delete: items removed.
  uint64_t deleted = 0;

  bool operator==(const ApplyResult&) const = default;
};

// One frozen state of the store, for as long as it is held. Taking it costs the same however much
// the store holds; holding it keeps from being freed what has been overwritten or deleted since.
class View {
 public:
  virtual ~View() = default;
  virtual Revision revision() const = 0;
  virtual const Stats& stats() const = 0;
  virtual const Digest& digest() const = 0;
  // Valid while the view lives; null when missing.
  virtual const Item* Find(std::string_view key) const = 0;

  // A position in key order (bytes compared as unsigned). Confined to one thread; must not outlive
  // its view.
  class Cursor {
   public:
    virtual ~Cursor() = default;
    // Null before the first item and behind the last. Valid while the view lives.
    virtual const Item* item() const = 0;
    virtual void Next() = 0;
    virtual void Previous() = 0;
  };
  // At the first key that is not less than `from`.
  virtual std::unique_ptr<Cursor> Seek(std::string_view from) const = 0;
  // At the last key that is less than `bound`; of all keys without one.
  virtual std::unique_ptr<Cursor> SeekBelow(std::optional<std::string_view> bound) const = 0;
};

// The least key that is greater than all those that begin with `prefix`; nothing when there is
// none. With it, SeekBelow begins a range over a prefix at its end.
std::optional<std::string> BehindPrefix(std::string_view prefix);

// One thread's door to the newest published state. From the first Find of a turn of the thread's
// loop on nothing is freed that it might see; Leave ends that, and with it the validity of every
// Item that Find returned. It must be called before the thread blocks.
class Reader {
 public:
  virtual ~Reader() = default;
  // Null when missing. Sees everything published before the call. Valid until Leave.
  virtual const Item* Find(std::string_view key) = 0;
  virtual void Leave() = 0;
};

class Store {
 public:
  Store();
  ~Store();
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  ApplyResult Apply(const Command& command);
  // The same as one after another, in less time: what each needs of memory is fetched while those
  // before it are applied. Their results are added to `results`.
  void Apply(std::span<const Command> commands, std::vector<ApplyResult>& results);
  void Publish();
  // Gives memory back that readers and views have let go of. Publish does so, too: this is for
  // times without writes. A bounded piece of work a call.
  void Reclaim();

  // Of what is published.
  Revision revision() const;
  Stats stats() const;
  Digest digest() const;
  // All that the store has allocated, as the allocator counts it, after the last Publish or
  // Reclaim: items, both indexes, older versions that views hold, and what waits until no reader
  // can be looking at it.
  uint64_t memory_bytes() const;
  // A Reader must not outlive the Store.
  std::unique_ptr<Reader> NewReader() const;
  std::shared_ptr<const View> TakeView() const;

 private:
  friend class BulkLoader;
  explicit Store(std::shared_ptr<StateMachine> machine);

  std::shared_ptr<StateMachine> machine_;  // Shared with its views.
};

// Makes a store of items that come in order, several times faster than applying commands. Confined
// to one thread, which need not be the writer's.
class BulkLoader {
 public:
  // Knowing how many items will come saves making room for them step by step.
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
