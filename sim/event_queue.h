// EventQueue: virtual time, and what is to happen when. Time moves only from one event to the next;
// events of the same moment happen in the order in which they were added.
//
// Threads: confined to the run's. Units: `now` is the world's true time, which no node can see.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <vector>

#include "base/check.h"
#include "base/clock.h"

namespace mokv::sim {

class EventQueue {
 public:
  using Action = std::function<void()>;

  MonotonicTime now() const { return now_; }
  bool empty() const { return heap_.empty(); }
  uint64_t happened() const { return happened_; }

  void At(MonotonicTime when, Action action) {
    heap_.push_back({std::max(when, now_), ++added_, Store(std::move(action))});
    std::push_heap(heap_.begin(), heap_.end(), Later());
  }
  void After(Duration delay, Action action) { At(now_ + delay, std::move(action)); }

  // The next event, if it is due by `end`; otherwise time becomes `end`, and false.
  bool Next(MonotonicTime end) {
    if (heap_.empty() || heap_.front().when > end) {
      now_ = std::max(now_, end);
      return false;
    }
    std::pop_heap(heap_.begin(), heap_.end(), Later());
    const Item item = heap_.back();
    heap_.pop_back();
    MOKV_CHECK_GE(item.when.since_start.count(), now_.since_start.count());
    now_ = item.when;
    ++happened_;
    const Action action = std::move(actions_[item.action]);
    actions_[item.action] = nullptr;
    free_.push_back(item.action);
    action();
    return true;
  }

 private:
  struct Item {
    MonotonicTime when;
    uint64_t number;
    size_t action;
  };
  struct Later {
    bool operator()(const Item& a, const Item& b) const {
      return a.when != b.when ? a.when > b.when : a.number > b.number;
    }
  };

  // The heap moves small items about; the actions stay where they are.
  size_t Store(Action action) {
    if (free_.empty()) {
      actions_.push_back(std::move(action));
      return actions_.size() - 1;
    }
    const size_t slot = free_.back();
    free_.pop_back();
    actions_[slot] = std::move(action);
    return slot;
  }

  // Nobody's clock begins at zero.
  MonotonicTime now_{std::chrono::seconds(1)};
  uint64_t added_ = 0;
  uint64_t happened_ = 0;
  std::vector<Item> heap_;
  std::vector<Action> actions_;
  std::vector<size_t> free_;
};

}  // namespace mokv::sim
