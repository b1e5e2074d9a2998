#include "base/line_queue.h"

#include <string_view>
#include <utility>

namespace mokv {

bool LineQueue::Add(std::string_view line) {
  waiting_ += line;
  ++pushed_;
  return true;
}

bool LineQueue::PushUpTo(size_t bytes_max, std::string_view line) {
  {
    MutexLock lock(mutex_);
    if (!HasRoom(bytes_max, line)) {
      ++dropped_;
      return false;
    }
    Add(line);
  }
  not_empty_.NotifyOne();
  return true;
}

bool LineQueue::PushBulk(std::string_view line, Duration wait_max) {
  {
    MutexLock lock(mutex_);
    const MonotonicTime give_up_at = SystemClock().Now() + wait_max;
    while (!HasRoom(kBulkBytesMax, line) && !stands_still_ && !closed_) {
      const Duration left = give_up_at - SystemClock().Now();
      if (left <= Duration(0)) {
        stands_still_ = true;
      } else {
        written_.WaitFor(lock, left);
      }
    }
  }
  return PushUpTo(kBulkBytesMax, line);
}

std::string LineQueue::Take(Duration wait_max) {
  MutexLock lock(mutex_);
  // A spurious wake-up only makes this turn shorter: the caller comes again.
  if (waiting_.empty() && !closed_) not_empty_.WaitFor(lock, wait_max);
  in_hand_bytes_ = waiting_.size();
  taken_ = pushed_;
  return std::exchange(waiting_, std::string());
}

void LineQueue::Written() {
  {
    MutexLock lock(mutex_);
    in_hand_bytes_ = 0;
    written_lines_ = taken_;
    stands_still_ = false;
  }
  written_.NotifyAll();
}

bool LineQueue::Flush(Duration wait_max) {
  MutexLock lock(mutex_);
  const uint64_t wanted = pushed_;
  const MonotonicTime give_up_at = SystemClock().Now() + wait_max;
  while (written_lines_ < wanted) {
    const Duration left = give_up_at - SystemClock().Now();
    if (left <= Duration(0)) return false;
    written_.WaitFor(lock, left);
  }
  return true;
}

void LineQueue::Close() {
  {
    MutexLock lock(mutex_);
    closed_ = true;
  }
  not_empty_.NotifyAll();
  written_.NotifyAll();
}

bool LineQueue::closed() const {
  MutexLock lock(mutex_);
  return closed_;
}

uint64_t LineQueue::dropped() const {
  MutexLock lock(mutex_);
  return dropped_;
}

}  // namespace mokv
