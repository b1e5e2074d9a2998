// What a handler of the RPC server sees of a call, and how it answers: at once on the I/O thread,
// or later from any thread.
//
// Threads: a Call exists during its handler only, on the call's I/O thread.
// Errors:  to answer twice, or to answer a call that was deferred, is our own bug (CHECK). A
//          handler that neither answers nor defers has answered INTERNAL.
#pragma once

#include <absl/status/status.h>

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/executor.h"
#include "rpc/completion.h"
#include "rpc/message_sink.h"
#include "rpc/message_source.h"
#include "rpc/metadata.h"
#include "rpc/method.h"
#include "rpc/responder.h"
#include "rpc/server_telemetry.h"

namespace mokv::rpc {

class ServerCall;

// The handler answers exactly once: with one of the functions of the derived classes or Fail, or
// through the responder that Defer returns. An answer leaves when the handler has returned.
class Call {
 public:
  explicit Call(ServerCall& call) : call_(call) {}

  // Common name of the client's certificate; empty in clear text.
  std::string_view subject() const;
  std::string_view peer_address() const;
  // First value of a request header that gRPC itself does not use, as it came over the wire; empty
  // when missing.
  std::string_view metadata(std::string_view name) const;
  // All values of one, binary ones decoded.
  std::vector<std::string> metadata_values(std::string_view name) const;
  MonotonicTime received() const;
  // MonotonicTime::Max() without one.
  MonotonicTime deadline() const;
  // Index of the I/O thread in its pool.
  size_t io_thread() const;

  // For CallRecord::note, instead of an earlier one.
  void Leave(std::unique_ptr<const CallNote> note);

  // To be sent before the first message, and behind the last or with a failure. The entry must be
  // one (IsMetadata).
  void AddLeading(MetadataEntry entry);
  void AddTrailing(MetadataEntry entry);

  // `task` runs on the I/O thread should the client be gone (cancelled, deadline passed, connection
  // lost), or have broken the rules of its stream, before the call has all of its answer. Instead of an
  // earlier one.
  void WhenAbandoned(Task task);

  // `status` must not be OK. The trailers go with it.
  void Fail(absl::Status status, Metadata trailers = {});

 protected:
  Responder DeferCall(const DeadlineAnswer& at_deadline);
  ServerCall& call_;
};

class UnaryCall final : public Call {
 public:
  using Call::Call;
  // The request message's bytes.
  std::string_view request() const;
  bool request_was_compressed() const;
  // Of the response.
  void set_compression(MessageCompression compression);
  // Where the response message is to be appended before Finish.
  std::string& response();
  void Finish();
  // `at_deadline` is what the client hears should nobody answer in time. (A write says `outcome
  // unknown`.)
  Responder Defer(const DeadlineAnswer& at_deadline = {}) { return DeferCall(at_deadline); }
};

class ServerStreamCall final : public Call {
 public:
  using Call::Call;
  // As UnaryCall's.
  std::string_view request() const;
  bool request_was_compressed() const;
  void Start(std::unique_ptr<MessageSource> source);
  StreamWaker waker() const;
  // As UnaryCall's.
  StreamResponder Defer(const DeadlineAnswer& at_deadline = {}) {
    return StreamResponder(DeferCall(at_deadline));
  }
};

class ClientStreamCall final : public Call {
 public:
  using Call::Call;
  // Of the response.
  void set_compression(MessageCompression compression);
  // The answer comes from the responder, which most often is the sink's, when all messages are
  // there. An earlier one is fine as well: the client is told to send no more.
  Responder Defer(const DeadlineAnswer& at_deadline = {}) { return DeferCall(at_deadline); }
  // After Defer: where the messages go.
  void Start(std::unique_ptr<MessageSink> sink);
  StreamWaker waker() const;
};

class BidiCall final : public Call {
 public:
  using Call::Call;
  // The call ends when the exchange's Produce says so, whether the client has sent all or not.
  void Start(std::unique_ptr<MessageExchange> exchange);
  StreamWaker waker() const;
};

// Runs the handler of the call's method. Internal to the engine.
void RunHandler(ServerCall& call);

}  // namespace mokv::rpc
