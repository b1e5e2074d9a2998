// Latencies in buckets whose width grows with the value: a percentile is off by less than 1
// percent.
//
// Threads: confined to one; workers each have one and the report merges them.
// Units:   nanoseconds. Values above kValueMax count as kValueMax; the exact maximum is kept.
#pragma once

#include <cstdint>
#include <vector>

namespace mokv::load {

class Histogram {
 public:
  static constexpr uint64_t kValueMax = (uint64_t{1} << 40) - 1;  // 18 minutes.

  Histogram();

  void Record(uint64_t nanoseconds);
  void Merge(const Histogram& other);
  void Clear();

  uint64_t count() const { return count_; }
  uint64_t max() const { return max_; }
  double Mean() const;

  // The smallest value such that at least `fraction` of all are not above it, up to the bucket's
  // width; the bucket's upper end is returned, never more than max(). 0 when nothing was recorded.
  uint64_t Percentile(double fraction) const;

 private:
  std::vector<uint64_t> buckets_;
  uint64_t count_ = 0;
  uint64_t sum_ = 0;
  uint64_t max_ = 0;
};

}  // namespace mokv::load
