// ClientCall: one call of a client, from the queue to its end; and what a channel's user gives
// and is given. Internal to the engine, but for the options and the callbacks' types.
//
// Owner:   the channel while it waits for a connection or, after its answer, for room in its
//          exchange; in between the connection.
// Threads: made by any thread; confined to the channel's I/O thread from then on.
// Bounds:  answers: what MessageCutter says, and kMetadataBytesMax for each block of metadata.
#pragma once

#include <absl/functional/any_invocable.h>
#include <absl/status/status.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "net/address.h"
#include "net/tls.h"
#include "rpc/backoff.h"
#include "rpc/client_request.h"
#include "rpc/deadline_queue.h"
#include "rpc/message_cutter.h"
#include "rpc/message_sink.h"
#include "rpc/metadata.h"

namespace mokv::rpc {

// As gRPC's connectivity-semantics document has them.
enum class ChannelState {
  kIdle,        // The next call connects.
  kConnecting,  // Until the server has said its first word of HTTP/2.
  kReady,
  kTransientFailure,  // Connecting has failed; it will be tried again when Backoff says so.
  kShutDown,
};

struct ChannelOptions {
  net::HostPort target;
  std::shared_ptr<const net::TlsContext> tls;  // Null: clear text.
  Duration connect_timeout = std::chrono::seconds(5);
  BackoffOptions backoff;
  // Of one message, as it comes and uncompressed.
  uint64_t message_bytes_max = uint64_t{64} << 20;
  // Of all messages of one connection that are being put together. What HTTP/2's window does not hold back
  // would else be as many as there are calls, of a server that begins messages and ends none. Four of the
  // largest.
  uint64_t assembly_bytes_max = uint64_t{256} << 20;
  // Of one message that is sent, uncompressed. gRPC sets no limit here; its format has this one.
  uint64_t request_bytes_max = UINT32_MAX;
  // Beyond those that the server allows at a time.
  size_t calls_waiting_max = 10'000;
  // A connection that has had so many is replaced by another: HTTP/2 has no further numbers for its
  // streams.
  size_t calls_per_connection_max = size_t{1} << 30;
  // A server that has been silent for so long is sent a PING, and given up if it then stays silent
  // for the timeout. 0: never. Servers end connections with too many PINGs; gRPC's take one in five
  // minutes by default. Once told so, the channel doubles its time.
  Duration keepalive_idle{0};
  Duration keepalive_timeout = std::chrono::seconds(20);
  // PINGs also while there is no call.
  bool keepalive_without_calls = false;
  // Told of every change, on the I/O thread; of kShutDown when the channel is gone already. `reason` is
  // OK unless something has failed.
  std::function<void(ChannelState state, const absl::Status& reason)> on_state;
  // The clock of deadlines. It must outlive the channel's I/O thread.
  const Clock* clock = &SystemClock();
};

// Whether the server may have begun a call.
enum class Reached {
  // Certainly not: nothing that lets a server begin it has left (of Call and CallStream the message,
  // of Open the headers), or the server said that it has not looked at it.
  kNo,
  kMaybe,  // Anything else, an answer too.
};

// How a call has ended.
struct CallEnd {
  absl::Status status;
  // What the server said beside the status, but for headers that gRPC uses itself; empty when the
  // status is not the server's.
  Metadata trailers;
  Reached reached = Reached::kNo;
};

// The response is only valid during the call, and empty unless the status is OK.
using UnaryDone = absl::AnyInvocable<void(const CallEnd& end, std::string_view response)>;
using OnMessage = absl::AnyInvocable<void(std::string_view message)>;
using StreamDone = absl::AnyInvocable<void(const CallEnd& end)>;

struct CallOptions {
  Duration timeout{0};  // 0: none.
  Metadata metadata;
  // Requests travel compressed, but for those that are too short or that the source says kNever of.
  // Without, none does: the server has to be told before the first.
  bool compress = false;
  // Waits for a connection as long as the timeout allows, however often connecting fails. Otherwise the
  // call ends with UNAVAILABLE at the first attempt that fails.
  bool wait_for_ready = false;
};

// Both sides of a client's call. Destroyed after OnEnd, on the I/O thread. Its functions may use the
// call's handle and the channel, and end both.
//
// End is called when the server has ended the call and all of its messages were taken, before OnEnd;
// not when the call was cut off. Messages that there was no room for are dropped when it is cut off.
class ClientExchange : public MessageExchange {
 public:
  // What the server has said before its first message. Not called when it has said nothing but the
  // end: that is all in CallEnd.
  virtual void OnLeading(const Metadata& leading) { (void)leading; }
  // The last call: nothing else is called after it.
  virtual void OnEnd(const CallEnd& end) = 0;
};

class ClientCall;
class ClientConnection;

// The channel as handles see it. Thread-safe. Internal to the engine.
class CallGate {
 public:
  virtual ~CallGate() = default;
  virtual void Cancel(std::weak_ptr<ClientCall> call) = 0;
  virtual void Wake(std::weak_ptr<ClientCall> call) = 0;
};

// A call that has been opened. Thread-safe, and harmless when the call or the channel is over.
class CallHandle {
 public:
  CallHandle() = default;  // Of no call.
  CallHandle(std::shared_ptr<CallGate> gate, std::weak_ptr<ClientCall> call)
      : gate_(std::move(gate)), call_(std::move(call)) {}

  // The call ends with CANCELLED, and the server is told.
  void Cancel() const;
  // A source that said kWait may have more, or a sink that had no room may have some.
  void Wake() const;

 private:
  std::shared_ptr<CallGate> gate_;
  std::weak_ptr<ClientCall> call_;
};

class ClientCall final : public std::enable_shared_from_this<ClientCall>, private MessageSink {
 public:
  // What is asked. Exactly one of the three kinds of receivers is set.
  std::string method;
  Metadata metadata;
  MonotonicTime deadline = MonotonicTime::Max();
  bool compress = false;
  bool wait_for_ready = false;
  ClientRequest request;
  UnaryDone unary_done;
  OnMessage on_message;  // With stream_done.
  StreamDone stream_done;
  std::unique_ptr<ClientExchange> exchange;

  // Where it is.
  ClientConnection* connection = nullptr;  // Null: the channel has it.
  int32_t stream = 0;
  DeadlineQueue<ClientCall*>* deadlines = nullptr;  // Null: not in there.
  uint64_t deadline_id = 0;
  size_t held_bytes = 0;  // Of the answer, by which its window has not grown yet.
  // What lets a server begin it may have left, to one that took it.
  bool sent = false;
  bool reset_by_server = false;
  std::atomic<bool> wake_posted{false};

  // A block of headers of the answer begins; `is_last`: the answer ends with it.
  void BeginHeaders(bool is_last);
  void TakeHeader(std::string_view name, std::string_view value);
  // A failure of these two is why the call has to end.
  absl::Status EndHeaders();
  // Bytes of the answer, and those that waited for room.
  MessageCutter::Result TakeData(std::string_view bytes, uint64_t message_bytes_max);
  // Whether a message was taken since the last time that this was asked.
  bool TookMessage() { return std::exchange(took_message_, false); }
  // Whether messages wait for room.
  bool blocked() const { return cutter_.blocked(); }
  // Of the message that is being put together.
  size_t assembly_bytes() const { return cutter_.assembly_bytes(); }

  // The server has ended its answer, all of which was taken.
  void EndWithAnswer();
  // Its stream was closed, with this error code of HTTP/2, before its answer was complete.
  void EndWithReset(uint32_t http2_error);
  // Ends the call for a reason on our side. Nothing when it has ended.
  void Finish(const absl::Status& status) { Tell({status, {}, reached()}); }

 private:
  Reached reached() const { return sent ? Reached::kMaybe : Reached::kNo; }
  bool is_grpc() const;
  absl::Status AnswerStatus() const;
  absl::Status NoGrpcStatus() const;
  // The first time only.
  void Tell(const CallEnd& end);
  bool HasRoom() const override { return exchange == nullptr || exchange->HasRoom(); }
  void Take(const ReceivedMessage& message) override;

  std::string http_status_;
  std::string content_type_;
  std::optional<Encoding> encoding_ = Encoding::kIdentity;  // Nothing: one that we do not know.
  std::optional<absl::StatusCode> grpc_status_;
  std::string grpc_message_;
  Metadata leading_;
  Metadata trailers_;
  // Of the block of headers that is coming.
  bool is_leading_ = false;
  bool is_last_ = false;
  size_t metadata_bytes_ = 0;

  MessageCutter cutter_;
  bool took_message_ = false;
  size_t message_count_ = 0;
  std::string message_;    // The answer of a unary call.
  bool finished_ = false;  // Its end has been told.
};

}  // namespace mokv::rpc
