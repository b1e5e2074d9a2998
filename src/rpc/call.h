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

#include "base/clock.h"
#include "rpc/completion.h"
#include "rpc/message_source.h"
#include "rpc/method.h"
#include "rpc/responder.h"
#include "rpc/server_telemetry.h"
#include "rpc/trailers.h"

namespace mokv::rpc {

class ServerCall;

// The handler answers exactly once: with one of the functions of the derived classes or Fail, or
// through the responder that Defer returns. An answer leaves when the handler has returned.
class Call {
 public:
  explicit Call(ServerCall& call) : call_(call) {}

  // The request message's bytes.
  std::string_view request() const;
  // Common name of the client's certificate; empty in clear text.
  std::string_view subject() const;
  std::string_view peer_address() const;
  // First value of a request header that gRPC itself does not use; empty when missing.
  std::string_view metadata(std::string_view name) const;
  MonotonicTime received() const;
  // MonotonicTime::Max() without one.
  MonotonicTime deadline() const;
  // Index of the I/O thread in its pool.
  size_t io_thread() const;

  // For CallRecord::note, instead of an earlier one.
  void Leave(std::unique_ptr<const CallNote> note);

  // `status` must not be OK. The trailers go with it.
  void Fail(absl::Status status, Trailers trailers = {});

 protected:
  Responder DeferCall(const DeadlineAnswer& at_deadline);
  ServerCall& call_;
};

class UnaryCall final : public Call {
 public:
  using Call::Call;
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
  void Start(std::unique_ptr<MessageSource> source);
  StreamWaker waker() const;
  // As UnaryCall's.
  StreamResponder Defer(const DeadlineAnswer& at_deadline = {}) {
    return StreamResponder(DeferCall(at_deadline));
  }
};

// Runs the handler of the call's method. Internal to the engine.
void RunHandler(ServerCall& call);

}  // namespace mokv::rpc
