// Epochs: tell the writer when nobody can still be looking at memory that it has unlinked.
//
// A thread that reads the store's structures occupies a slot until it is done: it is inside. The
// slot holds the epoch in which it came. The writer hands unlinked memory to Retire, which frees it
// once every thread inside came in a later epoch. Readers and the writer never wait for each other:
// a reader that stays inside only keeps memory from being freed. (Epoch-based reclamation: Fraser,
// "Practical lock-freedom", 5.2.3.)
//
// Threads: Enter and Leave are thread-safe; the rest is confined to the writer.
// Bounds:  kSlots threads inside at the same time; one more spins until a slot is free. A thread
//          that is inside must not block.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <deque>

#include "store/heap.h"

namespace mokv::store {

class Epochs {
 public:
  class Slot {
    friend class Epochs;
    // 0: free. In a cache line of its own, since a thread comes back to the slot that it had.
    alignas(Heap::kCacheLineBytes) std::atomic<uint64_t> epoch{0};
  };
  // Each reading thread may be inside twice, since it may read a view within a Reader's turn. The
  // node asserts at compile time that it has no more threads than this.
  static constexpr size_t kReadingThreadsMax = 288;
  static constexpr size_t kSlots = 2 * kReadingThreadsMax;

  explicit Epochs(Heap& heap) : heap_(heap), retired_(heap), spare_(heap) {}
  ~Epochs();
  Epochs(const Epochs&) = delete;
  Epochs& operator=(const Epochs&) = delete;

  Slot& Enter();
  static void Leave(Slot& slot) { slot.epoch.store(0, std::memory_order_release); }

  // Takes memory of the heap, which needs no destructor. A thread that comes from now on cannot
  // reach it.
  void Retire(void* memory) { retired_.push_back(memory); }
  // Frees what nobody can see. Unless `all`, it does nothing while little has been retired: to look
  // at every slot would cost more than it frees. With `all` it keeps no memory for its own lists.
  void Reclaim(bool all);

 private:
  struct Batch {
    uint64_t epoch;  // When it was retired: threads that came later cannot see it.
    HeapVector<void*> memory;
  };

  uint64_t OldestInside() const;
  void FreeAll(HeapVector<void*>& memory);

  Heap& heap_;
  std::atomic<uint64_t> epoch_{1};
  // Slots from here on have never been used.
  std::atomic<size_t> reach_{0};
  std::array<Slot, kSlots> slots_;
  // Writer only.
  HeapVector<void*> retired_;
  std::deque<Batch> waiting_;
  HeapVector<void*> spare_;  // An emptied vector, kept for its capacity.
};

// Its thread is inside while it lives. Confined to that thread.
class EpochGuard {
 public:
  explicit EpochGuard(Epochs& epochs) : slot_(epochs.Enter()) {}
  ~EpochGuard() { Epochs::Leave(slot_); }
  EpochGuard(const EpochGuard&) = delete;
  EpochGuard& operator=(const EpochGuard&) = delete;

 private:
  Epochs::Slot& slot_;
};

}  // namespace mokv::store
