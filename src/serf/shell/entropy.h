// The operating system's randomness as a Random: a nonce must never come twice, and nobody may
// guess a sequence number.
//
// Threads: confined to one.
#pragma once

#include <array>

#include "base/random.h"

namespace mokv::serf {

class SystemRandom final : public Random {
 public:
  uint64_t Next() override;

 private:
  std::array<uint64_t, 64> buffer_{};  // One system call for as many numbers.
  size_t next_ = buffer_.size();
};

}  // namespace mokv::serf
