// LogThread: writes the process's log, so that no other thread waits for the reader of it.
//
// Threads: has one of its own. Made and destroyed by main, before and after everything that logs.
// Owner:   main. One at a time in a process.
#pragma once

#include <future>

namespace mokv {

class LogThread {
 public:
  LogThread();
  // Writes what is left. If the reader stands still, it waits for a moment only, and leaves the
  // thread, which is stuck in a write, to end with the process.
  ~LogThread();
  LogThread(const LogThread&) = delete;
  LogThread& operator=(const LogThread&) = delete;

 private:
  std::future<void> ended_;
};

// For a process that ends at once: waits a moment until what was logged is written.
void FlushLogBeforeExit();

}  // namespace mokv
