#include "rpc/request_head.h"

#include "base/status.h"
#include "rpc/grpc_wire.h"
#include "rpc/http2_header.h"
#include "rpc/server_shared.h"

namespace mokv::rpc {
namespace {

// "application/grpc" and "application/grpc+proto", but not "application/grpc-web".
bool IsGrpc(std::string_view content_type) {
  constexpr std::string_view kGrpc = "application/grpc";
  if (!content_type.starts_with(kGrpc)) return false;
  const std::string_view rest = content_type.substr(kGrpc.size());
  return rest.empty() || rest.front() == '+' || rest.front() == ';';
}

}  // namespace

void RequestHead::Take(std::string_view name, std::string_view value, const ServerShared& shared) {
  bytes += name.size() + value.size() + kHeaderOverheadBytes;
  if (bytes > shared.options.header_bytes_max) return;
  if (name == ":path") {
    method = shared.FindMethod(value);
    if (method == nullptr) path = value;
  } else if (name == ":method") {
    is_post = value == "POST";
    is_head = value == "HEAD";
  } else if (name == "content-type") {
    is_grpc = IsGrpc(value);
  } else if (name == "grpc-timeout") {
    timeout = ParseTimeout(value);
    bad_timeout = !timeout.has_value();
  } else if (name == "grpc-encoding") {
    const std::optional<Encoding> known = ParseEncoding(value);
    encoding = known.value_or(Encoding::kIdentity);
    if (!known.has_value()) unknown_encoding = value;
  } else if (name == "grpc-accept-encoding") {
    accepts_gzip = accepts_gzip || AcceptsGzip(value);  // It may come in several lines.
  } else if (!IsTransportHeader(name)) {
    metadata.emplace_back(name, value);
  }
}

void RequestHead::Reset() {
  method = nullptr;
  path.clear();
  is_post = false;
  is_head = false;
  is_grpc = false;
  bad_timeout = false;
  timeout.reset();
  encoding = Encoding::kIdentity;
  unknown_encoding.clear();
  accepts_gzip = false;
  metadata.clear();
  bytes = 0;
}

std::optional<HeadRefusal> CheckHead(const RequestHead& head, const ServerOptions& options) {
  if (head.bytes > options.header_bytes_max) {
    // Checked first, since which headers were looked at depends on their order.
    return HeadRefusal{.status =
                           ResourceExhausted("request headers of {} bytes are over the limit of {}",
                                             head.bytes, options.header_bytes_max)};
  }
  if (!head.is_post) return HeadRefusal{"405", absl::UnknownError("not a POST")};
  if (!head.is_grpc) return HeadRefusal{"415", absl::UnknownError("not application/grpc")};
  if (head.bad_timeout) {
    return HeadRefusal{.status = absl::InternalError("grpc-timeout is malformed")};
  }
  if (head.method == nullptr) {
    return HeadRefusal{
        .status = MakeStatus(absl::StatusCode::kUnimplemented, "unknown method {}", head.path)};
  }
  if (!head.unknown_encoding.empty()) {
    return HeadRefusal{.status = MakeStatus(absl::StatusCode::kUnimplemented,
                                            "grpc-encoding {} is unknown; {} are taken",
                                            head.unknown_encoding, kAcceptedEncodings)};
  }
  return std::nullopt;
}

}  // namespace mokv::rpc
