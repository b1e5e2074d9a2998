// Ways to look at a store: a View at one frozen state, a Reader at the newest.
//
// Threads: a View is immutable and thread-safe; a Cursor and a Reader are confined to one thread.
// Owner:   a View may outlive its Store; a Cursor not its View, and a Reader not its Store.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "store/epochs.h"
#include "store/item.h"
#include "store/ordered_index.h"
#include "store/published.h"

namespace mokv::store {

class StateMachine;
class Store;

// A position in the keys of a View, which are ordered as unsigned bytes. Holds the visible items of
// one leaf at a time, and is inside an epoch only while it fetches them.
class Cursor final {
 public:
  // Null behind the last item. Valid while the view lives.
  const Item* item() const { return position_ < items_.size() ? items_[position_] : nullptr; }
  void Next();

 private:
  friend class View;
  Cursor(const StateMachine& machine, Revision revision)
      : machine_(&machine), revision_(revision) {}

  void Seek(std::string_view from);
  // Goes on from the end of a run to the next run that has something to see.
  void SkipForward();
  void FetchAt(std::string_view key);

  const StateMachine* machine_;
  Revision revision_;
  OrderedIndex::Run run_;
  std::vector<const Item*> items_;
  size_t position_ = 0;  // In items_; its size means past the end.
};

// One frozen state of the store, for as long as it is held. Taking it costs the same however much
// the store holds. What is overwritten or deleted later stays in memory as long as a view sees it.
class View final {
 public:
  explicit View(std::shared_ptr<const StateMachine> machine);
  ~View();
  View(const View&) = delete;
  View& operator=(const View&) = delete;

  Revision revision() const { return state_.revision; }
  const Stats& stats() const { return state_.stats; }
  const Digest& digest() const { return state_.digest; }
  // Null when missing. Valid while the view lives.
  const Item* Find(std::string_view key) const;
  // At the first key that is not less than `from`.
  Cursor Seek(std::string_view from) const;

 private:
  const std::shared_ptr<const StateMachine> machine_;
  State& state_;
};

// One thread's way to the newest published state. From the first Find of a turn of the thread's
// loop on, nothing that it might see is freed. Leave ends that, and with it the life of every Item
// that Find has returned. Call it before the thread blocks.
class Reader final {
 public:
  explicit Reader(const Store& store);
  ~Reader() { Leave(); }
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;

  // Null when missing. Sees everything that was published before the call. Valid until Leave.
  const Item* Find(std::string_view key);
  void Leave();
  // Lets go of a state that Store::Install has replaced, as the next Find would.
  void Renew();

 private:
  const Store& store_;
  std::shared_ptr<const StateMachine> machine_;
  Epochs::Slot* slot_ = nullptr;
  // States that were replaced in this turn: Find may have returned items of theirs.
  std::vector<std::shared_ptr<const StateMachine>> replaced_;
};

}  // namespace mokv::store
