#include "rpc/server_call.h"

namespace mokv::rpc {
namespace {

// A call that is kept for reuse keeps no larger buffer than this.
constexpr size_t kKeptBufferBytesMax = size_t{16} << 10;

void ClearBuffer(std::string& buffer) {
  if (buffer.capacity() > kKeptBufferBytesMax) {
    buffer = std::string();
  } else {
    buffer.clear();
  }
}

}  // namespace

void ServerCall::Reset() {
  stream = 0;
  state = State::kReceiving;
  method = nullptr;
  path.clear();
  is_post = false;
  is_grpc = false;
  bad_timeout = false;
  header_bytes = 0;
  metadata.clear();
  deadline = MonotonicTime::Max();
  ClearBuffer(request);
  request_ended = false;
  ClearBuffer(response);
  response_sent = 0;
  source.reset();
  source_waits = false;
  trailers_submitted = false;
  status = absl::OkStatus();
  deadline_message = {};
  deadline_id = 0;
  request_bytes = 0;
  response_bytes = 0;
  previous = nullptr;
  next = nullptr;
}

}  // namespace mokv::rpc
