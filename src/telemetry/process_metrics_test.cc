#include "telemetry/process_metrics.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <sstream>
#include <string>
#include <thread>

namespace mokv::telemetry {
namespace {

// The value of a metric without labels; -1 when it is missing.
double Value(const std::string& name) {
  MetricsPage page;
  page.Register(&WriteProcessMetrics);
  std::istringstream lines(page.Render());
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with(name + " ")) return std::stod(line.substr(name.size() + 1));
  }
  return -1;
}

TEST(ProcessMetrics, ArePlausible) {
  const double now =
      std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
  EXPECT_GE(Value("process_cpu_seconds_total"), 0);
  EXPECT_GT(Value("process_resident_memory_bytes"), 100'000);
  EXPECT_GE(Value("process_virtual_memory_bytes"), Value("process_resident_memory_bytes"));
  EXPECT_GE(Value("process_max_fds"), Value("process_open_fds"));
  EXPECT_GT(Value("process_start_time_seconds"), now - 3600);
  EXPECT_LT(Value("process_start_time_seconds"), now + 60);
  EXPECT_GT(ResidentBytes(), 100'000U);
}

TEST(ProcessMetrics, CountFileDescriptors) {
  const double before = Value("process_open_fds");
  const int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
  ASSERT_GE(fd, 0);
  EXPECT_EQ(Value("process_open_fds"), before + 1);
  close(fd);
  EXPECT_EQ(Value("process_open_fds"), before);
}

TEST(ProcessMetrics, CountThreads) {
  const auto run = [](const std::stop_token& stop) {
    while (!stop.stop_requested()) std::this_thread::yield();
  };
  // ThreadSanitizer starts a thread of its own together with a program's first one.
  const std::jthread first(run);
  const double before = Value("process_threads");
  ASSERT_GE(before, 2);
  const std::jthread other(run);
  EXPECT_EQ(Value("process_threads"), before + 1);
}

}  // namespace
}  // namespace mokv::telemetry
