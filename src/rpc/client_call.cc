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

void CallHandle::Cancel() const {
  if (gate_ != nullptr) gate_->Cancel(call_);
}

void CallHandle::Wake() const {
  if (gate_ != nullptr) gate_->Wake(call_);
}

void ClientCall::BeginHeaders(bool is_last) {
  // What a block of 1xx has said is not of the answer (RFC 9110, 15.2).
  is_leading_ = http_status_.empty() || http_status_.starts_with('1');
  if (is_leading_) {
    http_status_.clear();
    content_type_.clear();
    leading_.clear();
    encoding_ = Encoding::kIdentity;
    grpc_status_.reset();
  }
  is_last_ = is_last;
  metadata_bytes_ = 0;
}

void ClientCall::TakeHeader(std::string_view name, std::string_view value) {
  if (name == ":status") {
    http_status_ = value;
  } else if (name == "content-type") {
    if (is_leading_) content_type_ = value;
  } else if (name == "grpc-status") {
    grpc_status_ = ParseStatusCode(value);
  } else if (name == "grpc-message") {
    grpc_message_ = PercentDecode(value);
  } else if (name == "grpc-encoding") {
    encoding_ = ParseEncoding(value);
  } else if (!IsTransportHeader(name)) {
    metadata_bytes_ += name.size() + value.size() + kHeaderOverheadBytes;
    if (metadata_bytes_ <= kMetadataBytesMax) {
      AppendFromWire(name, value, is_last_ ? trailers_ : leading_);
    }
  }
}

absl::Status ClientCall::EndHeaders() {
  if (metadata_bytes_ > kMetadataBytesMax) {
    return ResourceExhausted("{} bytes of metadata in the answer are over the limit of {}",
                             metadata_bytes_, kMetadataBytesMax);
  }
  if (is_leading_ && !is_last_ && is_grpc() && exchange != nullptr) exchange->OnLeading(leading_);
  return absl::OkStatus();
}

bool ClientCall::is_grpc() const {
  return http_status_ == "200" && content_type_.starts_with("application/grpc");
}

MessageCutter::Result ClientCall::TakeData(std::string_view bytes, uint64_t message_bytes_max) {
  // The page of a proxy, most likely.
  if (!is_grpc()) return {.status = NoGrpcStatus()};
  MessageCutter::Result result = cutter_.Take(
      bytes,
      {.encoding = encoding_.value_or(Encoding::kIdentity), .message_bytes_max = message_bytes_max},
      *this);
  if (result.status.ok() && unary_done != nullptr && message_count_ > 1) {
    result.status = absl::InternalError("the server sent more than one message");
  }
  return result;
}

void ClientCall::Take(const ReceivedMessage& message) {
  took_message_ = true;
  ++message_count_;
  if (exchange != nullptr) {
    exchange->Take(message);
  } else if (on_message != nullptr) {
    on_message(message.bytes);
  } else {
    message_ = message.bytes;
  }
}

absl::Status ClientCall::NoGrpcStatus() const {
  return MakeStatus(
      CodeOfHttpStatus(http_status_),
      "answer without grpc-status, HTTP status {}, content-type '{}' (outcome unknown)",
      http_status_, PercentEncode(content_type_));
}

absl::Status ClientCall::AnswerStatus() const {
  if (!grpc_status_.has_value()) return NoGrpcStatus();
  if (*grpc_status_ != absl::StatusCode::kOk) return absl::Status(*grpc_status_, grpc_message_);
  if (!cutter_.empty()) return absl::InternalError("the answer ended within a message");
  if (unary_done != nullptr && message_count_ == 0) {
    // gRPC's table has UNIMPLEMENTED here. But that promises that nothing was done, and this
    // server may well have done it.
    return absl::InternalError("the server answered OK without a message");
  }
  return absl::OkStatus();
}

void ClientCall::EndWithAnswer() {
  if (finished_) return;
  if (exchange != nullptr) exchange->End();
  CallEnd end{AnswerStatus(), {}, reached()};
  if (grpc_status_.has_value()) end.trailers = std::move(trailers_);
  Tell(end);
}

void ClientCall::EndWithReset(uint32_t http2_error) {
  const char* what =
      reset_by_server ? "the server reset the call" : "the server broke HTTP/2's rules in the call";
  // RFC 9113, 8.7: the server has not looked at a stream that it refuses in this way, by itself or
  // with GOAWAY.
  if (http2_error == NGHTTP2_REFUSED_STREAM) {
    sent = false;
    what = "the server did not begin the call";
  }
  Finish(MakeStatus(CodeOfHttp2Error(http2_error), "{}: {}", what,
                    nghttp2_http2_strerror(http2_error)));
}

void ClientCall::Tell(const CallEnd& end) {
  if (std::exchange(finished_, true)) return;
  if (deadlines != nullptr) deadlines->Remove(deadline, deadline_id);
  request.Drop();
  if (exchange != nullptr) {
    exchange->OnEnd(end);
    exchange.reset();
  } else if (unary_done != nullptr) {
    unary_done(end, end.status.ok() ? std::string_view(message_) : std::string_view());
  } else {
    stream_done(end);
  }
  cutter_.Drop();
}

}  // namespace mokv::rpc
