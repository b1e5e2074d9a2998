// UTF-8 and JSON helpers on any bytes: what they make is well formed, and they agree with each
// other.
#include <cstdint>

#include "base/check.h"
#include "base/json.h"
#include "base/utf8.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  std::string_view rest = text;
  while (!rest.empty()) {
    const size_t length = mokv::Utf8SequenceLength(rest);
    MOKV_CHECK_LE(length, rest.size());
    if (length == 0) break;
    rest.remove_prefix(length);
  }
  MOKV_CHECK_EQ(mokv::IsUtf8(text), rest.empty());

  const std::string json = mokv::JsonString(text);
  MOKV_CHECK(mokv::IsUtf8(json));
  MOKV_CHECK_GE(json.size(), size_t{2});
  for (size_t i = 1; i + 1 < json.size(); ++i) {
    MOKV_CHECK_GE(static_cast<unsigned char>(json[i]), ' ');
    MOKV_CHECK(json[i] != '"');
    if (json[i] == '\\') ++i;  // What it escapes, which may be a quote.
  }
  return 0;
}
