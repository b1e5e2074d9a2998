// RequestLog: one line for each request that is worth one, written off the I/O threads.
//
// Threads: Record is thread-safe and cheap: a comparison if the request is not to be logged, else a
//          copy into a bounded queue. DrainOnce is for one thread, which node/ owns and which does
//          the writing: `while (log.DrainOnce(1s)) {}`. Close is thread-safe.
// Bounds:  kQueueMax records wait; beyond that records are dropped and counted, never waited for.
//          Texts that clients choose are cut at kTextBytesMax.
// Repeats: of the same method and code only a few a second are written, then how many more there
//          were: a client that is refused fast must not fill a disk. RequestLogMode::kAll writes
//          all.
// Values are never logged, keys are.
#pragma once

#include <absl/status/status.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "base/repetition.h"
#include "telemetry/metrics.h"

namespace mokv::telemetry {

// The values of the configuration key `request-log`.
enum class RequestLogMode {
  kAll,
  kSlow,    // Those that took longer than the threshold.
  kErrors,  // All codes but OK, NOT_FOUND and CANCELLED: those are answers, or the client's wish.
  kOff,
};

// An order of magnitude above a write to three nodes with fsync on a slow disk.
inline constexpr Duration kSlowRequest = std::chrono::milliseconds(100);

// One request as the I/O thread knows it. Borrows its texts during the call of Record.
struct RequestRecord {
  std::string_view method;   // As in "/api.KV/Get".
  std::string_view subject;  // Common name of the client's certificate; empty without TLS.
  std::string_view peer;     // Address of the client.
  std::string_view key;      // Empty where the method has none.
  absl::StatusCode code = absl::StatusCode::kOk;
  Duration duration{0};
  uint64_t request_bytes = 0;
  uint64_t response_bytes = 0;
};

class RequestLog {
 public:
  // Writes one record; called by the draining thread. False: it was dropped.
  using Sink = std::function<bool(const RequestRecord&)>;
  // Writes that `count` more of this kind were left out; called by the draining thread.
  using CountSink = std::function<void(std::string_view kind, uint64_t count)>;

  // Memory bound: about 1.5 KiB for each with every text at its longest, 12 MiB in all.
  static constexpr size_t kQueueMax = 8192;
  static constexpr size_t kTextBytesMax = 256;

  // The product's sinks write to the process's own log, at level INFO, with the message "request".
  static bool WriteToProcessLog(const RequestRecord& record);
  static void WriteCountToProcessLog(std::string_view kind, uint64_t count);

  explicit RequestLog(RequestLogMode mode, Duration slow_threshold = kSlowRequest,
                      Sink sink = &RequestLog::WriteToProcessLog,
                      CountSink count_sink = &RequestLog::WriteCountToProcessLog,
                      const Clock& clock = SystemClock());
  RequestLog(const RequestLog&) = delete;
  RequestLog& operator=(const RequestLog&) = delete;

  void Record(const RequestRecord& record) {
    if (Wants(record.code, record.duration)) [[unlikely]]
      Push(record);
  }
  // Whether a request with this outcome is logged.
  bool Wants(absl::StatusCode code, Duration duration) const;

  // Waits up to `wait_max` for records and writes all that are queued. False once the log is closed
  // and everything has been written.
  bool DrainOnce(Duration wait_max);
  // Records that come later are dropped and not counted. DrainOnce writes the rest and returns
  // false.
  void Close();

  // Records that found a queue full: mokv_request_log_dropped_total.
  uint64_t dropped() const { return dropped_.value(); }

 private:
  struct Queued {
    std::string method;
    std::string subject;
    std::string peer;
    std::string key;
    absl::StatusCode code;
    Duration duration;
    uint64_t request_bytes;
    uint64_t response_bytes;
  };

  void Push(const RequestRecord& record);
  void Write(const Queued& queued);
  void TellCounts(bool all);

  const RequestLogMode mode_;
  const Duration slow_threshold_;
  const Sink sink_;
  const CountSink count_sink_;
  const Clock& clock_;
  SharedCounter dropped_;
  CondVar not_empty_;
  Mutex mutex_;
  std::vector<Queued> queue_ ABSL_GUARDED_BY(mutex_);
  bool is_closed_ ABSL_GUARDED_BY(mutex_) = false;
  // Confined to the draining thread.
  std::vector<Queued> batch_;  // Kept for its capacity.
  Repetition repetition_;
};

inline bool RequestLog::Wants(absl::StatusCode code, Duration duration) const {
  switch (mode_) {
    case RequestLogMode::kAll:
      return true;
    case RequestLogMode::kSlow:
      return duration > slow_threshold_;
    case RequestLogMode::kErrors:
      return code != absl::StatusCode::kOk && code != absl::StatusCode::kNotFound &&
             code != absl::StatusCode::kCancelled;
    case RequestLogMode::kOff:
      break;
  }
  return false;
}

}  // namespace mokv::telemetry
