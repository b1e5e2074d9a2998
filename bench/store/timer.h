// Timer: nanoseconds since it was made, by one of three clocks.
#pragma once

#include <time.h>

namespace mokv::bench {

class Timer {
 public:
  enum class Kind {
    kWall,
    // Processor time, system calls included: of all threads or of this one. On a machine that does
    // other things as well, these do not count the time in which somebody else ran.
    kProcess,
    kThread,
  };

  explicit Timer(Kind kind) : kind_(kind), start_(Now()) {}
  double Nanoseconds() const { return Now() - start_; }

 private:
  double Now() const {
    constexpr clockid_t kClocks[] = {CLOCK_MONOTONIC, CLOCK_PROCESS_CPUTIME_ID,
                                     CLOCK_THREAD_CPUTIME_ID};
    timespec now{};
    clock_gettime(kClocks[static_cast<int>(kind_)], &now);
    return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
  }

  const Kind kind_;
  const double start_;
};

}  // namespace mokv::bench
