#include "store/epochs.h"

#include <sched.h>

#include <utility>

#include "base/check.h"

namespace mokv::store {
namespace {

// Looking at every slot costs about a microsecond, so there should be many frees to a look.
constexpr size_t kRetiredBeforeLooking = 256;

// Spreads the threads over the slots: each begins its search at a place of its own.
size_t HomeSlot() {
  static std::atomic<size_t> threads{0};
  thread_local const size_t home = threads.fetch_add(1, std::memory_order_relaxed);
  return home % Epochs::kSlots;
}

// On x86 the exchange itself is one; a second would cost a look-up a tenth of its time.
void FenceAfterExchange() {
#if defined(__x86_64__)
  std::atomic_signal_fence(std::memory_order_seq_cst);
#else
  std::atomic_thread_fence(std::memory_order_seq_cst);
#endif
}

}  // namespace

Epochs::~Epochs() {
  for (const Slot& slot : slots_) MOKV_CHECK_EQ(slot.epoch.load(), 0u);
  for (Batch& batch : waiting_) FreeAll(batch.memory);
  FreeAll(retired_);
}

Epochs::Slot& Epochs::Enter() {
  for (size_t i = HomeSlot(), tried = 0;; i = (i + 1) % kSlots, ++tried) {
    Slot& slot = slots_[i];
    uint64_t free = 0;
    // Before the slot is taken, so that the writer's next look includes this slot.
    for (size_t reach = reach_.load(); reach <= i;) {
      if (reach_.compare_exchange_weak(reach, i + 1)) break;
    }
    // Sequentially consistent. Either the writer's look at the slots sees this store, or this
    // thread's loads from here on see everything that the writer had unlinked before it looked.
    if (slot.epoch.load(std::memory_order_relaxed) == 0 &&
        slot.epoch.compare_exchange_strong(free, epoch_.load(), std::memory_order_seq_cst)) {
      FenceAfterExchange();
      return slot;
    }
    if (tried % kSlots == kSlots - 1) sched_yield();
  }
}

uint64_t Epochs::OldestInside() const {
  std::atomic_thread_fence(std::memory_order_seq_cst);
  uint64_t oldest = epoch_.load();
  const size_t reach = reach_.load();
  for (size_t i = 0; i < reach; ++i) {
    const uint64_t epoch = slots_[i].epoch.load(std::memory_order_seq_cst);
    if (epoch != 0 && epoch < oldest) oldest = epoch;
  }
  return oldest;
}

void Epochs::FreeAll(HeapVector<void*>& memory) {
  for (void* one : memory) heap_.Free(one);
  memory.clear();
}

void Epochs::Reclaim(bool all) {
  if (retired_.size() >= kRetiredBeforeLooking || (all && !retired_.empty())) {
    waiting_.push_back({epoch_.load(), std::exchange(retired_, std::move(spare_))});
    retired_.clear();
    // A thread that comes from now on comes after the unlinking.
    epoch_.fetch_add(1);
  } else if (!all) {
    return;
  }
  const uint64_t oldest = waiting_.empty() ? 0 : OldestInside();
  while (!waiting_.empty() && waiting_.front().epoch < oldest) {
    FreeAll(waiting_.front().memory);
    spare_ = std::move(waiting_.front().memory);
    waiting_.pop_front();
  }
  if (!all) return;
  Release(spare_);
  Release(retired_);
}

}  // namespace mokv::store
