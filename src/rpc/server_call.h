// ServerCall: one call of a server connection, from its first header to its last byte. Internal to
// the engine; handlers see it through Call (call.h).
//
// Owner:   its ServerConnection, which keeps finished ones for reuse.
// Threads: confined to its I/O thread.
#pragma once

#include <absl/status/status.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/executor.h"
#include "rpc/answer_budget.h"
#include "rpc/completion.h"
#include "rpc/message_counter.h"
#include "rpc/message_cutter.h"
#include "rpc/message_sink.h"
#include "rpc/metadata.h"
#include "rpc/method.h"
#include "rpc/request_head.h"
#include "rpc/server_telemetry.h"

namespace mokv::rpc {

// What the calls of one connection have in common, for their handlers. The connection owns it, and
// it is valid as long as the connection is.
struct CallOrigin {
  const Clock& clock;
  CompletionSink& sink;
  uint64_t connection;
  size_t io_thread;  // Its index.
  const std::string& subject;
  const std::string& peer_address;
  // Streams whose sinks had no room, and whose sources have been asked since.
  std::vector<int32_t>& sinks_to_ask;
  AnswerBudget& answers;
  // Of ServerOptions.
  uint64_t response_message_bytes_max;
};

// What a client must send of a message, or take of an answer, to count as doing so: the largest frame
// that everybody takes. One that moves a byte now and then would hold the call, and what it is made
// from, for ever.
inline constexpr size_t kProgressBytes = size_t{16} << 10;

class ServerCall {
 public:
  enum class State {
    kReceiving,  // The request is not complete.
    kHandling,   // The handler runs, and has said nothing yet.
    kDeferred,   // A responder is out.
    kAnswered,   // `response`, `source` or `status` is the answer; HTTP/2 has not been given it.
    kAnswering,  // The response is being sent, or produced.
  };

  explicit ServerCall(const CallOrigin& origin) : origin(origin) {}

  CallId id() const { return {origin.connection, stream}; }
  // What the handler has decided: kDeferred or kAnswered. CHECKs that it is the first time.
  void Decide(State decision);

  // Bytes of the request have come; they begin a message, or go on with one.
  void OnReceived(size_t bytes, bool begins, MonotonicTime now);
  // Whether the engine has waited for the client since then, and in vain.
  bool StalledSince(MonotonicTime time) const;
  // What is known of it now that it is over. Views of the call.
  CallRecord Record(MonotonicTime now) const;
  // Makes a finished call as good as new; keeps buffers unless they have grown large.
  void Reset();
  // Writes the prefix of a unary response, whose message stands behind the room for it. A message
  // that is too large becomes a failure.
  void FrameResponse();
  // Replaces a response that has left by the source's next messages, until it waits or ends.
  void FillFromSource();
  // Tells the handler, if it wants to know, that nobody waits for the answer any more.
  void Abandon();
  // Messages of the client go nowhere from now on.
  void DropSink();
  // Also its sink, if both are one exchange.
  void DropSource();
  bool takes_stream() const { return head.method != nullptr && head.method->takes_stream(); }

  const CallOrigin& origin;
  int32_t stream = 0;
  State state = State::kReceiving;

  RequestHead head;
  MonotonicTime received;
  MonotonicTime deadline = MonotonicTime::Max();

  // Prefix and message, as they come.
  std::string request;
  bool request_ended = false;
  bool request_was_compressed = false;

  MessageCounter messages;

  // Of a stream of requests, while its handler wants them.
  MessageSink* sink = nullptr;
  std::unique_ptr<MessageSink> own_sink;  // Null if it is the source's.
  MessageCutter cutter;
  bool sink_ended = false;

  // Framed messages that HTTP/2 has not taken yet begin at `response_sent`.
  std::string response;
  size_t response_sent = 0;
  std::unique_ptr<MessageSource> source;  // Of a server stream that may have more.
  bool source_waits = false;
  // Of a unary response; a source says it of each message.
  MessageCompression compression = MessageCompression::kAuto;
  bool response_is_compressed = false;
  bool response_ended = false;  // All of it has left.
  // The status of an answer in HTTP alone, to a client that does not speak gRPC; empty: gRPC's.
  std::string_view http_status;
  absl::Status status;
  Metadata leading;
  Metadata trailers;
  Task abandoned;
  DeadlineAnswer at_deadline;
  uint64_t deadline_id = 0;  // Among the thread's Deadlines; 0: none.
  uint64_t request_bytes = 0;
  uint64_t response_bytes = 0;
  std::unique_ptr<const CallNote> note;

  // When its client last took kProgressBytes of the answer, or all that there was.
  MonotonicTime progress;
  size_t taken_bytes = 0;  // Since then.
  // When it began a message, or had sent kProgressBytes more of it.
  MonotonicTime request_progress;
  size_t received_bytes = 0;  // Since then.

  // List of the connection's open calls, which ServerCalls keeps.
  ServerCall* previous = nullptr;
  ServerCall* next = nullptr;

 private:
  // Makes a whole message of what stands in `response` behind the room for its prefix.
  absl::Status FrameMessage(size_t prefix_at, MessageCompression how);
};

}  // namespace mokv::rpc
