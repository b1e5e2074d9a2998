#include "sim/runner.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <ctime>

#include "base/check.h"
#include "sim/mutations.h"
#include "sim/simulation.h"

namespace mokv::sim {
namespace {

// A result as bytes: so many numbers, then the violation's text.
struct Header {
  uint64_t counters = 0;
  uint64_t faults = 0;
  uint64_t operations = 0;
  uint64_t simulated_ms = 0;
  uint64_t cpu_us = 0;
  uint64_t recovery_percent = 0;
  uint64_t violation_bytes = 0;
};

uint64_t CpuMicros() {
  timespec used{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
  return static_cast<uint64_t>(used.tv_sec) * 1'000'000 +
         static_cast<uint64_t>(used.tv_nsec) / 1000;
}

std::string RunAndEncode(const Job& job) {
  SwitchOn(job.mutation);
  const uint64_t begin = CpuMicros();
  const RunResult result = RunSeed({.nodes = job.nodes,
                                    .seed = job.seed,
                                    .without = job.without,
                                    .operations_max = job.operations_max});
  const std::vector<Counter> counters = CountersOf(result.coverage, job.nodes);
  const Header header{.counters = counters.size(),
                      .faults = result.faults,
                      .operations = result.operations,
                      .simulated_ms = static_cast<uint64_t>(result.simulated.count() / 1'000'000),
                      .cpu_us = CpuMicros() - begin,
                      .recovery_percent = static_cast<uint64_t>(100 * result.recovered_after /
                                                                result.election_timeout),
                      .violation_bytes = result.violation.size()};
  std::string bytes(reinterpret_cast<const char*>(&header), sizeof header);
  for (const Counter& counter : counters) {
    bytes.append(reinterpret_cast<const char*>(&counter.value), sizeof counter.value);
  }
  return bytes + result.violation;
}

bool Decode(const std::string& bytes, Outcome& outcome) {
  Header header;
  if (bytes.size() < sizeof header) return false;
  std::memcpy(&header, bytes.data(), sizeof header);
  const size_t numbers = header.counters * sizeof(uint64_t);
  if (bytes.size() != sizeof header + numbers + header.violation_bytes) return false;
  outcome.counters.resize(header.counters);
  std::memcpy(outcome.counters.data(), bytes.data() + sizeof header, numbers);
  outcome.faults = header.faults;
  outcome.operations = header.operations;
  outcome.simulated_ms = header.simulated_ms;
  outcome.cpu_us = header.cpu_us;
  outcome.recovery_percent = header.recovery_percent;
  outcome.violation = bytes.substr(sizeof header + numbers);
  return true;
}

void WriteAll(int file, const std::string& bytes) {
  size_t written = 0;
  while (written < bytes.size()) {
    const ssize_t n = write(file, bytes.data() + written, bytes.size() - written);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) _exit(3);
    written += static_cast<size_t>(n);
  }
}

std::string ReadBack(int file) {
  std::string text(4096, '\0');
  const ssize_t n = pread(file, text.data(), text.size(), 0);
  text.resize(n > 0 ? static_cast<size_t>(n) : 0);
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

// "../../src/raft/core.cc:12: check failed: ..." without the build's own path.
std::string CheckOf(const std::string& said, int status) {
  if (const size_t at = said.find("check failed"); at != std::string::npos) {
    const size_t source = said.rfind("src/", at);
    return "check in the core: " + said.substr(source == std::string::npos ? 0 : source);
  }
  if (WIFSIGNALED(status)) return fmt::format("stopped: by signal {}: {}", WTERMSIG(status), said);
  return fmt::format("stopped: with status {}: {}", WEXITSTATUS(status), said);
}

}  // namespace

std::string CheckName(const std::string& violation) {
  return violation.substr(0, violation.find(':'));
}

Runner::~Runner() { StopAll(); }

void Runner::Start(const Job& job) {
  int ends[2];
  MOKV_CHECK_EQ(pipe(ends), 0);
  const int said = memfd_create("said", MFD_CLOEXEC);
  MOKV_CHECK_GE(said, 0);
  std::fflush(nullptr);
  const pid_t pid = fork();
  MOKV_CHECK_GE(pid, 0);
  if (pid == 0) {
    close(ends[0]);
    dup2(said, STDERR_FILENO);
    WriteAll(ends[1], RunAndEncode(job));
    _exit(0);
  }
  close(ends[1]);
  children_[ends[0]] = {.pid = pid, .said = said, .job = job};
}

Outcome Runner::Collect(Child& child) {
  int status = 0;
  while (waitpid(child.pid, &status, 0) < 0 && errno == EINTR) {
  }
  Outcome outcome;
  if (!Decode(child.result, outcome)) {
    outcome = Outcome();
    outcome.violation = CheckOf(ReadBack(child.said), status);
  }
  outcome.job = child.job;
  close(child.said);
  return outcome;
}

void Runner::RunAll(const std::function<std::optional<Job>()>& next,
                    const std::function<bool(const Outcome&)>& done) {
  bool more = true;
  while (more || !children_.empty()) {
    while (more && children_.size() < processes_) {
      const std::optional<Job> job = next();
      more = job.has_value();
      if (more) Start(*job);
    }
    std::vector<pollfd> waiting;
    for (const auto& [pipe, child] : children_) waiting.push_back({pipe, POLLIN, 0});
    if (waiting.empty()) break;
    if (poll(waiting.data(), waiting.size(), -1) < 0) continue;
    for (const pollfd& ready : waiting) {
      if (ready.revents == 0) continue;
      Child& child = children_.at(ready.fd);
      char buffer[16384];
      const ssize_t n = read(ready.fd, buffer, sizeof buffer);
      if (n > 0) {
        child.result.append(buffer, static_cast<size_t>(n));
        continue;
      }
      const Outcome outcome = Collect(child);
      close(ready.fd);
      children_.erase(ready.fd);
      if (!done(outcome)) return StopAll();
    }
  }
}

Outcome Runner::RunOne(const Job& job) {
  Outcome result;
  bool given = false;
  RunAll(
      [&]() -> std::optional<Job> {
        if (std::exchange(given, true)) return std::nullopt;
        return job;
      },
      [&](const Outcome& outcome) {
        result = outcome;
        return true;
      });
  return result;
}

void Runner::StopAll() {
  for (auto& [pipe, child] : children_) {
    kill(child.pid, SIGKILL);
    close(pipe);
    Collect(child);
  }
  children_.clear();
}

}  // namespace mokv::sim
