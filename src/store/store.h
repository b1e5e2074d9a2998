// Store: the key-value state machine. Applies commands one at a time and in order; read by many
// threads at the same time without waiting for the writer.
//
// Threads: Apply and Publish are confined to one writer (the replica thread). `revision`, `stats`,
//          NewReader and TakeView are thread-safe. A Reader is confined to the thread that uses it.
//          A View is immutable and thread-safe, and outlives the Store if it must.
// Order:   what Apply changed is seen by nobody until Publish; a batch is seen all at once.
// Deterministic: the same commands give the same state, revisions and results on every node.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/ids.h"
#include "store/command.h"

namespace mokv::store {

struct Item {
  std::string key;
  std::string value;
  Revision create_revision{};
  Revision mod_revision{};
  uint64_t version = 0;  // Writes since the key was created; 1 for the first.
  LeaseId lease{};
};

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
};

// Counted for each item beyond its key and value: the item itself, its slot in the structure around
// it, and the allocator's part, rounded up.
constexpr uint64_t kItemOverheadBytes = 160;

struct Stats {
  uint64_t keys = 0;
  // Sum over the items of the newest state: key, value and kItemOverheadBytes. Older states that
  // views still hold are not counted.
  uint64_t bytes = 0;
};

// One frozen state of the store, for as long as it is held; costs only what has changed since.
class View {
 public:
  virtual ~View() = default;
  virtual Revision revision() const = 0;
  virtual uint64_t size() const = 0;
  // Valid while the view lives; null when missing.
  virtual const Item* Find(std::string_view key) const = 0;

  // A position in key order (bytes compared as unsigned). Not valid beyond its view.
  class Cursor {
   public:
    virtual ~Cursor() = default;
    // Null when past the end.
    virtual const Item* item() const = 0;
    virtual void Next() = 0;
  };
  // At the first key that is not less than `from`.
  virtual std::unique_ptr<Cursor> Seek(std::string_view from) const = 0;
};

// One thread's door to the newest published state. Enter is called by the first Find of a turn of
// the thread's loop; Leave must be called before the thread blocks, and ends the validity of every
// Item that Find returned. (The next store keeps its epochs behind these two.)
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
  void Publish();

  // Of what is published.
  Revision revision() const;
  Stats stats() const;
  // A Reader must not outlive the Store.
  std::unique_ptr<Reader> NewReader() const;
  std::shared_ptr<const View> TakeView() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace mokv::store
