// What a worker counts. Plain data, confined to the worker until it has ended; then merged.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "load/histogram.h"
#include "load/session.h"

namespace mokv::load {

// Ways for a call to end without a gRPC status.
enum class Failure {
  kConnectionLost,
  kStreamReset,
  kHttpStatus,  // Not 200.
  kNoGrpcStatus,
  kNoAnswer,  // Still open when the timeout had passed.
  kNotSent,   // Open loop: due, but no call in flight had ended until it was given up.
};
inline constexpr size_t kFailures = 6;
std::string_view FailureName(Failure failure);

inline constexpr size_t kGrpcStatuses = 17;  // 0 to 16; later ones count as UNKNOWN (2).
std::string_view GrpcStatusName(size_t status);

// Expected answers are counted only when they came inside the measured window, those of an open loop
// when they were due inside it; whatever else came is counted at any time, preload and warm-up included, so that nothing stays unseen.
struct Stats {
  Histogram reads;
  Histogram writes;
  Histogram sent_late;  // Open loop: from due to sent; a part of the latencies above.
  std::array<uint64_t, kGrpcStatuses> statuses{};
  std::array<uint64_t, kFailures> failures{};
  uint64_t missing = 0;     // OK, but the key was not there (etcd's way of saying so).
  uint64_t mismatches = 0;  // OK, but not the answer that it should have been.
  uint64_t calls = 0;       // All that ended, at any time.
  uint64_t first_ns = 0;    // The measured window: its beginning,
  uint64_t last_ns = 0;     // and its end or the last answer counted.
  double cpu_seconds = 0;   // Of the worker's thread, over the window.
  std::string first_error;  // Of a connection.

  uint64_t measured() const { return reads.count() + writes.count(); }
  void Merge(const Stats& other);
};

}  // namespace mokv::load
