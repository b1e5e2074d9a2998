// What a handler of the RPC server sees of a call, and how it answers: at once on the I/O thread,
// or later from any thread.
#pragma once

#include <absl/status/status.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/clock.h"

namespace mokv::rpc {

class ServerCall;
class ServerThread;

// The right to answer one call, from any thread, once. What the client no longer waits for
// (cancelled, deadline passed, connection gone) is dropped silently. Destroyed unused, it answers
// INTERNAL. Answers of one I/O thread's calls that come together cost it one wake-up.
class Responder {
 public:
  Responder(ServerThread& thread, uint64_t connection, int32_t stream);
  ~Responder();
  Responder(Responder&& other) noexcept;
  Responder& operator=(Responder&& other) = delete;

  void Finish(std::string message);
  void Fail(absl::Status status);

 private:
  friend class StreamResponder;
  ServerThread* thread_;  // Null once used.
  uint64_t connection_;
  int32_t stream_;
};

// Where the messages of a server stream come from. The engine pulls: it asks for the next message
// only when the client and the connection have room for it. Confined to the call's I/O thread,
// where it is also destroyed, at the latest when the call ends in whatever way.
class MessageSource {
 public:
  enum class Next {
    kMessage,  // One message was appended.
    kWait,     // None now; StreamWaker::Wake says when to ask again.
    kEnd,      // No more; the call ends with status().
  };
  virtual ~MessageSource() = default;
  // Appends the next message's bytes to `message`.
  virtual Next Produce(std::string* message) = 0;
  // After kEnd.
  virtual absl::Status status() const { return absl::OkStatus(); }
};

// Tells a stream whose source said kWait that it may have more. Copyable, thread-safe; outliving
// the call is harmless.
class StreamWaker {
 public:
  StreamWaker(ServerThread& thread, uint64_t connection, int32_t stream)
      : thread_(&thread), connection_(connection), stream_(stream) {}
  void Wake() const;

 private:
  ServerThread* thread_;
  uint64_t connection_;
  int32_t stream_;
};

// Responder of a server stream.
class StreamResponder {
 public:
  explicit StreamResponder(Responder responder) : responder_(std::move(responder)) {}
  void Start(std::unique_ptr<MessageSource> source);
  void Fail(absl::Status status) { responder_.Fail(std::move(status)); }

 private:
  Responder responder_;
};

// One call, during its handler only and on its I/O thread. The handler answers exactly once: with
// one of the functions of the derived classes, or through the responder that Defer returns.
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

  void Fail(absl::Status status);

 protected:
  Responder DeferCall(std::string_view at_deadline);
  ServerCall& call_;
};

class UnaryCall final : public Call {
 public:
  using Call::Call;
  // Where the response message is to be appended before Finish.
  std::string& response();
  void Finish();
  // `at_deadline` is the message of DEADLINE_EXCEEDED should nobody answer in time; it must be a
  // literal. (A write says `outcome unknown`.)
  Responder Defer(std::string_view at_deadline = "deadline exceeded") {
    return DeferCall(at_deadline);
  }
};

class ServerStreamCall final : public Call {
 public:
  using Call::Call;
  void Start(std::unique_ptr<MessageSource> source);
  StreamWaker waker() const;
  StreamResponder Defer(std::string_view at_deadline = "deadline exceeded") {
    return StreamResponder(DeferCall(at_deadline));
  }
};

using UnaryHandler = std::function<void(UnaryCall&)>;
using ServerStreamHandler = std::function<void(ServerStreamCall&)>;

}  // namespace mokv::rpc
