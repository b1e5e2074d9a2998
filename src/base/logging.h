// The process's own log: one line an event, as text for people or JSON for machines, to standard
// error. Thread-safe. Messages are constant texts; what varies goes into fields.
#pragma once

#include <fmt/format.h>

#include <concepts>
#include <initializer_list>
#include <string>
#include <string_view>

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
void SetLogLevel(LogLevel level);
bool LogEnabled(LogLevel level);

void Log(LogLevel level, std::string_view message, std::initializer_list<LogField> fields = {});

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
