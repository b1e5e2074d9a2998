#include "engine/bench_server.h"

#include <signal.h>

#include <chrono>
#include <cstdio>
#include <optional>
#include <string>

#include "net/io_pool.h"
#include "net/listener.h"
#include "net/tls.h"

namespace mokv::bench {
namespace {

struct Arguments {
  uint16_t port = 0;
  size_t threads = 2;
  net::TlsFiles tls;
};

std::optional<Arguments> Parse(int argc, char** argv) {
  Arguments arguments;
  for (int i = 1; i < argc; ++i) {
    const std::string flag = argv[i];
    if (flag == "--port" && i + 1 < argc) {
      arguments.port = static_cast<uint16_t>(std::stoi(argv[++i]));
    } else if (flag == "--threads" && i + 1 < argc) {
      arguments.threads = static_cast<size_t>(std::stoi(argv[++i]));
    } else if (flag == "--tls" && i + 3 < argc) {
      arguments.tls.ca_file = argv[++i];
      arguments.tls.certificate_file = argv[++i];
      arguments.tls.key_file = argv[++i];
    } else {
      std::fprintf(stderr, "usage: %s --port N --threads T [--tls CA CERT KEY]\n", argv[0]);
      return std::nullopt;
    }
  }
  return arguments;
}

}  // namespace

int RunBenchServer(int argc, char** argv, absl::FunctionRef<void(rpc::Server&)> add_methods,
                   absl::FunctionRef<void()> report) {
  const std::optional<Arguments> arguments = Parse(argc, argv);
  if (!arguments.has_value()) return 2;

  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGUSR1);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);

  net::IoPool pool(arguments->threads);
  rpc::Server server(pool, {}, nullptr);
  add_methods(server);
  net::Listener::Options options;
  options.address = {"127.0.0.1", arguments->port};
  if (!arguments->tls.ca_file.empty()) {
    auto context = net::TlsContext::ForServer(arguments->tls, {"h2"});
    if (!context.ok()) {
      std::fprintf(stderr, "%s\n", context.status().ToString().c_str());
      return 1;
    }
    options.tls = *context;
  }
  auto listener = net::Listener::Bind(pool, options);
  if (!listener.ok()) {
    std::fprintf(stderr, "%s\n", listener.status().ToString().c_str());
    return 1;
  }
  (*listener)->AddProtocol(server.protocol());
  pool.Start();
  (*listener)->Start();
  int signal = 0;
  while (sigwait(&signals, &signal) == 0 && signal == SIGUSR1) report();
  (*listener)->Stop();
  server.Drain(std::chrono::seconds(1));
  pool.Stop();
  return 0;
}

}  // namespace mokv::bench
