// Responder: the right to answer one call, from any thread, once.
//
// What the client no longer waits for (cancelled, deadline passed, connection gone) is dropped
// silently. Destroyed unused, it answers INTERNAL. Answers to one I/O thread's calls that come
// together cost that thread one wake-up.
//
// Threads: a value that moves between threads; StreamWaker is copied, and thread-safe.
// Owner:   the handler's code. The server that made it must outlive it; its call need not.
#pragma once

#include <absl/status/status.h>

#include <memory>
#include <string>
#include <utility>

#include "rpc/completion.h"
#include "rpc/metadata.h"

namespace mokv::rpc {

class Responder {
 public:
  Responder(CompletionSink& sink, CallId call) : sink_(&sink), call_(call) {}
  ~Responder();
  Responder(Responder&& other) noexcept
      : sink_(std::exchange(other.sink_, nullptr)), call_(other.call_) {}
  Responder& operator=(Responder&& other) = delete;

  void Finish(std::string message);
  // `status` must not be OK. The trailers go with it.
  void Fail(absl::Status status, Metadata trailers = {});

 private:
  friend class StreamResponder;
  void Post(Completion completion);

  CompletionSink* sink_;  // Null once used.
  CallId call_;
};

// Tells a stream whose source said kWait that it may have more. Outliving the call is harmless.
class StreamWaker {
 public:
  StreamWaker(CompletionSink& sink, CallId call) : sink_(&sink), call_(call) {}
  void Wake() const;

 private:
  CompletionSink* sink_;
  CallId call_;
};

// Responder of a server stream.
class StreamResponder {
 public:
  explicit StreamResponder(Responder responder) : responder_(std::move(responder)) {}
  void Start(std::unique_ptr<MessageSource> source);
  void Fail(absl::Status status, Metadata trailers = {}) {
    responder_.Fail(std::move(status), std::move(trailers));
  }

 private:
  Responder responder_;
};

}  // namespace mokv::rpc
