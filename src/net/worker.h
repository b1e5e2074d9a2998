// Worker: a thread with a queue, for work that is not socket I/O: files, mostly.
//
// Threads: Post is thread-safe; the rest is for the thread that owns it.
#pragma once

#include <memory>
#include <string>

#include "base/executor.h"

namespace mokv::net {

class Worker final : public Executor {
 public:
  // Starts at once. `name` (up to 15 characters) is what `ps` and debuggers show.
  explicit Worker(std::string name);
  // Stops as Stop does.
  ~Worker() override;

  void Post(Task task) override;

  // Runs everything that was posted before, then joins. Later posts are dropped. Not from a task.
  void Stop();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace mokv::net
