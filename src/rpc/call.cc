#include "rpc/call.h"

#include <utility>
#include <variant>

#include "base/check.h"
#include "rpc/grpc_wire.h"
#include "rpc/server_call.h"

namespace mokv::rpc {

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

std::vector<std::string> Call::metadata_values(std::string_view name) const {
  Metadata found;
  for (const auto& [key, value] : call_.head.metadata) {
    if (key == name) AppendFromWire(key, value, found);
  }
  std::vector<std::string> values;
  for (MetadataEntry& entry : found) values.push_back(std::move(entry.value));
  return values;
}

void Call::AddLeading(MetadataEntry entry) {
  call_.leading.push_back(std::move(entry));
  CheckMetadata(call_.leading);
}

void Call::AddTrailing(MetadataEntry entry) {
  call_.trailers.push_back(std::move(entry));
  CheckMetadata(call_.trailers);
}

void Call::WhenAbandoned(Task task) { call_.abandoned = std::move(task); }

void Call::Leave(std::unique_ptr<const CallNote> note) { call_.note = std::move(note); }

void Call::Fail(absl::Status status, Metadata trailers) {
  MOKV_CHECK(!status.ok());
  CheckMetadata(trailers);
  call_.Decide(ServerCall::State::kAnswered);
  call_.status = std::move(status);
  for (MetadataEntry& entry : trailers) call_.trailers.push_back(std::move(entry));
}

Responder Call::DeferCall(const DeadlineAnswer& at_deadline) {
  call_.Decide(ServerCall::State::kDeferred);
  call_.at_deadline = at_deadline;
  return Responder(call_.origin.sink, call_.id());
}

namespace {

std::string_view RequestOf(const ServerCall& call) {
  return std::string_view(call.request).substr(kMessagePrefixBytes);
}

}  // namespace

std::string_view UnaryCall::request() const { return RequestOf(call_); }
bool UnaryCall::request_was_compressed() const { return call_.request_was_compressed; }
void UnaryCall::set_compression(MessageCompression compression) { call_.compression = compression; }

std::string& UnaryCall::response() {
  if (call_.response.empty()) call_.response.resize(kMessagePrefixBytes);
  return call_.response;
}

void UnaryCall::Finish() {
  call_.Decide(ServerCall::State::kAnswered);
  response();  // An empty message still has its prefix.
}

std::string_view ServerStreamCall::request() const { return RequestOf(call_); }
bool ServerStreamCall::request_was_compressed() const { return call_.request_was_compressed; }

void ServerStreamCall::Start(std::unique_ptr<MessageSource> source) {
  MOKV_CHECK(source != nullptr);
  call_.Decide(ServerCall::State::kAnswered);
  call_.source = std::move(source);
}

StreamWaker ServerStreamCall::waker() const { return StreamWaker(call_.origin.sink, call_.id()); }

void ClientStreamCall::set_compression(MessageCompression compression) {
  call_.compression = compression;
}

void ClientStreamCall::Start(std::unique_ptr<MessageSink> sink) {
  MOKV_CHECK(sink != nullptr && call_.sink == nullptr);
  MOKV_CHECK(call_.state == ServerCall::State::kDeferred);
  call_.sink = sink.get();
  call_.own_sink = std::move(sink);
}

StreamWaker ClientStreamCall::waker() const { return StreamWaker(call_.origin.sink, call_.id()); }

void BidiCall::Start(std::unique_ptr<MessageExchange> exchange) {
  MOKV_CHECK(exchange != nullptr);
  call_.Decide(ServerCall::State::kAnswered);
  call_.sink = exchange.get();
  call_.source = std::move(exchange);
}

StreamWaker BidiCall::waker() const { return StreamWaker(call_.origin.sink, call_.id()); }

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
  void operator()(const ClientStreamHandler& handler) const {
    ClientStreamCall stream(call);
    handler(stream);
    // Messages that go nowhere would leave the client without an answer for ever.
    MOKV_CHECK(call.state != ServerCall::State::kDeferred || call.sink != nullptr);
  }
  void operator()(const BidiHandler& handler) const {
    BidiCall stream(call);
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
