#include "telemetry/process_metrics.h"

#include <sys/resource.h>
#include <unistd.h>

#include <charconv>
#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>
#include <string>
#include <system_error>
#include <vector>

namespace mokv::telemetry {
namespace {

// Fields of /proc/self/stat, counted from 0 after the one that ends in ')' (proc(5) counts from 1
// and calls the first of these "(3) state").
constexpr size_t kUserTicks = 11;
constexpr size_t kSystemTicks = 12;
constexpr size_t kThreads = 17;
constexpr size_t kStartTicks = 19;
constexpr size_t kVirtualBytes = 20;
constexpr size_t kResidentPages = 21;

std::string ReadAll(const char* path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return std::move(text).str();
}

std::optional<double> AsNumber(std::string_view text) {
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end == text.data()) return std::nullopt;
  return number;
}

class ProcessStat {
 public:
  ProcessStat() {
    const std::string text = ReadAll("/proc/self/stat");
    // The second field is the program's name in parentheses and may itself hold blanks and ')'.
    const size_t name_end = text.rfind(')');
    if (name_end == std::string::npos) return;
    std::istringstream rest(text.substr(name_end + 1));
    for (std::string field; rest >> field;) fields_.push_back(field);
  }

  std::optional<double> Field(size_t position) const {
    if (position >= fields_.size()) return std::nullopt;
    return AsNumber(fields_[position]);
  }

 private:
  std::vector<std::string> fields_;
};

// When the machine started, in seconds since the Unix epoch.
std::optional<double> BootTime() {
  constexpr std::string_view kLine = "\nbtime ";
  const std::string text = ReadAll("/proc/stat");
  const size_t line = text.find(kLine);
  if (line == std::string::npos) return std::nullopt;
  return AsNumber(std::string_view(text).substr(line + kLine.size()));
}

std::optional<double> OpenFileDescriptors() {
  std::error_code error;
  std::filesystem::directory_iterator entry("/proc/self/fd", error);
  double count = 0;
  for (; !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) ++count;
  if (error || count < 1) return std::nullopt;
  return count - 1;  // One of them was the directory being read.
}

}  // namespace

void WriteProcessMetrics(MetricsWriter& writer) {
  const auto gauge = [&writer](std::string_view name, std::string_view help,
                               std::optional<double> value) {
    if (value.has_value()) writer.Gauge(name, help, *value);
  };
  const double ticks_per_second = static_cast<double>(sysconf(_SC_CLK_TCK));
  const ProcessStat stat;

  const std::optional<double> user = stat.Field(kUserTicks);
  const std::optional<double> system = stat.Field(kSystemTicks);
  if (user.has_value() && system.has_value()) {
    writer.CounterOfSeconds("process_cpu_seconds_total",
                            "Total user and system CPU time spent in seconds.",
                            (*user + *system) / ticks_per_second);
  }
  const std::optional<double> start = stat.Field(kStartTicks);
  const std::optional<double> boot = BootTime();
  if (start.has_value() && boot.has_value()) {
    writer.Gauge("process_start_time_seconds",
                 "Start time of the process since unix epoch in seconds.",
                 *boot + *start / ticks_per_second);
  }
  gauge("process_virtual_memory_bytes", "Virtual memory size in bytes.", stat.Field(kVirtualBytes));
  if (const uint64_t resident = ResidentBytes(); resident != 0) {
    writer.Gauge("process_resident_memory_bytes", "Resident memory size in bytes.",
                 static_cast<double>(resident));
  }
  gauge("process_threads", "Threads of the process.", stat.Field(kThreads));
  gauge("process_open_fds", "Number of open file descriptors.", OpenFileDescriptors());
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    writer.Gauge("process_max_fds", "Maximum number of open file descriptors.",
                 static_cast<double>(limit.rlim_cur));
  }
}

uint64_t ResidentBytes() {
  const std::optional<double> pages = ProcessStat().Field(kResidentPages);
  if (!pages.has_value()) return 0;
  return static_cast<uint64_t>(*pages) * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

}  // namespace mokv::telemetry
