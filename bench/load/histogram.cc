#include "load/histogram.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "base/check.h"

namespace mokv::load {
namespace {

// Each power of two is cut into 128 buckets, so a bucket is at most 1/128 of its values wide.
constexpr int kSubBits = 7;
constexpr uint64_t kSubBuckets = uint64_t{1} << kSubBits;
constexpr int kValueBits = static_cast<int>(std::bit_width(Histogram::kValueMax));
constexpr size_t kBuckets = (static_cast<size_t>(kValueBits - kSubBits) + 1) << kSubBits;

size_t BucketOf(uint64_t value) {
  if (value < kSubBuckets) return value;  // One bucket a nanosecond.
  const int shift = static_cast<int>(std::bit_width(value)) - kSubBits - 1;
  return (static_cast<size_t>(shift) << kSubBits) + (value >> shift);
}

uint64_t LargestIn(size_t bucket) {
  if (bucket < 2 * kSubBuckets) return bucket;
  const size_t shift = (bucket >> kSubBits) - 1;
  const uint64_t top = bucket - (shift << kSubBits);
  return ((top + 1) << shift) - 1;
}

}  // namespace

Histogram::Histogram() : buckets_(kBuckets) {}

void Histogram::Record(uint64_t nanoseconds) {
  const uint64_t value = std::min(nanoseconds, kValueMax);
  ++buckets_[BucketOf(value)];
  ++count_;
  sum_ += value;
  max_ = std::max(max_, nanoseconds);
}

void Histogram::Merge(const Histogram& other) {
  for (size_t i = 0; i < buckets_.size(); ++i) buckets_[i] += other.buckets_[i];
  count_ += other.count_;
  sum_ += other.sum_;
  max_ = std::max(max_, other.max_);
}

void Histogram::Clear() {
  std::fill(buckets_.begin(), buckets_.end(), 0);
  count_ = sum_ = max_ = 0;
}

double Histogram::Mean() const {
  return count_ == 0 ? 0 : static_cast<double>(sum_) / static_cast<double>(count_);
}

uint64_t Histogram::Percentile(double fraction) const {
  MOKV_CHECK(fraction >= 0 && fraction <= 1);
  if (count_ == 0) return 0;
  const auto rank = static_cast<uint64_t>(std::ceil(fraction * static_cast<double>(count_)));
  const uint64_t wanted = std::clamp<uint64_t>(rank, 1, count_);
  uint64_t seen = 0;
  for (size_t i = 0; i < buckets_.size(); ++i) {
    seen += buckets_[i];
    if (seen >= wanted) return std::min(LargestIn(i), max_);
  }
  return max_;
}

}  // namespace mokv::load
