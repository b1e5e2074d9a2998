// stream_server: our RPC engine with streams of messages that nobody looks at.
//   stream_server --port N --threads T [--tls CA CERT KEY]
// /bench.Streams/Produce sends messages of 1 KiB without end, Consume takes them, Echo sends back what comes.
// Ends on SIGTERM or SIGINT.
#include <signal.h>

#include <cstdio>
#include <deque>
#include <memory>
#include <string>
#include <utility>

#include "base/status.h"
#include "net/listener.h"
#include "rpc/server.h"

namespace {

using mokv::rpc::BidiCall;
using mokv::rpc::ClientStreamCall;
using mokv::rpc::ServerStreamCall;

constexpr size_t kMessageBytes = 1024;
// Of an echo; further ones wait in HTTP/2's window.
constexpr size_t kEchoesMax = 64;

class Producer final : public mokv::rpc::MessageSource {
 public:
  Next Produce(std::string* message) override {
    message->append(kMessageBytes, 'x');
    return Next::kMessage;
  }
};

class Consumer final : public mokv::rpc::MessageSink {
 public:
  explicit Consumer(mokv::rpc::Responder responder) : responder_(std::move(responder)) {}
  void Take(const mokv::rpc::ReceivedMessage&) override {}
  void End() override { responder_.Finish(""); }

 private:
  mokv::rpc::Responder responder_;
};

class Echo final : public mokv::rpc::MessageExchange {
 public:
  bool HasRoom() const override { return waiting_.size() < kEchoesMax; }
  void Take(const mokv::rpc::ReceivedMessage& message) override {
    waiting_.emplace_back(message.bytes);
  }
  void End() override { ended_ = true; }
  Next Produce(std::string* message) override {
    if (waiting_.empty()) return ended_ ? Next::kEnd : Next::kWait;
    *message += waiting_.front();
    waiting_.pop_front();
    return Next::kMessage;
  }

 private:
  std::deque<std::string> waiting_;
  bool ended_ = false;
};

void AddMethods(mokv::rpc::Server& server) {
  server.AddServerStream("/bench.Streams/Produce",
                         [](ServerStreamCall& call) { call.Start(std::make_unique<Producer>()); });
  server.AddClientStream("/bench.Streams/Consume", [](ClientStreamCall& call) {
    call.Start(std::make_unique<Consumer>(call.Defer()));
  });
  server.AddBidi("/bench.Streams/Echo",
                 [](BidiCall& call) { call.Start(std::make_unique<Echo>()); });
}

}  // namespace

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
      std::fprintf(stderr, "usage: stream_server --port N --threads T [--tls CA CERT KEY]\n");
      return 2;
    }
  }

  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);

  mokv::net::IoPool pool(threads);
  mokv::rpc::Server server(pool, {}, nullptr);
  AddMethods(server);
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
  sigwait(&signals, &signal);
  (*listener)->Stop();
  server.Drain(std::chrono::seconds(1));
  pool.Stop();
  return 0;
}
