// The texts and prefixes of gRPC's wire format, as either side of a connection may send them.
#include <cstdint>

#include "base/check.h"
#include "rpc/grpc_wire.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace mokv::rpc;
  const std::string_view text(reinterpret_cast<const char*>(data), size);

  if (const auto timeout = ParseTimeout(text); timeout.has_value()) {
    MOKV_CHECK(*timeout >= mokv::Duration(0));
    const auto again = ParseTimeout(FormatTimeout(*timeout));
    MOKV_CHECK(again.has_value());
    MOKV_CHECK(*again <= std::max(*timeout, mokv::Duration(1)));
  }

  MOKV_CHECK_LE(PercentDecode(text).size(), text.size());
  const std::string encoded = PercentEncode(text);
  for (const char c : encoded) MOKV_CHECK(c >= ' ' && c <= '~');
  MOKV_CHECK(PercentDecode(encoded) == text);

  if (size >= kMessagePrefixBytes) {
    const MessagePrefix prefix = ParseMessagePrefix(text);
    char written[kMessagePrefixBytes];
    WriteMessagePrefix(prefix.size_bytes, written);
    MOKV_CHECK(std::string_view(written + 1, 4) == text.substr(1, 4));
  }
  return 0;
}
