#include "base/logging.h"

#include <errno.h>
#include <poll.h>
#include <spdlog/details/log_msg.h>
#include <spdlog/pattern_formatter.h>
#include <unistd.h>

#include <atomic>
#include <memory>

#include "base/json.h"
#include "base/line_queue.h"
#include "base/mutex.h"
#include "base/repetition.h"

namespace mokv {
namespace {

// How long a thread that logs in masses waits for a slow output before it drops lines.
constexpr Duration kBulkWaitMax = std::chrono::milliseconds(100);

struct Logging {
  std::atomic<LogLevel> level{LogLevel::kInfo};
  std::atomic<LogFormat> format{LogFormat::kText};
  std::atomic<bool> queued{false};
  LineQueue queue;
  uint64_t dropped_told = 0;  // Confined to the writing thread.

  Mutex mutex;
  std::unique_ptr<spdlog::formatter> formatter ABSL_GUARDED_BY(mutex);
  Repetition repetition ABSL_GUARDED_BY(mutex);

  Logging() { UseFormat(LogFormat::kText); }

  void UseFormat(LogFormat new_format) {
    const bool text = new_format == LogFormat::kText;
    format = new_format;
    MutexLock lock(mutex);
    formatter = std::make_unique<spdlog::pattern_formatter>(
        text ? "%Y-%m-%d %H:%M:%S.%e %L %v" : R"({"time":"%Y-%m-%dT%H:%M:%S.%eZ","level":"%l",%v})",
        text ? spdlog::pattern_time_type::local : spdlog::pattern_time_type::utc);
  }

  bool Admit(std::string_view message) {
    MutexLock lock(mutex);
    return repetition.Admit(message, SystemClock().Now());
  }
};

Logging& TheLogging() {
  static Logging* logging = new Logging;  // Never destroyed: threads may log until the very end.
  return *logging;
}

spdlog::level::level_enum SpdlogLevel(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarn:
      return spdlog::level::warn;
    case LogLevel::kError:
      break;
  }
  return spdlog::level::err;
}

bool NeedsQuotes(std::string_view value) {
  return value.empty() || value.find_first_of(" \t\r\n\"=") != std::string_view::npos;
}

std::string Render(LogFormat format, std::string_view message,
                   std::initializer_list<LogField> fields) {
  std::string line;
  if (format == LogFormat::kText) {
    line = message;
    for (const LogField& field : fields) {
      const std::string value = NeedsQuotes(field.value) ? JsonString(field.value) : field.value;
      line += fmt::format(" {}={}", field.name, value);
    }
    return line;
  }
  line = fmt::format("\"msg\":{}", JsonString(message));
  for (const LogField& field : fields) {
    line += fmt::format(",{}:{}", JsonString(field.name),
                        field.is_number ? field.value : JsonString(field.value));
  }
  return line;
}

std::string Format(Logging& logging, LogLevel level, std::string_view message,
                   std::initializer_list<LogField> fields) {
  const std::string line = Render(logging.format, message, fields);
  spdlog::memory_buf_t formatted;
  MutexLock lock(logging.mutex);
  logging.formatter->format(
      spdlog::details::log_msg("mokv", SpdlogLevel(level),
                               spdlog::string_view_t(line.data(), line.size())),
      formatted);
  return std::string(formatted.data(), formatted.size());
}

// Another process that shares standard error may have made it non-blocking. What it refuses for
// good (a full disk, a reader that is gone) is lost: there is nobody to tell.
void WriteToStandardError(std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = write(STDERR_FILENO, text.data(), text.size());
    if (written >= 0) {
      text.remove_prefix(static_cast<size_t>(written));
    } else if (errno == EAGAIN) {
      pollfd writable{.fd = STDERR_FILENO, .events = POLLOUT, .revents = 0};
      poll(&writable, 1, -1);
    } else if (errno != EINTR) {
      return;
    }
  }
}

// Lines about lines: what was left out, and what was dropped.
std::string Omissions(Logging& logging, bool all) {
  std::vector<Repetition::Suppressed> suppressed;
  {
    MutexLock lock(logging.mutex);
    suppressed = logging.repetition.Take(SystemClock().Now(), all);
  }
  std::string lines;
  for (const Repetition::Suppressed& kind : suppressed) {
    lines += Format(logging, LogLevel::kWarn, "lines of the same kind were left out",
                    {{"line", kind.kind}, {"count", kind.count}});
  }
  const uint64_t dropped = logging.queue.dropped();
  if (dropped > logging.dropped_told) {
    lines += Format(logging, LogLevel::kWarn, "log lines were dropped: nobody read them in time",
                    {{"count", dropped - logging.dropped_told}});
    logging.dropped_told = dropped;
  }
  return lines;
}

}  // namespace

void ConfigureLogging(LogLevel level, LogFormat format) {
  TheLogging().level = level;
  TheLogging().UseFormat(format);
}

void SetLogLevel(LogLevel level) { TheLogging().level = level; }

bool LogEnabled(LogLevel level) { return level >= TheLogging().level.load(); }

void Log(LogLevel level, std::string_view message, std::initializer_list<LogField> fields) {
  if (!LogEnabled(level)) return;
  Logging& logging = TheLogging();
  if (!logging.queued) return WriteToStandardError(Format(logging, level, message, fields));
  if (!logging.Admit(message)) return;
  logging.queue.Push(Format(logging, level, message, fields));
}

bool LogBulk(std::string_view message, std::initializer_list<LogField> fields) {
  if (!LogEnabled(LogLevel::kInfo)) return true;
  Logging& logging = TheLogging();
  const std::string line = Format(logging, LogLevel::kInfo, message, fields);
  if (logging.queued) return logging.queue.PushBulk(line, kBulkWaitMax);
  WriteToStandardError(line);
  return true;
}

void StartQueuedLog() { TheLogging().queued = true; }

bool WriteQueuedLog(Duration wait_max) {
  Logging& logging = TheLogging();
  const bool closed = logging.queue.closed();  // Before the last lines are taken.
  const std::string lines = logging.queue.Take(wait_max);
  WriteToStandardError(lines);
  // Once the reader is back, it is told what it has missed.
  WriteToStandardError(Omissions(logging, closed));
  if (!lines.empty()) logging.queue.Written();
  return !closed;
}

bool FlushLog(Duration wait_max) {
  Logging& logging = TheLogging();
  return !logging.queued || logging.queue.Flush(wait_max);
}

void CloseQueuedLog() { TheLogging().queue.Close(); }

uint64_t LogLinesDropped() { return TheLogging().queue.dropped(); }

}  // namespace mokv
