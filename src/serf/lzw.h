// LZW as agents compress packets and streams: least significant bit first, 8-bit literals, codes of
// 9 to 12 bits. It is the protocol's only algorithm.
//
// Threads: pure functions.
// Bounds:  Decompress never writes more than it was allowed: three bytes of LZW can stand for
//          thousands, so a packet must not decide how much memory it costs.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace mokv::serf {

// Writes byte for byte what an agent's encoder writes.
std::string LzwCompress(std::string_view plain);

enum class LzwError { kNone, kMalformed, kTooLarge };

// Stops at the end-of-information code. What follows it is left alone, as agents do.
LzwError LzwDecompress(std::string_view packed, size_t plain_bytes_max, std::string* plain);

}  // namespace mokv::serf
