#include "rpc/server_call.h"

#include <utility>

#include "base/check.h"
#include "base/give_back.h"
#include "base/status.h"
#include "rpc/compression.h"
#include "rpc/grpc_wire.h"

namespace mokv::rpc {
namespace {

// A call that is kept for reuse keeps no larger buffer than this.
constexpr size_t kKeptBufferBytesMax = size_t{16} << 10;
// Messages of a stream are gathered up to this before HTTP/2 is given them.
constexpr size_t kStreamBatchBytes = size_t{16} << 10;

void ClearBuffer(std::string& buffer) {
  if (buffer.capacity() > kKeptBufferBytesMax) {
    GiveBack(buffer);
  } else {
    buffer.clear();
  }
}

}  // namespace

void ServerCall::Decide(State decision) {
  MOKV_CHECK(state == State::kHandling);
  state = decision;
}

bool ServerCall::StalledSince(MonotonicTime time) const {
  // The client of a stream may be silent for as long as it likes, but not within a message.
  const bool owes_message = sink != nullptr && !cutter.empty() && !cutter.blocked();
  if ((state == State::kReceiving || owes_message) && request_progress <= time) return true;
  // Nor need it take anything while its source has nothing for it.
  const bool owes_nothing = source_waits && response_sent == response.size();
  return state == State::kAnswering && !owes_nothing && progress <= time;
}

void ServerCall::OnReceived(size_t bytes, bool begins, MonotonicTime now) {
  received_bytes += bytes;
  if (!begins && received_bytes < kProgressBytes) return;
  request_progress = now;
  received_bytes = 0;
}

CallRecord ServerCall::Record(MonotonicTime now) const {
  CallRecord record;
  record.io_thread = origin.io_thread;
  record.method = head.method != nullptr ? head.method->index : kUnknownMethod;
  record.path = head.method != nullptr ? std::string_view(head.method->path) : head.path;
  record.subject = origin.subject;
  record.peer_address = origin.peer_address;
  record.code = status.code();
  record.message = MessageOf(status);
  record.duration = now - received;
  record.request_bytes = request_bytes;
  record.response_bytes = response_bytes;
  record.note = note.get();
  return record;
}

void ServerCall::Reset() {
  stream = 0;
  state = State::kReceiving;
  head.Reset();
  deadline = MonotonicTime::Max();
  ClearBuffer(request);
  request_ended = false;
  request_was_compressed = false;
  messages = {};
  DropSink();
  cutter.Drop();
  sink_ended = false;
  ClearBuffer(response);
  response_sent = 0;
  source.reset();
  source_waits = false;
  compression = MessageCompression::kAuto;
  response_is_compressed = false;
  response_ended = false;
  http_status = {};
  taken_bytes = 0;
  received_bytes = 0;
  status = absl::OkStatus();
  leading.clear();
  trailers.clear();
  abandoned = nullptr;
  at_deadline = {};
  deadline_id = 0;
  request_bytes = 0;
  response_bytes = 0;
  note.reset();
  previous = nullptr;
  next = nullptr;
}

void ServerCall::Abandon() {
  if (abandoned != nullptr) std::exchange(abandoned, nullptr)();
}

void ServerCall::DropSink() {
  sink = nullptr;
  own_sink.reset();
}

void ServerCall::DropSource() {
  if (own_sink == nullptr) sink = nullptr;
  source.reset();
}

absl::Status ServerCall::FrameMessage(size_t prefix_at, MessageCompression how) {
  const std::string_view message =
      std::string_view(response).substr(prefix_at + kMessagePrefixBytes);
  const size_t size_bytes = message.size();
  if (size_bytes > origin.response_message_bytes_max) {
    return ResourceExhausted("the answer's message of {} bytes is over the limit of {}", size_bytes,
                             origin.response_message_bytes_max);
  }
  response_bytes += size_bytes;
  const bool client_compresses = head.encoding == Encoding::kGzip;
  const bool compress =
      head.accepts_gzip && (how == MessageCompression::kAlways ||
                            (how == MessageCompression::kAuto && client_compresses &&
                             size_bytes >= kCompressedBytesMin));
  if (!compress) {
    WriteMessagePrefix(static_cast<uint32_t>(size_bytes), response.data() + prefix_at);
    return absl::OkStatus();
  }
  std::string compressed;
  Gzip(message, &compressed);
  response.replace(prefix_at + kMessagePrefixBytes, size_bytes, compressed);
  WriteMessagePrefix(static_cast<uint32_t>(compressed.size()), response.data() + prefix_at);
  response[prefix_at] = 1;
  response_is_compressed = true;
  return absl::OkStatus();
}

void ServerCall::FrameResponse() {
  MOKV_CHECK_GE(response.size(), kMessagePrefixBytes);
  status = FrameMessage(0, compression);
}

void ServerCall::FillFromSource() {
  response.clear();
  response_sent = 0;
  if (sink != nullptr && cutter.blocked()) origin.sinks_to_ask.push_back(stream);
  while (source != nullptr && !source_waits && response.size() < kStreamBatchBytes) {
    const size_t start = response.size();
    response.resize(start + kMessagePrefixBytes);
    const MessageSource::Next next_message = source->Produce(&response);
    if (next_message != MessageSource::Next::kMessage) {
      response.resize(start);
      if (next_message == MessageSource::Next::kWait) {
        source_waits = true;
      } else {
        status = source->status();
        for (MetadataEntry& entry : source->trailers()) trailers.push_back(std::move(entry));
        CheckMetadata(trailers);
        DropSource();
      }
      return;
    }
    status = FrameMessage(start, source->compression());
    if (!status.ok()) {
      response.resize(start);
      DropSource();
    }
  }
}

}  // namespace mokv::rpc
