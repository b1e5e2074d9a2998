// Published: the states of the store that readers may look at. One is the newest; the others are
// there because a view pins them.
//
// A state is a few numbers; what makes it a state are the versions of items that it keeps from
// being unlinked. An older version belongs to the newest pinned state that sees it, and moves to
// the next older one that does when that one's last view goes (ZFS keeps its dead blocks this way).
//
// Threads: revision, PinNewest and Unpin are thread-safe and never wait; the rest is the writer's.
// Bounds:  as many states as there are pinned ones, and two. They are used again and freed only
//          with this object, so that a late look at one is harmless.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/ids.h"
#include "store/digest.h"
#include "store/item.h"

namespace mokv::store {

struct Stats {
  uint64_t keys = 0;
  uint64_t data_bytes = 0;  // Their keys and values.
};

struct State {
  // Valid while pinned.
  Revision revision{};
  Stats stats;
  Digest digest;
  // Views that hold it. Others may count themselves for a moment.
  std::atomic<uint64_t> pins{0};
  // Older versions that are there for this state. Writer only.
  std::vector<const Item*> held;
};

class Published {
 public:
  Published();

  Revision revision() const { return Revision(revision_.load(std::memory_order_acquire)); }

  State& PinNewest() const;
  static void Unpin(State& state) { state.pins.fetch_sub(1, std::memory_order_release); }

  void Publish(Revision revision, const Stats& stats, const Digest& digest);
  // The newest pinned state before the newest; null when there is none.
  State* NewestHolder() const;
  // Calls `release` for the versions of states that nobody pins any more and that no other state
  // sees; at most `budget` versions are looked at. What is left is done by the next call.
  template <typename Release>
  void ReleaseUnpinned(size_t budget, Release&& release);

 private:
  void RaiseRevision(Revision revision) const;
  static bool IsPinned(const State& state) { return state.pins.load() != 0; }
  State& TakeSpare();

  // In a cache line of its own: every look-up reads it.
  alignas(Heap::kCacheLineBytes) mutable std::atomic<uint64_t> revision_{0};
  std::atomic<State*> newest_{nullptr};
  // Writer only.
  std::vector<State*> older_;  // Ascending revisions; pinned, or not released yet.
  std::vector<State*> spare_;
  std::vector<std::unique_ptr<State>> all_;
};

template <typename Release>
void Published::ReleaseUnpinned(size_t budget, Release&& release) {
  size_t kept = 0;
  for (size_t i = 0; i < older_.size(); ++i) {
    State& state = *older_[i];
    State* const next_older = kept == 0 ? nullptr : older_[kept - 1];
    while (budget > 0 && !IsPinned(state) && !state.held.empty()) {
      const Item* item = state.held.back();
      state.held.pop_back();
      --budget;
      if (next_older != nullptr && item->mod_revision() <= next_older->revision) {
        next_older->held.push_back(item);
      } else {
        release(*item);
      }
    }
    if (!IsPinned(state) && state.held.empty()) {
      state.held.shrink_to_fit();
      spare_.push_back(&state);
    } else {
      older_[kept++] = &state;
    }
  }
  older_.resize(kept);
}

}  // namespace mokv::store
