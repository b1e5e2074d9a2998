// Header fields as nghttp2 takes them. Internal to the engine's two connections.
#pragma once

#include <nghttp2/nghttp2.h>

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace mokv::rpc {

// What HTTP/2 adds to the bytes of a header when it counts them (RFC 9113, 6.5.2).
inline constexpr size_t kHeaderOverheadBytes = 32;

// Both texts must outlive the session; nghttp2 keeps pointers to them.
inline nghttp2_nv StaticHeader(std::string_view name, std::string_view value) {
  return {reinterpret_cast<uint8_t*>(const_cast<char*>(name.data())),
          reinterpret_cast<uint8_t*>(const_cast<char*>(value.data())), name.size(), value.size(),
          NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE};
}

// For values that do not outlive the call of nghttp2.
inline nghttp2_nv CopiedHeader(std::string_view name, std::string_view value) {
  nghttp2_nv header = StaticHeader(name, value);
  header.flags = NGHTTP2_NV_FLAG_NO_COPY_NAME;
  return header;
}

}  // namespace mokv::rpc
