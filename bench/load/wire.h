// Requests as ready-made bytes, and what an answer must look like.
//
// A request is encoded once, with its gRPC prefix and a key of fixed width; a call differs from it
// only in the key's digits. So a call costs one copy and no protobuf.
// Threads: a Request is immutable once made. Errors: none; a bad answer is a verdict.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "load/options.h"

namespace mokv::load {

// Keys read "key:0000000042": a fixed prefix, then the number in as many digits as there is room.
inline constexpr uint32_t kKeyBytesMin = 8;
inline constexpr uint32_t kKeyBytesMax = 4096;
inline constexpr uint32_t kKeyDigitsMax = 18;

// How many keys of this width there are.
uint64_t KeyCountMax(uint32_t key_bytes);

using KeyDigits = std::array<char, kKeyDigitsMax>;

enum class OpKind : uint8_t { kRead, kWrite };

struct Request {
  OpKind kind = OpKind::kRead;
  std::string path;
  std::string message;         // With the five bytes of gRPC's prefix.
  uint32_t digits_offset = 0;  // Of the key's digits in `message`.
  uint32_t digits_size = 0;    // 0: there is no key.
};

Request MakeRead(const LoadOptions& options);
Request MakeWrite(const LoadOptions& options);

// The digits of key number `key`, as many as the request has; the rest is not touched.
void FormatDigits(uint64_t key, uint32_t digits_size, KeyDigits& digits);

// Copies `size` bytes of the message from `offset` on, with the call's own key in it.
void CopyMessage(const Request& request, const KeyDigits& digits, size_t offset, size_t size,
                 char* out);

enum class Verdict {
  kMatches,
  kMissing,   // A well-formed answer without the key.
  kMismatch,  // Not one whole message, not the value's size, or a write that was not confirmed.
};

// Judges the body of a call that ended with status OK.
Verdict CheckAnswer(const LoadOptions& options, OpKind kind, std::string_view body);

}  // namespace mokv::load
