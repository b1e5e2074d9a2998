#include "rpc/call.h"

#include <utility>
#include <variant>

#include "base/check.h"
#include "rpc/grpc_wire.h"
#include "rpc/server_call.h"

namespace mokv::rpc {

std::string_view Call::request() const {
  return std::string_view(call_.request).substr(kMessagePrefixBytes);
}
std::string_view Call::subject() const { return call_.origin.subject; }
std::string_view Call::peer_address() const { return call_.origin.peer_address; }
MonotonicTime Call::received() const { return call_.received; }
MonotonicTime Call::deadline() const { return call_.deadline; }
size_t Call::io_thread() const { return call_.origin.io_thread; }

std::string_view Call::metadata(std::string_view name) const {
  for (const auto& [key, value] : call_.head.metadata) {
    if (key == name) return value;
  }
  return {};
}

void Call::Leave(std::unique_ptr<const CallNote> note) { call_.note = std::move(note); }

void Call::Fail(absl::Status status, Metadata trailers) {
  MOKV_CHECK(!status.ok());
  CheckMetadata(trailers);
  call_.Decide(ServerCall::State::kAnswered);
  call_.status = std::move(status);
  call_.trailers = std::move(trailers);
}

Responder Call::DeferCall(const DeadlineAnswer& at_deadline) {
  call_.Decide(ServerCall::State::kDeferred);
  call_.at_deadline = at_deadline;
  return Responder(call_.origin.sink, call_.id());
}

std::string& UnaryCall::response() {
  if (call_.response.empty()) call_.response.resize(kMessagePrefixBytes);
  return call_.response;
}

void UnaryCall::Finish() {
  call_.Decide(ServerCall::State::kAnswered);
  response();  // An empty message still has its prefix.
}

void ServerStreamCall::Start(std::unique_ptr<MessageSource> source) {
  MOKV_CHECK(source != nullptr);
  call_.Decide(ServerCall::State::kAnswered);
  call_.source = std::move(source);
}

StreamWaker ServerStreamCall::waker() const { return StreamWaker(call_.origin.sink, call_.id()); }

namespace {

// One function for each kind of method.
struct Runner {
  void operator()(const UnaryHandler& handler) const {
    UnaryCall unary(call);
    handler(unary);
  }
  void operator()(const ServerStreamHandler& handler) const {
    ServerStreamCall stream(call);
    handler(stream);
  }
  ServerCall& call;
};

}  // namespace

void RunHandler(ServerCall& call) {
  call.state = ServerCall::State::kHandling;
  std::visit(Runner{call}, call.head.method->handler);
  if (call.state == ServerCall::State::kHandling) {
    call.state = ServerCall::State::kAnswered;
    call.status = absl::InternalError("the handler gave no answer");
  }
}

}  // namespace mokv::rpc
