// Whether the newest message of a call came compressed. grpc++ keeps that to itself; its core tells its
// own tests.
#pragma once

#include <grpc/grpc.h>

#include <cstdint>

// As gRPC's core declares it, in a header that is not installed.
uint32_t grpc_call_test_only_get_message_flags(grpc_call* call);

namespace mokv::interop {

// gRPC's bits: it is compressed, or was before the core gave it to us.
inline constexpr uint32_t kCompressedFlags = 0x80000000u | 0x40000000u;

inline bool WasCompressed(grpc_call* call) {
  return (grpc_call_test_only_get_message_flags(call) & kCompressedFlags) != 0;
}

}  // namespace mokv::interop
