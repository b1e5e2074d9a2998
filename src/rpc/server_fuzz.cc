// A server connection against a client that sends any bytes after HTTP/2's preface and then closes:
// the connection ends, and with it every call and all that was kept for them.
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>

#include "base/check.h"
#include "base/testing/run_on.h"
#include "net/transport.h"
#include "rpc/server.h"
#include "rpc/testing/streams.h"

namespace mokv::rpc {
namespace {

// Never more than the socket holds, so that one thread can send all before it reads.
constexpr size_t kInputBytesMax = size_t{64} << 10;

class ThreeTimes final : public MessageSource {
 public:
  explicit ThreeTimes(std::string_view text) : text_(text) {}
  Next Produce(std::string* message) override {
    if (sent_++ == 3) return Next::kEnd;
    *message += text_;
    return Next::kMessage;
  }

 private:
  const std::string text_;
  int sent_ = 0;
};

class NeverRoom final : public MessageExchange {
 public:
  bool HasRoom() const override { return false; }
  void Take(const ReceivedMessage&) override { MOKV_CHECK(false); }
  Next Produce(std::string*) override { return Next::kWait; }
};

// Hands the connection to the server as soon as there is one.
class Accepting final : public net::Transport::Handler {
 public:
  static void Begin(const net::Protocol& protocol, net::IoThread& thread, int fd) {
    auto* handler = new Accepting(protocol);
    handler->transport_ = std::make_unique<net::Transport>(thread, fd, nullptr);
    handler->transport_->Start(handler);
    delete handler;
  }

 private:
  explicit Accepting(const net::Protocol& protocol) : protocol_(protocol) {}
  void OnReady() override { protocol_.accept(std::move(transport_), ""); }
  void OnBytes(std::string_view) override {}
  void OnReadEnd() override {}
  void OnWritable() override {}
  void OnClosed(const absl::Status&) override {}

  const net::Protocol& protocol_;
  std::unique_ptr<net::Transport> transport_;
};

class Subject {
 public:
  Subject() : server_(pool_, Limits(), nullptr) {
    server_.AddUnary("/t.T/Echo", [](UnaryCall& call) {
      call.response() += call.request();
      call.Finish();
    });
    server_.AddUnary("/t.T/Later",
                     [](UnaryCall& call) { call.Defer().Finish(std::string(call.request())); });
    server_.AddUnary("/t.T/Never", [this](UnaryCall& call) { kept_.push_back(call.Defer()); });
    server_.AddServerStream("/t.T/Stream", [](ServerStreamCall& call) {
      call.Start(std::make_unique<ThreeTimes>(call.request()));
    });
    server_.AddClientStream("/t.T/Sum", [](ClientStreamCall& call) {
      auto sum = std::make_unique<SumOfBytes>(call.Defer());
      call.Start(std::move(sum));
    });
    server_.AddBidi("/t.T/Talk",
                    [](BidiCall& call) { call.Start(std::make_unique<EchoExchange>()); });
    server_.AddBidi("/t.T/Full", [this](BidiCall& call) {
      wakers_.push_back(call.waker());
      call.Start(std::make_unique<NeverRoom>());
    });
    protocol_ = server_.protocol();
    pool_.Start();
  }

  void Run(std::string_view input) {
    int fds[2];
    MOKV_CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
    (void)send(fds[0], protocol_.clear_prefix.data(), protocol_.clear_prefix.size(), MSG_NOSIGNAL);
    (void)send(fds[0], input.data(), std::min(input.size(), kInputBytesMax), MSG_NOSIGNAL);
    shutdown(fds[0], SHUT_WR);
    pool_.thread(0).Post([this, fd = fds[1]] { Accepting::Begin(protocol_, pool_.thread(0), fd); });
    AwaitEnd(fds[0]);
    close(fds[0]);
    // Answers and news for calls that are no more.
    RunOn(pool_.thread(0), [this] {
      kept_.clear();
      for (const StreamWaker& waker : wakers_) waker.Wake();
      wakers_.clear();
    });
    MOKV_CHECK_EQ(server_.stats().connections_open.load(), uint64_t{0});
    MOKV_CHECK_EQ(server_.stats().calls_open.load(), uint64_t{0});
  }

 private:
  static Server::Options Limits() {
    Server::Options options;
    options.message_bytes_max = 1000;
    options.calls_per_connection_max = 10;
    options.assembly_bytes_max = 4000;
    options.header_bytes_max = 1000;
    return options;
  }

  static void AwaitEnd(int fd) {
    char buffer[16 << 10];
    pollfd readable{fd, POLLIN, 0};
    while (true) {
      const int ready = poll(&readable, 1, -1);
      if (ready < 0 && errno == EINTR) continue;  // libFuzzer's own alarm.
      if (ready != 1 || recv(fd, buffer, sizeof(buffer), 0) <= 0) return;
    }
  }

  net::IoPool pool_{1};
  Server server_;
  net::Protocol protocol_;
  // On the pool's thread.
  std::vector<Responder> kept_;
  std::vector<StreamWaker> wakers_;
};

}  // namespace
}  // namespace mokv::rpc

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static auto* const subject = new mokv::rpc::Subject;
  subject->Run({reinterpret_cast<const char*>(data), size});
  return 0;
}
