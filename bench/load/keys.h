// Which key the next call asks for.
//
// Threads: ZipfTable is immutable and shared; a KeyChooser is confined to its worker.
#pragma once

#include <cstdint>
#include <memory>

#include "base/random.h"
#include "load/options.h"
#include "load/wire.h"

namespace mokv::load {

// The constants of a Zipf distribution over ranks 0..keys-1. Its sum over all keys takes time
// linear in their number, so that it is made once a run.
class ZipfTable {
 public:
  ZipfTable(uint64_t keys, double theta);

  // The rank for a uniform number in [0, 1); rank 0 is the most popular.
  uint64_t Rank(double uniform) const;

 private:
  uint64_t keys_;
  double zeta_keys_;
  double second_share_;  // zeta(2): where the formula takes over from the two most popular ranks.
  double alpha_;
  double eta_;
};

class KeyChooser {
 public:
  // `zipf` is null for the uniform distribution, else made for the same number of keys.
  KeyChooser(const LoadOptions& options, std::shared_ptr<const ZipfTable> zipf, uint64_t seed);

  uint64_t NextKey();
  OpKind NextKind();

 private:
  uint64_t Below(uint64_t bound);

  uint64_t keys_;
  uint32_t reads_percent_;
  std::shared_ptr<const ZipfTable> zipf_;
  SeededRandom random_;
};

}  // namespace mokv::load
