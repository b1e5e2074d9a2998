// interop_server: gRPC's interoperability service on our RPC engine, with health and reflection.
//   interop_server --port P [--tls-cert-file F --tls-key-file F [--tls-ca-file F]]
// In clear text without the files; with a CA, clients must present a certificate that it has signed.
// Listens on every address. SIGTERM and SIGINT end it.
#include <signal.h>

#include <chrono>
#include <cstdio>
#include <string>

#include "arguments.h"
#include "base/status.h"
#include "net/listener.h"
#include "rpc/server.h"
#include "standard/health_service.h"
#include "standard/reflection_service.h"
#include "test_service.h"

namespace mokv::interop {
namespace {

constexpr size_t kThreads = 2;  // So that calls of one connection meet another thread's.

absl::StatusOr<std::shared_ptr<const net::TlsContext>> TlsOf(const Arguments& arguments) {
  if (arguments.certificate_file.empty()) return nullptr;
  return net::TlsContext::ForServer({.certificate_file = arguments.certificate_file,
                                     .key_file = arguments.key_file,
                                     .ca_file = arguments.ca_file,
                                     .crl_file = "",
                                     .any_client = arguments.ca_file.empty()},
                                    {"h2"});
}

absl::Status Serve(const Arguments& arguments) {
  // Before there are threads, which inherit it.
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);

  MOKV_ASSIGN_OR_RETURN(std::shared_ptr<const net::TlsContext> tls, TlsOf(arguments));
  net::IoPool pool(kThreads);
  rpc::Server server(pool, {}, nullptr);
  RegisterTestService(pool, server);
  standard::HealthService health({"grpc.testing.TestService"});
  health.Register(server);
  health.SetServing(true);
  standard::ReflectionService reflection;
  reflection.Register(server);
  MOKV_ASSIGN_OR_RETURN(
      const std::unique_ptr<net::Listener> listener,
      net::Listener::Bind(pool, {.address = {"0.0.0.0", arguments.port}, .tls = std::move(tls)}));
  listener->AddProtocol(server.protocol());
  pool.Start();
  listener->Start();
  int signal = 0;
  sigwait(&signals, &signal);
  listener->Stop();
  health.Stop();
  server.Drain(std::chrono::seconds(1));
  pool.Stop();
  return absl::OkStatus();
}

}  // namespace
}  // namespace mokv::interop

int main(int argc, char** argv) {
  mokv::interop::Arguments arguments;
  CLI::App app("gRPC's interoperability service on the RPC engine of mökv.");
  mokv::interop::AddArguments(app, arguments);
  CLI11_PARSE(app, argc, argv);
  const absl::Status status = mokv::interop::Serve(arguments);
  if (status.ok()) return 0;
  std::fprintf(stderr, "%s\n", std::string(mokv::MessageOf(status)).c_str());
  return 1;
}
