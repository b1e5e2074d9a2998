// ClientCall: one call of a client, from the queue to its status; and what a channel's user gives
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

namespace mokv::rpc {

struct ChannelOptions {
  net::HostPort target;
  std::shared_ptr<const net::TlsContext> tls;  // Null: clear text.
  Duration connect_timeout = std::chrono::seconds(5);
  uint64_t message_bytes_max = uint64_t{64} << 20;
  // Beyond those that the server allows at a time.
  size_t calls_waiting_max = 10'000;
  // What the time is: of deadlines. Outlives the channel's I/O thread.
  const Clock* clock = &SystemClock();
};

// The response is only valid during the call, and empty unless the status is OK.
using UnaryDone = absl::AnyInvocable<void(const absl::Status& status, std::string_view response)>;
using OnMessage = absl::AnyInvocable<void(std::string_view message)>;
using StreamDone = absl::AnyInvocable<void(const absl::Status& status)>;

struct ClientCall {
  std::string method;
  std::string request;  // With its prefix.
  size_t request_sent = 0;
  MonotonicTime deadline = MonotonicTime::Max();
  OnMessage on_message;  // Null for a unary call.
  UnaryDone unary_done;
  StreamDone stream_done;

  int32_t stream = 0;
  bool sent = false;  // Bytes of it may have left.
  std::string response;
  std::string http_status;
  std::optional<absl::StatusCode> grpc_status;
  std::string grpc_message;
  bool has_message = false;  // Unary: `message` is complete.
  std::string message;
  absl::Status failure;  // Ours, which overrules the server's.
  std::unique_ptr<net::Timer> timer;
  bool finished = false;  // Its status has been told.

  // A header or trailer of the answer.
  void TakeHeader(std::string_view name, std::string_view value);
  // Bytes of the answer. A failure is why the call has to end.
  absl::Status TakeData(std::string_view bytes, uint64_t message_bytes_max);
  // What has become of the call when its stream is closed with this error code of HTTP/2.
  absl::Status EndStatus(uint32_t http2_error) const;
  // Tells the status, the first time.
  void Finish(const absl::Status& status);
};

}  // namespace mokv::rpc
