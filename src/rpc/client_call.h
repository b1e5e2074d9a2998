// ClientCall: one call of a client, from the queue to its end; and what a channel's user gives
// and is given. Internal to the engine, but for the options and the callbacks' types.
//
// Owner:   the channel while it waits for a connection, then the connection.
// Threads: made by any thread; confined to the channel's I/O thread from then on.
#pragma once

#include <absl/functional/any_invocable.h>
#include <absl/status/status.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "net/address.h"
#include "net/io_pool.h"
#include "net/tls.h"
#include "rpc/message_sink.h"
#include "rpc/metadata.h"

namespace mokv::rpc {

struct ChannelOptions {
  net::HostPort target;
  std::shared_ptr<const net::TlsContext> tls;  // Null: clear text.
  Duration connect_timeout = std::chrono::seconds(5);
  uint64_t message_bytes_max = uint64_t{64} << 20;
  // Beyond those that the server allows at a time.
  size_t calls_waiting_max = 10'000;
  // The clock of deadlines. It must outlive the channel's I/O thread.
  const Clock* clock = &SystemClock();
};

// Whether the server may have begun a call.
enum class Reached {
  kNo,     // Certainly not: nothing of its message has left, or the server said that it took none.
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
  // Requests of MessageCompression::kAuto travel compressed.
  bool compress = false;
  // Waits for a connection as long as the timeout allows, however often connecting fails. Otherwise the
  // call ends with UNAVAILABLE at the first attempt that fails.
  bool wait_for_ready = false;
};

// Both sides of a client's call. Destroyed after OnEnd, on the I/O thread.
class ClientExchange : public MessageExchange {
 public:
  // What the server has said before its first message, or before the end.
  virtual void OnLeading(const Metadata& leading) { (void)leading; }
  // The last call: nothing else is called after it.
  virtual void OnEnd(const CallEnd& end) = 0;
};

// A call that has been opened. Thread-safe, and harmless when the call or the channel is over.
class CallHandle {
 public:
  // The call ends with CANCELLED, and the server is told.
  void Cancel() const;
  // A source that said kWait may have more, or a sink that had no room may have some.
  void Wake() const;
};

struct ClientCall {
  std::string method;
  std::string request;  // With its prefix.
  size_t request_sent = 0;
  MonotonicTime deadline = MonotonicTime::Max();
  OnMessage on_message;  // Null for a unary call.
  UnaryDone unary_done;
  StreamDone stream_done;

  int32_t stream = 0;
  bool sent = false;  // Bytes of its message may have left, to a server that took them.
  std::string response;
  std::string http_status;
  std::optional<absl::StatusCode> grpc_status;
  std::string grpc_message;
  Metadata trailers;
  size_t trailer_bytes = 0;
  bool has_message = false;  // Unary: `message` is complete.
  std::string message;
  absl::Status failure;  // Ours, which overrules the server's.
  std::unique_ptr<net::Timer> timer;
  bool finished = false;  // Its end has been told.

  // A header or trailer of the answer; `is_last`: of the block that ends it.
  void TakeHeader(std::string_view name, std::string_view value, bool is_last);
  // Bytes of the answer. A failure is why the call has to end.
  absl::Status TakeData(std::string_view bytes, uint64_t message_bytes_max);
  // Its stream was closed, with this error code of HTTP/2: tells what has become of the call.
  void End(uint32_t http2_error);
  // Ends the call for a reason on our side.
  void Finish(const absl::Status& status) { Tell({status, {}, reached()}); }

 private:
  Reached reached() const { return sent ? Reached::kMaybe : Reached::kNo; }
  absl::Status EndStatus(uint32_t http2_error) const;
  // The first time only.
  void Tell(const CallEnd& end);
};

}  // namespace mokv::rpc
