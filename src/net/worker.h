// Worker: a thread with a queue, for work that is not socket I/O: files, mostly.
//
// Threads: Post is thread-safe; the rest is for the thread that owns it.
#pragma once

#include <memory>
#include <string>

#include "base/clock.h"
#include "base/executor.h"

namespace mokv::net {

enum class Pace {
  kFull,
  // For long work that nobody waits for, beside threads that clients wait for: at a lower priority
  // (kNice), and after each task a rest as long as the task took, but no longer than kRestMax. Tasks
  // should be short, then, so that the work comes in small pieces.
  kGentle,
};

class Worker final : public Executor {
 public:
  static constexpr int kNice = 10;
  static constexpr Duration kRestMax = std::chrono::milliseconds(100);

  // Starts at once. `name` (up to 15 characters) is what `ps` and debuggers show.
  explicit Worker(std::string name, Pace pace = Pace::kFull);
  // Stops as Stop does.
  ~Worker() override;

  void Post(Task task) override;

  // Runs everything that was posted before, without a rest, then joins. Later posts are dropped. Not from a task.
  void Stop();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace mokv::net
