// KvMachine: a small state machine for clients whose history is judged: get, set, delete and cas on
// a few keys. Keys and values are numbers; 0 is "missing".
//
// Threads: a plain value. A copy is a snapshot.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/log_entry.h"

namespace mokv::sim {

inline constexpr size_t kKeysMax = 6;

enum class Op : uint8_t { kGet, kSet, kDelete, kCas };

struct Command {
  Op op = Op::kGet;
  uint32_t key = 0;
  uint64_t value = 0;     // To be written.
  uint64_t expected = 0;  // Of a cas.

  std::string Encode() const;
  // CHECKs that `bytes` are a command: the log holds nothing else.
  static Command Decode(std::string_view bytes);
};

class KvMachine {
 public:
  Index applied() const { return applied_; }
  // Of everything that was ever applied, in its order, and of the state.
  uint64_t digest() const { return digest_; }
  uint64_t Get(uint32_t key) const { return values_.at(key); }

  // In log order. False of a cas whose comparison failed.
  bool Apply(const Entry& entry);

 private:
  Index applied_;
  uint64_t digest_ = 0;
  std::array<uint64_t, kKeysMax> values_{};
};

}  // namespace mokv::sim
