#include "bench/store/child.h"

#include <fmt/format.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <fstream>
#include <sstream>
#include <string>

#include "base/status.h"

namespace mokv::bench {
namespace {

void WriteAll(int file, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = write(file, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    MOKV_CHECK(written > 0);
    text.remove_prefix(static_cast<size_t>(written));
  }
}

std::string ReadAll(int file) {
  std::string text;
  char block[4096];
  for (;;) {
    const ssize_t size = read(file, block, sizeof(block));
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) return text;
    text.append(block, static_cast<size_t>(size));
  }
}

[[noreturn]] void RunChild(int to_parent, const std::function<Sample()>& measure) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);  // A run that is interrupted leaves nothing behind.
  std::string text;
  for (const auto& [metric, value] : measure()) text += fmt::format("{} {}\n", metric, value);
  WriteAll(to_parent, text);
  _exit(0);  // Freeing ten million items would only take time.
}

}  // namespace

uint64_t ResidentBytes() {
  std::ifstream file("/proc/self/smaps_rollup");
  std::string word;
  while (file >> word) {
    uint64_t kib = 0;
    if (word == "Rss:" && file >> kib) return kib * 1024;
  }
  MOKV_CHECK(!"no Rss in /proc/self/smaps_rollup");
  return 0;
}

absl::StatusOr<Sample> InChild(const std::function<Sample()>& measure) {
  int pipe_ends[2];
  if (pipe(pipe_ends) != 0) return ErrnoStatus(errno, "pipe");
  std::fflush(nullptr);  // Or the child would print the parent's buffer once more.
  const pid_t child = fork();
  if (child < 0) return ErrnoStatus(errno, "fork");
  if (child == 0) {
    close(pipe_ends[0]);
    RunChild(pipe_ends[1], measure);
  }
  close(pipe_ends[1]);
  const std::string text = ReadAll(pipe_ends[0]);
  close(pipe_ends[0]);
  int result = 0;
  while (waitpid(child, &result, 0) < 0 && errno == EINTR) {
  }
  if (WIFSIGNALED(result)) {
    return MakeStatus(absl::StatusCode::kInternal, "a measurement ended by signal {}",
                      WTERMSIG(result));
  }
  if (WEXITSTATUS(result) != 0) {
    return MakeStatus(absl::StatusCode::kInternal, "a measurement ended with {}",
                      WEXITSTATUS(result));
  }
  Sample sample;
  std::istringstream lines(text);
  std::string metric;
  double value = 0;
  while (lines >> metric >> value) sample[metric] = value;
  return sample;
}

}  // namespace mokv::bench
