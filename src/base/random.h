// Randomness as an argument: what decides takes a Random, so that a run can be repeated from its
// seed.
#pragma once

#include <cstdint>
#include <string>

namespace mokv {

class Random {
 public:
  virtual ~Random() = default;
  virtual uint64_t Next() = 0;
};

// A small repeatable generator (SplitMix64). Confined to one thread; not for secrets.
class SeededRandom final : public Random {
 public:
  explicit SeededRandom(uint64_t seed) : state_(seed) {}
  uint64_t Next() override {
    state_ += 0x9e3779b97f4a7c15;
    uint64_t z = state_;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }

 private:
  uint64_t state_;
};

// 128 bits of the operating system's randomness as 32 hex digits: for ids that must never repeat.
std::string NewUniqueId();
// 64 bits of it: for salts, which nobody outside may know.
uint64_t NewSalt();

}  // namespace mokv
