// stream_server: our RPC engine with streams of messages that nobody looks at.
// /bench.Streams/Produce sends messages of 1 KiB without end, Consume takes them, Echo sends back what comes.
#include <deque>
#include <memory>
#include <string>
#include <utility>

#include "engine/bench_server.h"

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
  return mokv::bench::RunBenchServer(argc, argv, AddMethods, [] {});
}
