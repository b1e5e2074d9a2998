// Published: the states of the store that readers may look at. One is the newest; the others are
// there because a view pins them.
//
// A state is a few numbers; what makes it a state are the versions of items that it keeps from
// being unlinked. An older version belongs to the newest pinned state that sees it, and moves to
// the next older one that does when that one's last view goes (ZFS keeps its dead blocks this way).
//
// Cost:    a publication does not look at the states that views hold: whoever drops a state's last
//          pin puts the state on a list, and the writer takes care of that list alone.
// Threads: revision, PinNewest and Unpin are thread-safe and never wait; the rest is the writer's.
// Bounds:  as many states as there are pinned ones, and two. They are used again and freed only
//          with this object, so that a late look at one is harmless.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <queue>
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
  // On the list of those whose last pin has gone. Whoever sets `fallen` writes `next_fallen`.
  std::atomic<bool> fallen{false};
  State* next_fallen = nullptr;

  // Writer only.
  enum class Place : uint8_t { kNewestOrSpare, kOlder, kReleasing };
  Place place = Place::kNewestOrSpare;
  // Among those in the places kOlder and kReleasing.
  State* next_older = nullptr;
  State* next_newer = nullptr;
  // Older versions that are there for this state.
  std::vector<const Item*> held;
};

class Published {
 public:
  Published();

  Revision revision() const { return Revision(revision_.load(std::memory_order_acquire)); }

  State& PinNewest() const;
  void Unpin(State& state) const;

  void Publish(Revision revision, const Stats& stats, const Digest& digest);
  // The newest pinned state before the newest; null when there is none.
  State* NewestHolder() const;
  // Calls `release` for the versions of states that nobody pins any more and that no other state
  // sees; at most `budget` versions are looked at. What is left is done by the next call.
  template <typename Release>
  void ReleaseUnpinned(size_t budget, Release&& release);

 private:
  struct IsNewer {
    bool operator()(const State* a, const State* b) const { return a->revision > b->revision; }
  };

  void RaiseRevision(Revision revision) const;
  static bool IsPinned(const State& state) { return state.pins.load() != 0; }
  State& TakeSpare();
  void TakeFallen();
  void Retire(State& state);

  // In a cache line of its own: every look-up reads it.
  alignas(Heap::kCacheLineBytes) mutable std::atomic<uint64_t> revision_{0};
  std::atomic<State*> newest_{nullptr};
  mutable std::atomic<State*> fallen_{nullptr};
  // Writer only.
  State* newest_older_ = nullptr;
  // Nobody pins them; the oldest first, so that a version is passed on once, to one that stays.
  std::priority_queue<State*, std::vector<State*>, IsNewer> releasing_;
  std::vector<State*> spare_;
  std::vector<std::unique_ptr<State>> all_;
};

template <typename Release>
void Published::ReleaseUnpinned(size_t budget, Release&& release) {
  TakeFallen();
  while (!releasing_.empty()) {
    State& state = *releasing_.top();
    State* const next = state.next_older;
    for (; !state.held.empty(); state.held.pop_back()) {
      if (budget-- == 0) return;
      const Item* item = state.held.back();
      if (next != nullptr && item->mod_revision() <= next->revision) {
        next->held.push_back(item);
      } else {
        release(*item);
      }
    }
    releasing_.pop();
    Retire(state);
  }
}

}  // namespace mokv::store
