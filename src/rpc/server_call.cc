#include "rpc/server_call.h"

#include "base/check.h"
#include "base/status.h"
#include "rpc/grpc_wire.h"
#include "rpc/method.h"

namespace mokv::rpc {
namespace {

// A call that is kept for reuse keeps no larger buffer than this.
constexpr size_t kKeptBufferBytesMax = size_t{16} << 10;
// Messages of a stream are gathered up to this before HTTP/2 is given them.
constexpr size_t kStreamBatchBytes = size_t{16} << 10;

void ClearBuffer(std::string& buffer) {
  if (buffer.capacity() > kKeptBufferBytesMax) {
    buffer = std::string();
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
  const bool we_wait = state == State::kReceiving || (state == State::kAnswering && !source_waits);
  return we_wait && progress <= time;
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
  ClearBuffer(response);
  response_sent = 0;
  source.reset();
  source_waits = false;
  http_status = {};
  taken_bytes = 0;
  status = absl::OkStatus();
  trailers.clear();
  at_deadline = {};
  deadline_id = 0;
  request_bytes = 0;
  response_bytes = 0;
  note.reset();
  previous = nullptr;
  next = nullptr;
}

void ServerCall::FrameResponse() {
  MOKV_CHECK_GE(response.size(), kMessagePrefixBytes);
  response_bytes = response.size() - kMessagePrefixBytes;
  WriteMessagePrefix(static_cast<uint32_t>(response_bytes), response.data());
}

void ServerCall::FillFromSource() {
  response.clear();
  response_sent = 0;
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
        source.reset();
      }
      return;
    }
    const size_t message_bytes = response.size() - start - kMessagePrefixBytes;
    WriteMessagePrefix(static_cast<uint32_t>(message_bytes), response.data() + start);
    response_bytes += message_bytes;
  }
}

}  // namespace mokv::rpc
