// Configurations from log entries and snapshots: any bytes are refused, or mean a membership that
// survives being written again, and whose joint configuration can end.
#include <cstdint>

#include "base/check.h"
#include "raft/membership.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using mokv::raft::Membership;
  const auto membership = Membership::Decode({reinterpret_cast<const char*>(data), size});
  if (!membership.ok()) return 0;
  const std::string bytes = membership->Encode();
  const auto again = Membership::Decode(bytes);
  MOKV_CHECK(again.ok());
  MOKV_CHECK(*again == *membership);
  MOKV_CHECK(again->Encode() == bytes);
  if (membership->joint()) MOKV_CHECK(!membership->LeaveJoint().joint());
  return 0;
}
