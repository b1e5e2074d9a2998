// The captured packets and streams of testdata/vectors.
#pragma once

#include <fstream>
#include <iterator>
#include <string>
#include <string_view>

#include "base/check.h"

namespace mokv::serf {

inline std::string FromHex(std::string_view hex) {
  std::string bytes;
  int high = -1;
  for (const char c : hex) {
    const int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
    if (digit < 0) continue;  // White space.
    if (high < 0) {
      high = digit;
    } else {
      bytes.push_back(static_cast<char>(high << 4 | digit));
      high = -1;
    }
  }
  MOKV_CHECK_EQ(high, -1);
  return bytes;
}

inline std::string ToHex(std::string_view bytes) {
  std::string hex;
  for (const char c : bytes) {
    constexpr std::string_view kDigits = "0123456789abcdef";
    hex.push_back(kDigits[static_cast<uint8_t>(c) >> 4]);
    hex.push_back(kDigits[static_cast<uint8_t>(c) & 15]);
  }
  return hex;
}

inline std::string ReadVector(const std::string& name) {
  std::ifstream file(std::string(MOKV_SERF_TESTDATA) + "/vectors/" + name, std::ios::binary);
  MOKV_CHECK(file.good());
  std::string bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  return name.ends_with(".hex") ? FromHex(bytes) : bytes;
}

// The keys of the captures: A has 32 bytes, B 16.
inline std::string VectorKeyA() {
  return FromHex("4d42a187a071d205d9b2159be2d5d445536713b59300c83458ff97ab5a56a9d4");
}
inline std::string VectorKeyB() { return FromHex("957bd3b8ad3d423c158331e5a25504a9"); }

}  // namespace mokv::serf
