#include "rpc/metadata.h"

#include <absl/strings/escaping.h>

#include <algorithm>

#include "base/check.h"
#include "rpc/grpc_wire.h"

namespace mokv::rpc {
namespace {

constexpr std::string_view kBinarySuffix = "-bin";

bool IsName(std::string_view name) {
  return !name.empty() && !IsTransportHeader(name) &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
                  c == '.';
         });
}

bool IsPrintable(std::string_view value) {
  return !value.starts_with(' ') && !value.ends_with(' ') &&
         std::all_of(value.begin(), value.end(), [](char c) { return c >= ' ' && c <= '~'; });
}

}  // namespace

bool IsMetadata(std::string_view name, std::string_view value) {
  return IsName(name) && (name.ends_with(kBinarySuffix) || IsPrintable(value));
}

void CheckMetadata(const Metadata& metadata) {
  MOKV_CHECK_LE(metadata.size(), kMetadataEntriesMax);
  for (const MetadataEntry& entry : metadata) MOKV_CHECK(IsMetadata(entry.name, entry.value));
}

std::string WireValue(const MetadataEntry& entry) {
  if (!entry.name.ends_with(kBinarySuffix)) return entry.value;
  std::string encoded = absl::Base64Escape(entry.value);
  // gRPC asks senders to leave the padding out.
  while (encoded.ends_with('=')) encoded.pop_back();
  return encoded;
}

void AppendFromWire(std::string_view name, std::string_view wire_value, Metadata& metadata) {
  if (!name.ends_with(kBinarySuffix)) {
    metadata.push_back({std::string(name), std::string(wire_value)});
    return;
  }
  while (true) {
    const size_t comma = wire_value.find(',');
    std::string_view part = wire_value.substr(0, comma);
    while (part.starts_with(' ')) part.remove_prefix(1);
    std::string decoded;
    if (!absl::Base64Unescape({part.data(), part.size()}, &decoded)) decoded = part;
    metadata.push_back({std::string(name), std::move(decoded)});
    if (comma == std::string_view::npos) return;
    wire_value.remove_prefix(comma + 1);
  }
}

}  // namespace mokv::rpc
