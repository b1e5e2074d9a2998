// ProgressBar: how far something has come, on standard error, if that is a terminal; else nothing.
// The line is taken away when this ends.
//
// Threads: confined to one at a time.
#pragma once

#include <cstdint>

#include "base/clock.h"

namespace mokv {

class ProgressBar {
 public:
  ProgressBar();
  ~ProgressBar();
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  // `done` bytes of about `estimated`, which may turn out to be more. Not drawn more often than
  // anybody can see.
  void Show(uint64_t done, uint64_t estimated);

 private:
  const bool on_terminal_;
  bool shown_ = false;
  MonotonicTime next_;
};

}  // namespace mokv
