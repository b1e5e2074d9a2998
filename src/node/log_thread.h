// LogThread: writes the process's log, so that no other thread waits for whoever reads it.
//
// Threads: has one of its own. Made and destroyed by main, before and after everything that logs.
// Owner:   main. One at a time in a process.
#pragma once

#include <future>

namespace mokv {

class LogThread {
 public:
  LogThread();
  // Writes what is left. A reader that stands still is waited for a moment only: then the thread,
  // which is stuck in a write, is left to end with the process.
  ~LogThread();
  LogThread(const LogThread&) = delete;
  LogThread& operator=(const LogThread&) = delete;

 private:
  std::future<void> ended_;
};

// For a process that ends at once: what was logged is worth a moment.
void FlushLogBeforeExit();

}  // namespace mokv
