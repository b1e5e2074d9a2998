// Published: the states of the store that readers may look at. One is the newest; the others are
// there because a view pins them.
//
// A state is a few numbers, and the older versions of items that it keeps from being unlinked. Each
// of these belongs to the newest pinned state that sees it. When the last view of that state goes,
// the version moves on to the next older state that sees it. (ZFS keeps its dead blocks this way.)
//
// Cost:    a publication does not look at every state that views hold. Whoever drops the last pin
//          of a state puts it on a list, and the writer looks at that list alone.
// Threads: revision, PinNewest and Unpin are thread-safe and never wait; the rest is the writer's.
// Bounds:  two states more than are pinned at the same time. States are used again, and freed only
//          with this object, so that a reader that looks at one late does no harm.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <queue>
#include <vector>

#include "base/ids.h"
#include "store/digest.h"
#include "store/heap.h"
#include "store/item.h"

namespace mokv::store {

struct Stats {
  uint64_t keys = 0;
  uint64_t data_bytes = 0;  // Their keys and values.
};

struct State {
  explicit State(Heap& heap) : held(heap) {}

  // Valid while pinned.
  Revision revision{};
  Stats stats;
  Digest digest;
  // Views that hold it. A reader that comes too late to pin it counts itself for a moment.
  std::atomic<uint64_t> pins{0};
  // It is on the list of states whose last pin has gone. Whoever sets `fallen` writes
  // `next_fallen`.
  std::atomic<bool> fallen{false};
  State* next_fallen = nullptr;

  // Writer only.
  enum class Place : uint8_t { kNewestOrSpare, kOlder, kReleasing };
  Place place = Place::kNewestOrSpare;
  // Its neighbours among the states at kOlder and kReleasing.
  State* next_older = nullptr;
  State* next_newer = nullptr;
  // Older versions that this state keeps.
  HeapVector<const Item*> held;
};

class Published {
 public:
  explicit Published(Heap& heap);

  Revision revision() const { return Revision(revision_.load(std::memory_order_acquire)); }

  State& PinNewest() const;
  void Unpin(State& state) const;

  void Publish(Revision revision, const Stats& stats, const Digest& digest);
  // The newest pinned state before the newest; null when there is none.
  State* NewestHolder() const;
  // Looks at versions that states kept which nobody pins any more, and calls `release` for those
  // that no other state sees. Looks at `budget` of them at most; the next call goes on from there.
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

  Heap& heap_;
  // In a cache line of its own: every look-up reads it.
  alignas(Heap::kCacheLineBytes) mutable std::atomic<uint64_t> revision_{0};
  std::atomic<State*> newest_{nullptr};
  mutable std::atomic<State*> fallen_{nullptr};
  // Writer only.
  State* newest_older_ = nullptr;
  // States that nobody pins. The oldest comes first: so a version moves on only once, to a state
  // that is pinned.
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
