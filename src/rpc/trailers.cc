#include "rpc/trailers.h"

#include <algorithm>
#include <string_view>

#include "base/check.h"
#include "rpc/grpc_wire.h"

namespace mokv::rpc {
namespace {

bool IsName(std::string_view name) {
  return !name.empty() && !name.ends_with("-bin") && !IsTransportHeader(name) &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
                  c == '.';
         });
}

bool IsValue(std::string_view value) {
  return !value.starts_with(' ') && !value.ends_with(' ') &&
         std::all_of(value.begin(), value.end(), [](char c) { return c >= ' ' && c <= '~'; });
}

}  // namespace

void CheckTrailers(const Trailers& trailers) {
  MOKV_CHECK_LE(trailers.size(), kTrailersMax);
  for (const Trailer& trailer : trailers) {
    MOKV_CHECK(IsName(trailer.name));
    MOKV_CHECK(IsValue(trailer.value));
  }
}

}  // namespace mokv::rpc
