// LineQueue: lines on their way to an output that may stand still, such as a pipe that nobody
// reads.
//
// Threads: thread-safe. Push never waits for the output, only for the lock, which is held for a
//          move. One thread takes lines, writes them, and then calls Written.
// Bounds:  kBytesMax bytes wait. Beyond that lines are dropped and counted. Lines that come in
//          masses get half of the room, so that they never displace those that come seldom.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "base/clock.h"
#include "base/mutex.h"

namespace mokv {

class LineQueue {
 public:
  // Some ten thousand lines: what a busy node says in minutes.
  static constexpr size_t kBytesMax = size_t{4} << 20;
  static constexpr size_t kBulkBytesMax = kBytesMax / 2;

  // False: dropped, and counted.
  bool Push(std::string_view line) { return PushUpTo(kBytesMax, line); }
  // For lines that come in masses. Waits up to `wait_max` for room. After a wait in vain it does
  // not wait again until something has been written.
  bool PushBulk(std::string_view line, Duration wait_max);

  // Waits up to `wait_max` for lines and returns all; empty when there are none. The caller tells
  // Written once they are out.
  std::string Take(Duration wait_max);
  void Written();
  // Waits until everything that was pushed before has been written. False: not within `wait_max`.
  bool Flush(Duration wait_max);
  // From now on Take does not wait.
  void Close();

  bool closed() const;
  uint64_t dropped() const;

 private:
  bool PushUpTo(size_t bytes_max, std::string_view line);
  bool HasRoom(size_t bytes_max, std::string_view line) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return waiting_.size() + in_hand_bytes_ + line.size() <= bytes_max;
  }
  bool Add(std::string_view line) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  mutable Mutex mutex_;
  CondVar not_empty_;
  CondVar written_;
  std::string waiting_ ABSL_GUARDED_BY(mutex_);
  size_t in_hand_bytes_ ABSL_GUARDED_BY(mutex_) = 0;  // Taken, not written yet.
  uint64_t pushed_ ABSL_GUARDED_BY(mutex_) = 0;       // Lines, since the beginning.
  uint64_t taken_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t written_lines_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t dropped_ ABSL_GUARDED_BY(mutex_) = 0;
  bool stands_still_ ABSL_GUARDED_BY(mutex_) = false;  // A wait was in vain; nothing written since.
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace mokv
