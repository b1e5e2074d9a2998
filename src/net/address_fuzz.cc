// Addresses as people and peers write them: what is taken can be written down and read again.
#include <cstdint>

#include "base/check.h"
#include "net/address.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto parsed = mokv::net::ParseHostPort({reinterpret_cast<const char*>(data), size});
  if (!parsed.ok()) return 0;
  MOKV_CHECK(!parsed->host.empty());
  const auto again = mokv::net::ParseHostPort(parsed->ToString());
  MOKV_CHECK(again.ok());
  MOKV_CHECK(*again == *parsed);
  return 0;
}
