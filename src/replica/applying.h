// Applying: carries out what a replay finds to be committed, on a thread of its own where there is
// one, while the log is being read on. The state may begin with a snapshot, which is loaded there
// first.
//
// Threads: confined to the replica thread. From the first call to the end of Finish the machine is
//          the other thread's; then it is the replica's again.
// Bounds:  kQueuedBytesMax of entries wait to be carried out; then Apply waits.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "base/executor.h"
#include "base/mutex.h"
#include "machine/machine.h"

namespace mokv::replica {

class Applying {
 public:
  using Load = std::function<absl::StatusOr<machine::LoadedState>()>;

  // Without a thread everything is done by the caller, at once. `thread` must run by itself.
  Applying(machine::Machine& machine, Executor* thread) : machine_(machine), thread_(thread) {}
  ~Applying() { Drain(); }
  Applying(const Applying&) = delete;
  Applying& operator=(const Applying&) = delete;

  // The state is to begin with what `load` gives. Before any entry.
  void Begin(Load load);
  // In order. Fails when an entry before, or the loading, has failed: then nothing else is done.
  absl::Status Apply(std::span<const Entry> entries);
  // Waits until all is carried out and published.
  absl::Status Finish();

  // Why the snapshot could not be loaded, if that is why one of the above has failed.
  absl::Status load_status() const;

 private:
  // So many are handed over at once, and published then: what they overwrite is given back. Fewer would
  // wake the other thread too often.
  static constexpr size_t kTogetherMax = 1024;
  static constexpr uint64_t kTogetherBytesMax = uint64_t{1} << 20;
  static constexpr uint64_t kQueuedBytesMax = uint64_t{8} << 20;

  void HandOver();
  void Run(uint64_t bytes, Task task);
  void Drain();

  machine::Machine& machine_;
  Executor* const thread_;
  std::vector<machine::DecodedEntry> decoded_;  // Not handed over yet.
  uint64_t decoded_bytes_ = 0;
  std::vector<machine::Result> results_;  // Of interest to nobody any more; the other thread's.

  mutable Mutex mutex_;
  mutable CondVar moved_on_;
  uint64_t queued_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  size_t queued_ ABSL_GUARDED_BY(mutex_) = 0;  // Tasks.
  absl::Status load_status_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace mokv::replica
