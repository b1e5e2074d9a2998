// The empty handler on stock grpc++, in its two server interfaces, set up as its own performance
// guide advises. What our engine is measured beside; nothing of ours is linked in.
//
// async:    one completion queue and one thread a core, many calls waiting for a request on each.
// callback: the library's own threads; a reactor that finishes at once.
// Prints "listening on PORT" once it serves; ends on SIGTERM or SIGINT.
#include <fmt/format.h>
#include <grpcpp/grpcpp.h>
#include <signal.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include <CLI/CLI.hpp>

#include "bench/echo.grpc.pb.h"

namespace {

// Requests that may wait in each completion queue without a thread having to ask for another one:
// more than the calls that the benchmarks keep open.
constexpr int kPendingCallsPerQueue = 512;

// Answers and asks for the next call; lives in a pool for the whole run.
class AsyncCall {
 public:
  AsyncCall(bench::Echo::AsyncService& service, grpc::ServerCompletionQueue& queue)
      : service_(service), queue_(queue) {
    Await();
  }

  void Proceed(bool ok) {
    if (!ok) return;  // Shutting down.
    if (finishing_) return Await();
    finishing_ = true;
    responder_->Finish(response_, grpc::Status::OK, this);
  }

 private:
  void Await() {
    finishing_ = false;
    responder_.reset();
    context_ = std::make_unique<grpc::ServerContext>();  // Cannot be used twice.
    responder_ =
        std::make_unique<grpc::ServerAsyncResponseWriter<bench::EmptyMessage>>(context_.get());
    service_.RequestEmpty(context_.get(), &request_, responder_.get(), &queue_, &queue_, this);
  }

  bench::Echo::AsyncService& service_;
  grpc::ServerCompletionQueue& queue_;
  std::unique_ptr<grpc::ServerContext> context_;
  std::unique_ptr<grpc::ServerAsyncResponseWriter<bench::EmptyMessage>> responder_;
  bench::EmptyMessage request_;
  bench::EmptyMessage response_;
  bool finishing_ = false;
};

class CallbackService final : public bench::Echo::CallbackService {
 public:
  grpc::ServerUnaryReactor* Empty(grpc::CallbackServerContext* context, const bench::EmptyMessage*,
                                  bench::EmptyMessage*) override {
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }
};

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

void AwaitStop() {
  const sigset_t signals = StopSignals();
  int signal = 0;
  sigwait(&signals, &signal);
}

// Starts the server and prints its port; null when the port is taken or the certificates are bad.
std::unique_ptr<grpc::Server> Start(grpc::ServerBuilder& builder, int port,
                                    const std::vector<std::string>& tls) {
  int bound_port = 0;
  builder.AddListeningPort(fmt::format("127.0.0.1:{}", port), Credentials(tls), &bound_port);
  std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr || bound_port == 0) {
    fmt::print(stderr, "grpcpp_empty_server: cannot listen on port {}\n", port);
    return nullptr;
  }
  fmt::print("listening on {}\n", bound_port);
  std::fflush(stdout);
  return server;
}

int ServeAsync(int port, int threads, const std::vector<std::string>& tls) {
  bench::Echo::AsyncService service;
  grpc::ServerBuilder builder;
  builder.RegisterService(&service);
  std::vector<std::unique_ptr<grpc::ServerCompletionQueue>> queues;
  for (int i = 0; i < threads; ++i) queues.push_back(builder.AddCompletionQueue());
  std::unique_ptr<grpc::Server> server = Start(builder, port, tls);
  if (server == nullptr) return 1;

  std::vector<std::unique_ptr<AsyncCall>> calls;
  for (const auto& queue : queues) {
    for (int i = 0; i < kPendingCallsPerQueue; ++i) {
      calls.push_back(std::make_unique<AsyncCall>(service, *queue));
    }
  }
  std::vector<std::jthread> workers;
  for (const auto& queue : queues) {
    workers.emplace_back([&queue] {
      void* tag = nullptr;
      bool ok = false;
      while (queue->Next(&tag, &ok)) static_cast<AsyncCall*>(tag)->Proceed(ok);
    });
  }
  AwaitStop();
  // A call that was just being answered would ask for the next one while the queues shut down,
  // which grpc++ answers with an abort; nothing is worth an orderly end here.
  std::_Exit(0);
}

int ServeCallback(int port, const std::vector<std::string>& tls) {
  CallbackService service;
  grpc::ServerBuilder builder;
  builder.RegisterService(&service);
  std::unique_ptr<grpc::Server> server = Start(builder, port, tls);
  if (server == nullptr) return 1;
  AwaitStop();
  server->Shutdown(std::chrono::system_clock::now());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const sigset_t signals = StopSignals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);

  CLI::App app("The empty handler on stock grpc++");
  std::string mode = "callback";
  int port = 0;
  int threads = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  std::vector<std::string> tls;
  app.add_option("--mode", mode)->check(CLI::IsMember({"async", "callback"}));
  app.add_option("--port", port, "0: any free one");
  app.add_option("--threads", threads, "async: completion queues, a thread each")
      ->check(CLI::Range(1, 256));
  app.add_option("--tls", tls, "CA CERT KEY: mutual TLS")->expected(3);
  CLI11_PARSE(app, argc, argv);
  return mode == "async" ? ServeAsync(port, threads, tls) : ServeCallback(port, tls);
}
