// HandshakeBudget: how many steps of TLS handshakes one I/O thread makes in one turn. Each takes some
// half of a millisecond, and any stranger may ask for one: without a bound, those whose connections are
// established would wait for hundreds of them.
//
// Who has to wait is not polled meanwhile: thousands of sockets that are ready and have no turn would hide
// those that are established from a poller that tells of some at a time.
//
// Owner:   an IoThread has one.
// Threads: confined to its I/O thread. Pure.
// Bounds:  who waits is an open connection, or one that has closed behind such.
#pragma once

#include <algorithm>
#include <cstddef>
#include <deque>

namespace mokv::net {

class HandshakeBudget {
 public:
  static constexpr size_t kStepsPerTurnMax = 2;

  class Waiter {
   public:
    virtual ~Waiter() = default;
    // Its turn has come: the step is its own.
    virtual void Step() = 0;
  };

  // False: none is left, and `waiter` waits for its turn. It must Leave if it goes before.
  bool TakeStep(Waiter* waiter) {
    if (steps_ > 0) {
      --steps_;
      return true;
    }
    waiting_.push_back(waiter);
    return false;
  }
  void Leave(const Waiter* waiter) {
    const auto found = std::find(waiting_.begin(), waiting_.end(), waiter);
    if (found != waiting_.end()) *found = nullptr;
  }

  void BeginTurn() { steps_ = kStepsPerTurnMax; }
  // The next whose turn has come, with a step of its own; null: nobody. To be asked before anybody asks
  // for a step in this turn.
  Waiter* TakeDue() {
    while (steps_ > 0 && !waiting_.empty()) {
      Waiter* waiter = waiting_.front();
      waiting_.pop_front();
      if (waiter == nullptr) continue;
      --steps_;
      return waiter;
    }
    return nullptr;
  }
  bool has_waiters() const { return !waiting_.empty(); }

 private:
  size_t steps_ = kStepsPerTurnMax;
  std::deque<Waiter*> waiting_;
};

}  // namespace mokv::net
