// empty_server: our RPC engine with a handler that does nothing, for comparison with other servers.
//   empty_server --port N --threads T [--tls CA CERT KEY]
// Ends on SIGTERM or SIGINT; on SIGUSR1 prints what it has done so far (counts.h).
#include <signal.h>

#include <cstdio>
#include <cstring>
#include <string>

#include "base/status.h"
#include "engine/counts.h"
#include "net/listener.h"
#include "rpc/server.h"

int main(int argc, char** argv) {
  uint16_t port = 0;
  size_t threads = 2;
  mokv::net::TlsFiles tls;
  for (int i = 1; i < argc; ++i) {
    const std::string flag = argv[i];
    if (flag == "--port" && i + 1 < argc) {
      port = static_cast<uint16_t>(std::stoi(argv[++i]));
    } else if (flag == "--threads" && i + 1 < argc) {
      threads = static_cast<size_t>(std::stoi(argv[++i]));
    } else if (flag == "--tls" && i + 3 < argc) {
      tls.ca_file = argv[++i];
      tls.certificate_file = argv[++i];
      tls.key_file = argv[++i];
    } else {
      std::fprintf(stderr, "usage: empty_server --port N --threads T [--tls CA CERT KEY]\n");
      return 2;
    }
  }

  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGUSR1);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);

  mokv::net::IoPool pool(threads);
  mokv::rpc::Server server(pool, {}, nullptr);
  server.AddUnary("/bench.Echo/Empty", [](mokv::rpc::UnaryCall& call) { call.Finish(); });
  mokv::net::Listener::Options options;
  options.address = {"127.0.0.1", port};
  if (!tls.ca_file.empty()) {
    auto context = mokv::net::TlsContext::ForServer(tls, {"h2"});
    if (!context.ok()) {
      std::fprintf(stderr, "%s\n", context.status().ToString().c_str());
      return 1;
    }
    options.tls = *context;
  }
  auto listener = mokv::net::Listener::Bind(pool, options);
  if (!listener.ok()) {
    std::fprintf(stderr, "%s\n", listener.status().ToString().c_str());
    return 1;
  }
  (*listener)->AddProtocol(server.protocol());
  pool.Start();
  (*listener)->Start();
  int signal = 0;
  while (sigwait(&signals, &signal) == 0 && signal == SIGUSR1) {
    std::printf("%s\n", mokv::bench::CountsJson().c_str());
    std::fflush(stdout);
  }
  (*listener)->Stop();
  server.Drain(std::chrono::seconds(1));
  pool.Stop();
  return 0;
}
