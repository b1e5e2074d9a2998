#include "rpc/method.h"

#include <utility>

#include "base/check.h"
#include "rpc/server_connection.h"
#include "rpc/server_thread.h"

namespace mokv::rpc {

Responder::Responder(ServerThread& thread, uint64_t connection, int32_t stream)
    : thread_(&thread), connection_(connection), stream_(stream) {}

Responder::Responder(Responder&& other) noexcept
    : thread_(std::exchange(other.thread_, nullptr)),
      connection_(other.connection_),
      stream_(other.stream_) {}

Responder::~Responder() {
  if (thread_ != nullptr) Fail(absl::InternalError("the handler gave no answer"));
}

void Responder::Finish(std::string message) {
  MOKV_CHECK(thread_ != nullptr);
  Completion completion;
  completion.connection = connection_;
  completion.stream = stream_;
  completion.message = std::move(message);
  std::exchange(thread_, nullptr)->Complete(std::move(completion));
}

void Responder::Fail(absl::Status status) {
  MOKV_CHECK(thread_ != nullptr);
  MOKV_CHECK(!status.ok());
  Completion completion;
  completion.connection = connection_;
  completion.stream = stream_;
  completion.status = std::move(status);
  std::exchange(thread_, nullptr)->Complete(std::move(completion));
}

void StreamWaker::Wake() const {
  Completion completion;
  completion.connection = connection_;
  completion.stream = stream_;
  completion.wake = true;
  thread_->Complete(std::move(completion));
}

void StreamResponder::Start(std::unique_ptr<MessageSource> source) {
  MOKV_CHECK(responder_.thread_ != nullptr);
  Completion completion;
  completion.connection = responder_.connection_;
  completion.stream = responder_.stream_;
  completion.source = std::move(source);
  std::exchange(responder_.thread_, nullptr)->Complete(std::move(completion));
}

std::string_view Call::request() const {
  return std::string_view(call_.request).substr(kMessagePrefixBytes);
}
std::string_view Call::subject() const { return call_.connection->subject(); }
std::string_view Call::peer_address() const { return call_.connection->peer_address(); }
MonotonicTime Call::received() const { return call_.received; }
MonotonicTime Call::deadline() const { return call_.deadline; }
size_t Call::io_thread() const { return call_.connection->thread().io().index(); }

std::string_view Call::metadata(std::string_view name) const {
  for (const auto& [key, value] : call_.head.metadata) {
    if (key == name) return value;
  }
  return {};
}

void Call::Fail(absl::Status status) {
  MOKV_CHECK(!status.ok());
  call_.connection->Fail(call_, std::move(status));
}

Responder Call::DeferCall(std::string_view at_deadline) {
  call_.deadline_message = at_deadline;
  call_.connection->Defer(call_);
  return Responder(call_.connection->thread(), call_.connection->id(), call_.stream);
}

std::string& UnaryCall::response() {
  if (call_.response.empty()) call_.response.resize(kMessagePrefixBytes);
  return call_.response;
}

void UnaryCall::Finish() {
  response();  // An empty message still has its prefix.
  call_.connection->FinishUnary(call_);
}

void ServerStreamCall::Start(std::unique_ptr<MessageSource> source) {
  call_.connection->StartStream(call_, std::move(source));
}

StreamWaker ServerStreamCall::waker() const {
  return StreamWaker(call_.connection->thread(), call_.connection->id(), call_.stream);
}

}  // namespace mokv::rpc
