// Completion: an answer to a call, or a part of one, on its way from any thread to the call's I/O
// thread. Internal to the engine: handlers answer through a Responder.
#pragma once

#include <absl/status/status.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "rpc/message_source.h"
#include "rpc/metadata.h"

namespace mokv::rpc {

// Names a call among those of one I/O thread, also when it is over: a connection's number is never
// given to another, and a stream's is HTTP/2's.
struct CallId {
  uint64_t connection = 0;
  int32_t stream = 0;
};

// What the client of a call hears, as DEADLINE_EXCEEDED, should its deadline pass before the
// handler that deferred it has answered. Views of literals: the call keeps them as they are.
struct DeadlineAnswer {
  std::string_view message = "deadline exceeded";
  std::string_view trailer_name = {};  // Empty: none.
  std::string_view trailer_value = {};
};

struct Completion {
  CallId call;
  bool wake = false;    // Nothing but "ask the source again".
  absl::Status status;  // Not OK: the call fails, with `trailers`, and nothing below counts.
  Metadata trailers;
  std::string message;                    // Of a unary call.
  std::unique_ptr<MessageSource> source;  // Of a server stream.
};

// Takes completions to an I/O thread. Thread-safe. It must outlive whoever may have one to post.
class CompletionSink {
 public:
  virtual ~CompletionSink() = default;
  // A completion for a call that is over, or has its answer, is dropped.
  virtual void Complete(Completion completion) = 0;
};

}  // namespace mokv::rpc
