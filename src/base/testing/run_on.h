// Running something where it belongs, and waiting for it.
#pragma once

#include <future>
#include <utility>

#include "base/executor.h"

namespace mokv {

// Runs `task` on `executor`, which must be running and on another thread, and returns when it has run.
inline void RunOn(Executor& executor, Task task) {
  std::promise<void> done;
  executor.Post([&] {
    task();
    done.set_value();
  });
  done.get_future().wait();
}

}  // namespace mokv
