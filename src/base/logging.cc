#include "base/logging.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <atomic>
#include <memory>

#include "base/json.h"

namespace mokv {
namespace {

// One logger for the process; spdlog's sink serializes writers.
struct Logging {
  std::shared_ptr<spdlog::logger> logger =
      std::make_shared<spdlog::logger>("mokv", std::make_shared<spdlog::sinks::stderr_sink_mt>());
  std::atomic<LogLevel> level{LogLevel::kInfo};
  std::atomic<LogFormat> format{LogFormat::kText};

  Logging() {
    logger->set_level(spdlog::level::debug);
    logger->flush_on(spdlog::level::debug);
    UseFormat(LogFormat::kText);
  }

  void UseFormat(LogFormat new_format) {
    format = new_format;
    logger->set_pattern(new_format == LogFormat::kText
                            ? "%Y-%m-%d %H:%M:%S.%e %L %v"
                            : R"({"time":"%Y-%m-%dT%H:%M:%S.%eZ","level":"%l",%v})",
                        new_format == LogFormat::kText ? spdlog::pattern_time_type::local
                                                       : spdlog::pattern_time_type::utc);
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
  const std::string line = Render(logging.format, message, fields);
  logging.logger->log(SpdlogLevel(level), spdlog::string_view_t(line.data(), line.size()));
}

}  // namespace mokv
