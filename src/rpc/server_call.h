// ServerCall: one call of a server connection, from its first header to its last byte. Internal to
// the engine; handlers see it through Call (method.h).
//
// Owner:   its ServerConnection, which keeps finished ones for reuse.
// Threads: confined to its I/O thread.
#pragma once

#include <string>
#include <string_view>

#include "base/clock.h"
#include "rpc/grpc_wire.h"
#include "rpc/method.h"
#include "rpc/server_request.h"

namespace mokv::rpc {

class ServerConnection;

struct Method {
  std::string path;
  size_t index = 0;
  // Exactly one is set.
  UnaryHandler unary;
  ServerStreamHandler server_stream;
};

class ServerCall {
 public:
  enum class State {
    kReceiving,  // The request is not complete.
    kDeferred,   // A responder is out, or the handler runs.
    kAnswering,  // The response is being sent, or produced.
  };

  explicit ServerCall(ServerConnection& connection) : connection(&connection) {}

  // Makes a finished call as good as new; keeps buffers unless they have grown large.
  void Reset();
  // Writes the prefix of a unary response, whose message stands behind the room for it.
  void FrameResponse();
  // Replaces a response that has left by the source's next messages, until it waits or ends.
  void FillFromSource();

  ServerConnection* connection;
  int32_t stream = 0;
  State state = State::kReceiving;

  RequestHead head;
  MonotonicTime received;
  MonotonicTime deadline = MonotonicTime::Max();

  // Prefix and message, as they come.
  std::string request;
  bool request_ended = false;

  // Framed messages that HTTP/2 has not taken yet begin at `response_sent`.
  std::string response;
  size_t response_sent = 0;
  std::unique_ptr<MessageSource> source;  // Of a server stream that may have more.
  bool source_waits = false;
  bool trailers_submitted = false;
  // The status of an answer in HTTP alone, to a client that does not speak gRPC; empty: gRPC's.
  std::string_view http_status;
  absl::Status status;
  std::string_view deadline_message;
  uint64_t deadline_id = 0;  // In the thread's queue; 0: none.
  uint64_t request_bytes = 0;
  uint64_t response_bytes = 0;

  // When its client last sent something, or took kProgressBytes or all that there was.
  MonotonicTime progress;
  size_t taken_bytes = 0;  // Since then.

  // List of the connection's open calls.
  ServerCall* previous = nullptr;
  ServerCall* next = nullptr;
};

}  // namespace mokv::rpc
