// Counters for hot paths: components keep plain structs of these, and a scrape reads them.
//
// Threads: Counter, Level and LatencyHistogram have one writing thread, which pays a load and a
//          store and no lock prefix; any thread may read. SharedCounter takes several writers.
// Reads:   each number is exact. Several numbers that are read while somebody writes need not be of
//          the same moment.
// Layout:  nothing here is padded. Structs of different threads belong on different cache lines:
//          give the struct, not the counter, alignas(kCacheLineBytes).
#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "base/clock.h"

namespace mokv::telemetry {

inline constexpr size_t kCacheLineBytes = 64;

// Only grows. Written by one thread.
class Counter {
 public:
  void Add(uint64_t n = 1) {
    value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
  uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
};

// Only grows. Written by any thread.
class SharedCounter {
 public:
  void Add(uint64_t n = 1) { value_.fetch_add(n, std::memory_order_relaxed); }
  uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
};

// Goes up and down: connections, queued bytes. Written by one thread.
class Level {
 public:
  void Set(int64_t value) { value_.store(value, std::memory_order_relaxed); }
  void Add(int64_t n) {
    value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
  int64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<int64_t> value_{0};
};

// Upper bounds of the latency buckets in nanoseconds, inclusive: 1, 2.5 and 5 of every power of
// ten from 1 us to 10 s. A microsecond is below any call over a network, ten seconds above any
// deadline that we set.
inline constexpr std::array<uint64_t, 22> kLatencyBoundsNs = {
    1'000,         2'500,         5'000,         10'000,        25'000,      50'000,
    100'000,       250'000,       500'000,       1'000'000,     2'500'000,   5'000'000,
    10'000'000,    25'000'000,    50'000'000,    100'000'000,   250'000'000, 500'000'000,
    1'000'000'000, 2'500'000'000, 5'000'000'000, 10'000'000'000};
inline constexpr size_t kLatencyBuckets = kLatencyBoundsNs.size() + 1;  // The last has no bound.

// The bucket of a latency: the first whose bound is not less.
size_t LatencyBucket(uint64_t ns);

// What a LatencyHistogram held at one time, or the sum of several. A plain value.
struct LatencySnapshot {
  std::array<uint64_t, kLatencyBuckets> counts{};  // Of each bucket alone, not cumulative.
  uint64_t sum_ns = 0;

  uint64_t count() const;
  void Merge(const LatencySnapshot& other);
};

// How long things took. Written by one thread.
class LatencyHistogram {
 public:
  // Negative durations count as zero.
  void Record(Duration duration) {
    const uint64_t ns = duration.count() > 0 ? static_cast<uint64_t>(duration.count()) : 0;
    counts_[LatencyBucket(ns)].Add();
    sum_ns_.Add(ns);
  }
  LatencySnapshot Snapshot() const;

 private:
  std::array<Counter, kLatencyBuckets> counts_;
  Counter sum_ns_;
};

// Implementation only below this line.

namespace internal {

// By the number of significant bits of a latency: the bucket of the smallest latency of that
// many bits. Bounds lie at least a factor of two apart, so at most one of them lies among the
// latencies of one length, and one comparison finishes the search.
consteval std::array<uint8_t, 65> MakeFirstBucketByBits() {
  std::array<uint8_t, 65> first{};
  for (size_t bits = 0; bits < first.size(); ++bits) {
    const uint64_t smallest = bits == 0 ? 0 : uint64_t{1} << (bits - 1);
    uint8_t bucket = 0;
    while (bucket < kLatencyBoundsNs.size() && kLatencyBoundsNs[bucket] < smallest) ++bucket;
    first[bits] = bucket;
  }
  return first;
}
inline constexpr std::array<uint8_t, 65> kFirstBucketByBits = MakeFirstBucketByBits();

consteval bool BoundsAreAtLeastDoubling() {
  for (size_t i = 1; i < kLatencyBoundsNs.size(); ++i) {
    if (kLatencyBoundsNs[i] < 2 * kLatencyBoundsNs[i - 1]) return false;
  }
  return true;
}
static_assert(BoundsAreAtLeastDoubling(), "LatencyBucket compares with one bound only");

}  // namespace internal

inline size_t LatencyBucket(uint64_t ns) {
  const size_t first = internal::kFirstBucketByBits[static_cast<size_t>(std::bit_width(ns))];
  if (first == kLatencyBoundsNs.size()) return first;
  return first + (ns > kLatencyBoundsNs[first] ? 1 : 0);
}

}  // namespace mokv::telemetry
