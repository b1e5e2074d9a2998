// Trailers: what a server says of a failed call beside its status, for programs and not for people.
// What they are called and mean is the application's: rpc only carries them.
//
// Threads: values.
// Bounds:  kTrailersMax for a failure that we send; kTrailerBytesMax for an answer that we get.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace mokv::rpc {

struct Trailer {
  // Lower-case letters, digits and `-_.`; none of gRPC's or HTTP/2's own, and not `-bin` at its
  // end, which would make the value Base64.
  std::string name;
  // Printable ASCII, without a space at either end.
  std::string value;

  bool operator==(const Trailer&) const = default;
};
using Trailers = std::vector<Trailer>;

inline constexpr size_t kTrailersMax = 4;
// As RFC 9113, 6.5.2 counts. Trailers of an answer that pass it are dropped.
inline constexpr size_t kTrailerBytesMax = size_t{8} << 10;

// CHECKs the above of trailers that we are to send. Any other is our own bug: these trailers are
// not made of what came from outside.
void CheckTrailers(const Trailers& trailers);

}  // namespace mokv::rpc
