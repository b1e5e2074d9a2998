#include "rpc/server_receiver.h"

#include <optional>
#include <utility>
#include <variant>

#include "base/status.h"
#include "rpc/compression.h"
#include "rpc/grpc_wire.h"
#include "rpc/method.h"

namespace mokv::rpc {
namespace {

static_assert(std::variant_size_v<decltype(Method::handler)> == 4,
              "a new kind of method: say here what it wants of its request");

ServerReceiver::Next Refuse(ServerCall& call, absl::Status status) {
  call.status = std::move(status);
  return ServerReceiver::Next::kRefuse;
}

// RESOURCE_EXHAUSTED as soon as `received`, the beginning of a request, shows that the whole would
// be over the limit.
absl::Status CheckSize(std::string_view received, uint64_t message_bytes_max) {
  if (received.size() >= kMessagePrefixBytes) {
    const MessagePrefix prefix = ParseMessagePrefix(received);
    if (prefix.size_bytes > message_bytes_max) {
      return ResourceExhausted("message of {} bytes is over the limit of {}", prefix.size_bytes,
                               message_bytes_max);
    }
  }
  if (received.size() > message_bytes_max + kMessagePrefixBytes) {
    return ResourceExhausted("more than one message, over the limit of {} bytes",
                             message_bytes_max);
  }
  return absl::OkStatus();
}

// OK when `request` is exactly one message.
absl::Status CheckMessage(std::string_view request) {
  // gRPC's own table of status codes has UNIMPLEMENTED for a number of messages that the method
  // does not take: most likely the client believes that the method is of another kind.
  if (request.empty()) return absl::UnimplementedError("the request holds no message");
  if (request.size() < kMessagePrefixBytes) {
    return absl::InternalError("the request's message is cut off");
  }
  const MessagePrefix prefix = ParseMessagePrefix(request);
  const uint64_t rest = request.size() - kMessagePrefixBytes;
  if (rest < prefix.size_bytes) return absl::InternalError("the request's message is cut off");
  if (rest > prefix.size_bytes) {
    return absl::UnimplementedError("the request holds more than one message");
  }
  return absl::OkStatus();
}

// The last question before the handler.
ServerReceiver::Next CheckDeadline(ServerCall& call, MonotonicTime now) {
  if (call.deadline > now) return ServerReceiver::Next::kHandle;
  return Refuse(call, absl::DeadlineExceededError("deadline passed on arrival; nothing was done"));
}

// Replaces a compressed message by what it holds.
absl::Status Uncompress(ServerCall& call, uint64_t message_bytes_max, UncompressedCost* cost) {
  if (!ParseMessagePrefix(call.request).compressed) return absl::OkStatus();
  if (call.head.encoding == Encoding::kIdentity) {
    return absl::InternalError("a message is compressed, and grpc-encoding is not set");
  }
  std::string plain(kMessagePrefixBytes, '\0');
  const std::string_view message = std::string_view(call.request).substr(kMessagePrefixBytes);
  if (absl::Status status = Gunzip(message, message_bytes_max, &plain, cost); !status.ok()) {
    return status;
  }
  WriteMessagePrefix(static_cast<uint32_t>(plain.size() - kMessagePrefixBytes), plain.data());
  call.request = std::move(plain);
  call.request_was_compressed = true;
  return absl::OkStatus();
}

}  // namespace

ServerReceiver::Next ServerReceiver::OnHead(ServerCall& call) {
  if (call.head.timeout.has_value()) call.deadline = call.received + *call.head.timeout;
  std::optional<HeadRefusal> refusal = CheckHead(call.head, options_);
  if (!refusal.has_value()) {
    if (!call.takes_stream()) return Next::kWait;
    return CheckDeadline(call, call.received);
  }
  if (refusal->http_status == "200") return Refuse(call, std::move(refusal->status));
  // Answered once the request has ended: not every client reads before that.
  call.status = std::move(refusal->status);
  call.http_status = refusal->http_status;
  return Next::kWait;
}

ServerReceiver::Next ServerReceiver::OnData(ServerCall& call, std::string_view bytes,
                                            MonotonicTime now) {
  // Answered already, with an error, or going to be.
  const bool unwanted = call.state != ServerCall::State::kReceiving || !call.http_status.empty();
  call.OnReceived(bytes.size(), !unwanted && call.request.empty(), now);
  if (unwanted) return Next::kWait;
  call.request += bytes;
  assembly_bytes_ += bytes.size();
  if (absl::Status status = CheckSize(call.request, options_.message_bytes_max); !status.ok()) {
    return Refuse(call, std::move(status));
  }
  if (assembly_bytes_ > options_.assembly_bytes_max) {
    return Refuse(
        call, ResourceExhausted("requests in assembly on this connection are over the limit of {}",
                                options_.assembly_bytes_max));
  }
  return Next::kWait;
}

ServerReceiver::Next ServerReceiver::OnEnd(ServerCall& call, MonotonicTime now) {
  call.request_ended = true;
  assembly_bytes_ -= call.request.size();
  if (call.state != ServerCall::State::kReceiving) return Next::kWait;
  if (!call.http_status.empty()) return Next::kRefuse;
  if (absl::Status status = CheckMessage(call.request); !status.ok()) {
    return Refuse(call, std::move(status));
  }
  if (absl::Status status = Uncompress(call, options_.message_bytes_max, &uncompressed_);
      !status.ok()) {
    return Refuse(call, std::move(status));
  }
  call.request_bytes = call.request.size() - kMessagePrefixBytes;
  return CheckDeadline(call, now);
}

void ServerReceiver::OnClose(const ServerCall& call) {
  if (!call.request_ended) assembly_bytes_ -= call.request.size();
}

}  // namespace mokv::rpc
