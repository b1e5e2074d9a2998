// The process's own log: one line an event, as text for people or JSON for machines, to standard
// error. Thread-safe. Messages are constant texts; what varies goes into fields.
//
// The reader of the output may stand still, and no thread that serves, decides or probes may stand
// still with it. So from StartQueuedLog on, lines wait in a bounded queue (line_queue.h) for a
// thread that calls WriteQueuedLog; until then each line is written at once. Lines that find the
// queue full are dropped and counted. Of the same message only a few a second are queued; then a
// line says how many more there were (repetition.h).
#pragma once

#include <fmt/format.h>

#include <concepts>
#include <initializer_list>
#include <string>
#include <string_view>

#include "base/clock.h"

namespace mokv {

enum class LogLevel { kDebug, kInfo, kWarn, kError };
enum class LogFormat { kText, kJson };

struct LogField {
  std::string_view name;
  std::string value;
  bool is_number = false;

  LogField(std::string_view field_name, std::string field_value)
      : name(field_name), value(std::move(field_value)) {}
  LogField(std::string_view field_name, std::string_view field_value)
      : name(field_name), value(field_value) {}
  LogField(std::string_view field_name, const char* field_value)
      : name(field_name), value(field_value) {}
  template <typename Number>
  requires std::integral<Number> || std::floating_point<Number> LogField(
      std::string_view field_name, Number number)
      : name(field_name), value(fmt::format("{}", number)), is_number(true) {}
};

// Until this is called the log is text at INFO. Call before threads start.
void ConfigureLogging(LogLevel level, LogFormat format);
// For tests and benchmarks.
void SetLogLevel(LogLevel level);
bool LogEnabled(LogLevel level);

void Log(LogLevel level, std::string_view message, std::initializer_list<LogField> fields = {});
// For lines that come in masses, such as one for each request; their level is INFO. Repeated lines
// are not left out, and these lines never displace others. Waits a short while for a slow output,
// so call it on a thread that nothing depends on. False: the line was dropped and counted.
bool LogBulk(std::string_view message, std::initializer_list<LogField> fields);

// From now on lines are queued.
void StartQueuedLog();
// For one thread: waits up to `wait_max` for lines and writes them, for as long as the output
// takes. False once the log has been closed and everything is written.
bool WriteQueuedLog(Duration wait_max);
// Waits until all that was logged before is written. False: not within `wait_max`.
bool FlushLog(Duration wait_max);
// WriteQueuedLog comes to its end. What is logged later may be lost.
void CloseQueuedLog();
// Lines that found the queue full: mokv_log_dropped_total.
uint64_t LogLinesDropped();

inline void LogDebug(std::string_view message, std::initializer_list<LogField> fields = {}) {
  if (LogEnabled(LogLevel::kDebug)) Log(LogLevel::kDebug, message, fields);
}
inline void LogInfo(std::string_view message, std::initializer_list<LogField> fields = {}) {
  Log(LogLevel::kInfo, message, fields);
}
inline void LogWarn(std::string_view message, std::initializer_list<LogField> fields = {}) {
  Log(LogLevel::kWarn, message, fields);
}
inline void LogError(std::string_view message, std::initializer_list<LogField> fields = {}) {
  Log(LogLevel::kError, message, fields);
}

}  // namespace mokv
