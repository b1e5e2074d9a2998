// mokv: runs one node in the foreground until SIGTERM or SIGINT. SIGHUP: files are read again.
#include <google/protobuf/stubs/logging.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>

#include <cstdio>
#include <cstdlib>

#include "base/logging.h"
#include "base/standard_streams.h"
#include "base/status.h"
#include "node/check_start.h"
#include "node/config.h"
#include "node/log_thread.h"
#include "node/node.h"

namespace {

constexpr int kExitFailure = 1;
constexpr int kExitUsage = 2;

// Each connection takes a descriptor. The usual limit of a shell is so low that clients could take
// all, and leave none for the log.
void RaiseDescriptorLimit() {
  struct rlimit limit {};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

int Complain(const absl::Status& status, int exit_code) {
  const std::string_view message = mokv::MessageOf(status);
  std::fprintf(stderr, "mokv: %.*s\n", static_cast<int>(message.size()), message.data());
  return exit_code;
}

}  // namespace

int main(int argc, char** argv) {
  mokv::OpenStandardStreams();
  const absl::StatusOr<mokv::ParsedCommandLine> parsed =
      mokv::ParseCommandLine(argc, argv, mokv::CurrentEnvironment());
  if (!parsed.ok()) return Complain(parsed.status(), kExitUsage);
  const mokv::Config& config = parsed->config;
  switch (parsed->action) {
    case mokv::ParsedCommandLine::Action::kShowText:
      std::fputs(parsed->text.c_str(), stdout);
      return EXIT_SUCCESS;
    case mokv::ParsedCommandLine::Action::kCheckConfig: {
      for (const std::string& warning : config.warnings) {
        std::fprintf(stderr, "mokv: warning: %s\n", warning.c_str());
      }
      const auto checked = mokv::CheckStart(config);
      if (!checked.ok()) return Complain(checked.status(), kExitFailure);
      for (const std::string& warning : *checked) {
        std::fprintf(stderr, "mokv: warning: %s\n", warning.c_str());
      }
      std::puts("configuration is valid");
      return EXIT_SUCCESS;
    }
    case mokv::ParsedCommandLine::Action::kRun:
      break;
  }
  RaiseDescriptorLimit();
  mokv::ConfigureLogging(config.log_level, config.log_format);
  // Protobuf would print a line for every request whose texts are not UTF-8, as fast as a client
  // can send them. The client is told anyway.
  google::protobuf::SetLogHandler(nullptr);

  // Before any thread starts, so that all inherit it and only sigwait below takes the signals.
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  // Files are read again. Also: a terminal that closes must not end a node without a goodbye.
  sigaddset(&signals, SIGHUP);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);

  // It begins before the threads that log, and ends after them.
  const mokv::LogThread log_thread;
  absl::StatusOr<std::unique_ptr<mokv::Node>> node = mokv::Node::Start(config);
  if (!node.ok()) return Complain(node.status(), kExitFailure);
  int received = 0;
  while (sigwait(&signals, &received) == 0 && received == SIGHUP) (*node)->Reload();
  // Somebody who asks twice does not want to wait.
  struct sigaction now {};
  now.sa_handler = SIG_DFL;
  sigaction(SIGINT, &now, nullptr);
  sigaction(SIGTERM, &now, nullptr);
  pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);
  (*node)->Stop();
  return EXIT_SUCCESS;
}
