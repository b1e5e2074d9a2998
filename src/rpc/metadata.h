// Metadata: what client and server say of a call beside its messages and its status, before them
// (leading) or behind them (trailing). What the entries are called and mean is the application's: rpc
// only carries them.
//
// Threads: values.
// Bounds:  kMetadataEntriesMax for what we send; kMetadataBytesMax for an answer that we get.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace mokv::rpc {

struct MetadataEntry {
  // Lower-case letters, digits and `-_.`; none of gRPC's or HTTP/2's own.
  std::string name;
  // Printable ASCII, without a space at either end. Any bytes if the name ends with `-bin`: on the
  // wire they are Base64.
  std::string value;

  bool operator==(const MetadataEntry&) const = default;
};
using Metadata = std::vector<MetadataEntry>;

// More is most likely a loop that never ends.
inline constexpr size_t kMetadataEntriesMax = 32;
// As RFC 9113, 6.5.2 counts. gRPC's clients take 8 KiB by default, and end a call whose answer passes
// it.
inline constexpr size_t kMetadataBytesMax = size_t{8} << 10;

// Whether an entry may be sent: for what is made of bytes from outside.
bool IsMetadata(std::string_view name, std::string_view value);
// CHECKs the above of what we are to send. Any other is our own bug.
void CheckMetadata(const Metadata& metadata);

// A value as it goes over the wire, and as it comes. A binary value that is not Base64 stays as it is;
// one that a proxy has joined of several by commas is split.
std::string WireValue(const MetadataEntry& entry);
void AppendFromWire(std::string_view name, std::string_view wire_value, Metadata& metadata);

}  // namespace mokv::rpc
