// RequestHead: what the headers of a client's request say, and whether gRPC's rules allow it.
// Internal to the engine.
//
// Threads: a value of its call. Pure functions of what was received.
#pragma once

#include <absl/status/status.h>

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "rpc/compression.h"
#include "rpc/server_options.h"

namespace mokv::rpc {

struct Method;
struct ServerShared;

struct RequestHead {
  const Method* method = nullptr;
  std::string path;  // Only of an unknown method.
  bool is_post = false;
  bool is_head = false;  // Wants an answer without content.
  bool is_grpc = false;
  bool bad_timeout = false;
  std::optional<Duration> timeout;
  Encoding encoding = Encoding::kIdentity;  // Of compressed messages.
  std::string unknown_encoding;             // Empty: none.
  bool accepts_gzip = false;
  // Headers that neither gRPC nor HTTP/2 uses itself, as they came.
  std::vector<std::pair<std::string, std::string>> metadata;
  size_t bytes = 0;  // As RFC 9113, 6.5.2 counts.

  // Headers past the limit of bytes are only counted.
  void Take(std::string_view name, std::string_view value, const ServerShared& shared);
  void Reset();
};

// A client that does not speak gRPC could not read a gRPC status: it is answered in HTTP.
struct HeadRefusal {
  std::string_view http_status = "200";
  absl::Status status;
};
std::optional<HeadRefusal> CheckHead(const RequestHead& head, const ServerOptions& options);

}  // namespace mokv::rpc
