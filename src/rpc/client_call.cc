#include "rpc/client_call.h"

#include <nghttp2/nghttp2.h>

#include <utility>

#include "base/status.h"
#include "rpc/grpc_wire.h"
#include "rpc/http2_header.h"

namespace mokv::rpc {
namespace {

// gRPC's mapping of HTTP/2 errors (PROTOCOL-HTTP2, "Errors").
absl::StatusCode CodeOfHttp2Error(uint32_t error) {
  switch (error) {
    case NGHTTP2_REFUSED_STREAM:
      return absl::StatusCode::kUnavailable;
    case NGHTTP2_CANCEL:
      return absl::StatusCode::kCancelled;
    case NGHTTP2_ENHANCE_YOUR_CALM:
      return absl::StatusCode::kResourceExhausted;
    case NGHTTP2_INADEQUATE_SECURITY:
      return absl::StatusCode::kPermissionDenied;
    default:
      return absl::StatusCode::kInternal;
  }
}

}  // namespace

void ClientCall::TakeHeader(std::string_view name, std::string_view value, bool is_last) {
  if (name == ":status") {
    http_status = value;
  } else if (name == "grpc-status") {
    grpc_status = ParseStatusCode(value);
  } else if (name == "grpc-message") {
    grpc_message = PercentDecode(value);
  } else if (is_last && !IsTransportHeader(name)) {
    trailer_bytes += name.size() + value.size() + kHeaderOverheadBytes;
    if (trailer_bytes <= kMetadataBytesMax) {
      trailers.push_back({std::string(name), std::string(value)});
    }
  }
}

absl::Status ClientCall::TakeData(std::string_view bytes, uint64_t message_bytes_max) {
  if (!failure.ok()) return absl::OkStatus();  // It is ending already.
  response += bytes;
  std::string_view rest = response;
  while (rest.size() >= kMessagePrefixBytes) {
    const MessagePrefix prefix = ParseMessagePrefix(rest);
    if (prefix.compressed) return absl::InternalError("the server sent a compressed message");
    if (prefix.size_bytes > message_bytes_max) {
      return ResourceExhausted("message of {} bytes is over the limit of {}", prefix.size_bytes,
                               message_bytes_max);
    }
    if (rest.size() < kMessagePrefixBytes + prefix.size_bytes) break;
    const std::string_view whole = rest.substr(kMessagePrefixBytes, prefix.size_bytes);
    if (on_message) {
      on_message(whole);
    } else if (has_message) {
      return absl::InternalError("the server sent more than one message");
    } else {
      message = whole;
      has_message = true;
    }
    rest.remove_prefix(kMessagePrefixBytes + prefix.size_bytes);
  }
  response.erase(0, response.size() - rest.size());
  return absl::OkStatus();
}

absl::Status ClientCall::EndStatus(uint32_t http2_error) const {
  if (!failure.ok()) return failure;
  if (grpc_status.has_value()) {
    if (*grpc_status != absl::StatusCode::kOk) return absl::Status(*grpc_status, grpc_message);
    if (unary_done != nullptr && !has_message) {
      // gRPC's table has UNIMPLEMENTED here. But that promises that nothing was done, and this
      // server may well have done it.
      return absl::InternalError("the server answered OK without a message");
    }
    return absl::OkStatus();
  }
  if (http2_error != NGHTTP2_NO_ERROR) {
    return MakeStatus(CodeOfHttp2Error(http2_error), "the server reset the call: {}",
                      nghttp2_http2_strerror(http2_error));
  }
  return MakeStatus(CodeOfHttpStatus(http_status),
                    "answer without grpc-status, HTTP status {} (outcome unknown)", http_status);
}

void ClientCall::End(uint32_t http2_error) {
  // RFC 9113, 8.7: the server has not looked at a stream that it refuses in this way.
  if (http2_error == NGHTTP2_REFUSED_STREAM && !grpc_status.has_value()) sent = false;
  CallEnd end{EndStatus(http2_error), {}, reached()};
  if (failure.ok() && grpc_status.has_value()) end.trailers = std::move(trailers);
  Tell(end);
}

void ClientCall::Tell(const CallEnd& end) {
  if (finished) return;
  finished = true;
  timer.reset();
  if (unary_done) {
    unary_done(end, end.status.ok() ? std::string_view(message) : std::string_view());
  } else {
    stream_done(end);
  }
}

}  // namespace mokv::rpc
