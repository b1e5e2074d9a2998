#include "load/keys.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace mokv::load {
namespace {

double Zeta(uint64_t n, double theta) {
  double sum = 0;
  for (uint64_t i = 1; i <= n; ++i) sum += 1 / std::pow(static_cast<double>(i), theta);
  return sum;
}

// A fixed shuffle of the 64-bit numbers, so that popular ranks are not neighbours in key order.
uint64_t Scatter(uint64_t rank) { return SeededRandom(rank).Next(); }

}  // namespace

// Gray et al., "Quickly generating billion-record synthetic databases", SIGMOD 1994, section 3.2.
ZipfTable::ZipfTable(uint64_t keys, double theta)
    : keys_(keys),
      zeta_keys_(Zeta(keys, theta)),
      second_share_(Zeta(2, theta)),
      alpha_(1 / (1 - theta)),
      eta_((1 - std::pow(2 / static_cast<double>(keys), 1 - theta)) /
           (1 - second_share_ / zeta_keys_)) {}

uint64_t ZipfTable::Rank(double uniform) const {
  const double scaled = uniform * zeta_keys_;
  if (scaled < 1 || keys_ == 1) return 0;
  if (scaled < second_share_ || keys_ == 2) return 1;
  const double rank = static_cast<double>(keys_) * std::pow(eta_ * uniform - eta_ + 1, alpha_);
  return std::min(static_cast<uint64_t>(rank), keys_ - 1);
}

KeyChooser::KeyChooser(const LoadOptions& options, std::shared_ptr<const ZipfTable> zipf,
                       uint64_t seed)
    : keys_(options.keys),
      reads_percent_(options.has_keys() ? options.reads_percent : 100),
      zipf_(std::move(zipf)),
      random_(seed) {}

uint64_t KeyChooser::Below(uint64_t bound) {
  return static_cast<uint64_t>(static_cast<unsigned __int128>(random_.Next()) * bound >> 64);
}

uint64_t KeyChooser::NextKey() {
  if (zipf_ == nullptr) return Below(keys_);
  const double uniform = static_cast<double>(random_.Next() >> 11) * 0x1.0p-53;
  return Scatter(zipf_->Rank(uniform)) % keys_;
}

OpKind KeyChooser::NextKind() {
  if (reads_percent_ == 100) return OpKind::kRead;
  return Below(100) < reads_percent_ ? OpKind::kRead : OpKind::kWrite;
}

}  // namespace mokv::load
