// What a server tells of itself: a record of each call that is over, and counters.
#pragma once

#include <absl/status/status.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/clock.h"
#include "rpc/flood_counts.h"

namespace mokv::rpc {

inline constexpr size_t kUnknownMethod = SIZE_MAX;

// What a handler leaves with its call for the observer, who knows what it is.
class CallNote {
 public:
  virtual ~CallNote() = default;
};

// What is known of a call when it is over.
struct CallRecord {
  size_t io_thread = 0;
  size_t method = 0;      // Position in Server::method_paths(); kUnknownMethod otherwise.
  std::string_view path;  // As the client sent it.
  std::string_view subject;
  std::string_view peer_address;
  absl::StatusCode code = absl::StatusCode::kOk;
  std::string_view message;
  Duration duration{0};
  uint64_t request_bytes = 0;  // Messages, without framing.
  uint64_t response_bytes = 0;
  const CallNote* note = nullptr;  // Null: the handler left none.
};

// Told of every call, on its I/O thread.
class CallObserver {
 public:
  virtual ~CallObserver() = default;
  virtual void OnCallFinished(const CallRecord& record) = 0;
};

// Thread-safe counters of one server.
struct ServerStats {
  std::atomic<uint64_t> connections_open{0};
  std::atomic<uint64_t> connections_total{0};
  std::atomic<uint64_t> connections_broken{0};  // HTTP/2 that does not parse, or breaks its rules.
  std::atomic<uint64_t> calls_open{0};
  std::atomic<uint64_t> answers_refused{0};         // Over ServerOptions::answer_bytes_max.
  std::atomic<uint64_t> streams_stalled{0};         // Ended: no progress for stall_timeout.
  std::atomic<uint64_t> connections_silent{0};      // Closed: no answer to a PING.
  std::atomic<uint64_t> connections_retired{0};     // Told to go away: idle or old.
  std::atomic<uint64_t> connections_distrusted{0};  // Closed: not believed any more.
  FloodCounts floods;                               // They are among the broken ones, too.
};

}  // namespace mokv::rpc
