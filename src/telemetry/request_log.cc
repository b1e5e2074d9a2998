#include "telemetry/request_log.h"

#include <utility>

#include "base/check.h"
#include "base/logging.h"
#include "base/status.h"
#include "telemetry/call_metrics.h"

namespace mokv::telemetry {
namespace {

// The log escapes whatever a cut through a character leaves behind.
std::string Shortened(std::string_view text) {
  if (text.size() <= RequestLog::kTextBytesMax) return std::string(text);
  return fmt::format("{}... ({} bytes)", text.substr(0, RequestLog::kTextBytesMax), text.size());
}

}  // namespace

bool RequestLog::WriteToProcessLog(const RequestRecord& record) {
  const double duration_ms = std::chrono::duration<double, std::milli>(record.duration).count();
  return LogBulk("request", {{"method", record.method},
                             {"code", StatusCodeName(record.code)},
                             {"duration_ms", duration_ms},
                             {"subject", record.subject},
                             {"peer", record.peer},
                             {"key", record.key},
                             {"request_bytes", record.request_bytes},
                             {"response_bytes", record.response_bytes}});
}

void RequestLog::WriteCountToProcessLog(std::string_view kind, uint64_t count) {
  LogInfo("more requests like these", {{"kind", kind}, {"count", count}});
}

RequestLog::RequestLog(RequestLogMode mode, Duration slow_threshold, Sink sink,
                       CountSink count_sink, const Clock& clock)
    : mode_(mode),
      slow_threshold_(slow_threshold),
      sink_(std::move(sink)),
      count_sink_(std::move(count_sink)),
      clock_(clock) {
  MOKV_CHECK(sink_ != nullptr && count_sink_ != nullptr);
}

void RequestLog::Push(const RequestRecord& record) {
  // Copied before the lock is taken: I/O threads hold it for one move only.
  Queued queued{Shortened(record.method),
                Shortened(record.subject),
                Shortened(record.peer),
                Shortened(record.key),
                record.code,
                record.duration,
                record.request_bytes,
                record.response_bytes};
  {
    MutexLock lock(mutex_);
    if (is_closed_) return;
    if (queue_.size() >= kQueueMax) {
      dropped_.Add();
      return;
    }
    queue_.push_back(std::move(queued));
    if (queue_.size() > 1) return;  // Whoever put the first one in has woken the drain.
  }
  not_empty_.NotifyOne();
}

bool RequestLog::DrainOnce(Duration wait_max) {
  {
    MutexLock lock(mutex_);
    // A spurious wake-up only makes this turn shorter: the caller comes again.
    if (queue_.empty() && !is_closed_) not_empty_.WaitFor(lock, wait_max);
    if (queue_.empty() && is_closed_) {
      TellCounts(/*all=*/true);
      return false;
    }
    batch_.swap(queue_);
  }
  for (const Queued& queued : batch_) Write(queued);
  batch_.clear();
  TellCounts(/*all=*/false);
  return true;
}

void RequestLog::TellCounts(bool all) {
  for (const Repetition::Suppressed& same : repetition_.Take(clock_.Now(), all)) {
    count_sink_(same.kind, same.count);
  }
}

void RequestLog::Close() {
  {
    MutexLock lock(mutex_);
    is_closed_ = true;
  }
  not_empty_.NotifyAll();
}

void RequestLog::Write(const Queued& queued) {
  if (mode_ != RequestLogMode::kAll) {
    const std::string kind = fmt::format("{} {}", queued.method, StatusCodeName(queued.code));
    if (!repetition_.Admit(kind, clock_.Now())) return;
  }
  const bool written = sink_(RequestRecord{.method = queued.method,
                                           .subject = queued.subject,
                                           .peer = queued.peer,
                                           .key = queued.key,
                                           .code = queued.code,
                                           .duration = queued.duration,
                                           .request_bytes = queued.request_bytes,
                                           .response_bytes = queued.response_bytes});
  if (!written) dropped_.Add();
}

}  // namespace mokv::telemetry
