#include "grpcpp/grpcpp_server.h"

#include <signal.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <sstream>
#include <thread>
#include <vector>

#include <CLI/CLI.hpp>

namespace mokv::bench {
namespace {

std::string ReadFile(const std::string& path) {
  std::ifstream in(path);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

std::shared_ptr<grpc::ServerCredentials> Credentials(const std::vector<std::string>& tls) {
  if (tls.empty()) return grpc::InsecureServerCredentials();
  grpc::SslServerCredentialsOptions options(
      GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  options.pem_root_certs = ReadFile(tls[0]);
  options.pem_key_cert_pairs.push_back({ReadFile(tls[2]), ReadFile(tls[1])});
  return grpc::SslServerCredentials(options);
}

// Blocked in every thread, so that only AwaitStop gets them.
sigset_t StopSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  return signals;
}

std::unique_ptr<grpc::Server> StartOrExit(grpc::ServerBuilder& builder) {
  std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr) {
    std::fprintf(stderr, "cannot start: the port is taken, or the certificates are bad\n");
    std::_Exit(1);
  }
  return server;
}

[[noreturn]] void AwaitStop() {
  const sigset_t signals = StopSignals();
  int signal = 0;
  sigwait(&signals, &signal);
  std::_Exit(0);
}

}  // namespace

void Serve(grpc::ServerBuilder& builder) {
  const std::unique_ptr<grpc::Server> server = StartOrExit(builder);
  AwaitStop();
}

void ServeQueues(grpc::ServerBuilder& builder, int threads,
                 const std::function<void(grpc::ServerCompletionQueue& queue)>& fill,
                 const std::function<void(void* tag, bool ok)>& proceed) {
  std::vector<std::unique_ptr<grpc::ServerCompletionQueue>> queues;
  for (int i = 0; i < threads; ++i) queues.push_back(builder.AddCompletionQueue());
  const std::unique_ptr<grpc::Server> server = StartOrExit(builder);
  std::vector<std::jthread> workers;
  for (const auto& queue : queues) {
    fill(*queue);
    workers.emplace_back([&queue, &proceed] {
      void* tag = nullptr;
      bool ok = false;
      while (queue->Next(&tag, &ok)) proceed(tag, ok);
    });
  }
  AwaitStop();
}

int RunGrpcppServer(int argc, char** argv, const std::string& what, const AddAndServe& async,
                    const AddAndServe& callback) {
  const sigset_t signals = StopSignals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);

  CLI::App app(what);
  std::string mode = "callback";
  int port = 0;
  int threads = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  std::vector<std::string> tls;
  app.add_option("--mode", mode)->check(CLI::IsMember({"async", "callback"}));
  app.add_option("--port", port)->required();
  app.add_option("--threads", threads, "async: completion queues, a thread each")
      ->check(CLI::Range(1, 256));
  app.add_option("--tls", tls, "CA CERT KEY: mutual TLS")->expected(3);
  CLI11_PARSE(app, argc, argv);

  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:" + std::to_string(port), Credentials(tls));
  (mode == "async" ? async : callback)(builder, threads);
  return 0;
}

}  // namespace mokv::bench
