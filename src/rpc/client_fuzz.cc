// A client connection against a server that sends any bytes and then closes: each call ends exactly
// once.
#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>
#include <future>

#include "base/check.h"
#include "rpc/client_call.h"
#include "rpc/client_connection.h"
#include "rpc/grpc_wire.h"

namespace mokv::rpc {
namespace {

class Subject final : public ClientConnection::Owner {
 public:
  Subject() {
    options_.target = {"localhost", 1};
    options_.message_bytes_max = 1000;
    pool_.Start();
  }

  void Run(std::string_view input) {
    int fds[2];
    MOKV_CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
    (void)send(fds[0], input.data(), input.size(), MSG_NOSIGNAL);
    shutdown(fds[0], SHUT_WR);
    std::promise<void> disconnected;
    disconnected_ = &disconnected;
    unary_ends_ = 0;
    stream_ends_ = 0;
    pool_.thread(0).Post([this, fd = fds[1]] {
      auto transport = std::make_unique<net::Transport>(pool_.thread(0), fd, nullptr);
      connection_ = std::make_unique<ClientConnection>(*this, pool_.thread(0), options_,
                                                       std::move(transport));
      connection_->Start();
    });
    disconnected.get_future().wait();
    close(fds[0]);
    MOKV_CHECK_EQ(unary_ends_, 1);
    MOKV_CHECK_EQ(stream_ends_, 1);
  }

 private:
  static std::unique_ptr<ClientCall> NewCall() {
    auto call = std::make_unique<ClientCall>();
    call->method = "/t.T/Call";
    call->request.resize(kMessagePrefixBytes);
    return call;
  }

  void OnConnected() override {
    auto unary = NewCall();
    unary->unary_done = [this](const CallEnd&, std::string_view) { ++unary_ends_; };
    connection_->Submit(std::move(unary));
    auto stream = NewCall();
    stream->on_message = [this](std::string_view) { MOKV_CHECK_EQ(stream_ends_, 0); };
    stream->stream_done = [this](const CallEnd&) { ++stream_ends_; };
    connection_->Submit(std::move(stream));
  }

  void OnDisconnected(ClientConnection&, const absl::Status& reason) override {
    MOKV_CHECK(!reason.ok());
    pool_.thread(0).DeleteSoon(std::move(connection_));
    disconnected_->set_value();
  }

  ChannelOptions options_;
  net::IoPool pool_{1};
  std::unique_ptr<ClientConnection> connection_;
  std::promise<void>* disconnected_ = nullptr;
  int unary_ends_ = 0;
  int stream_ends_ = 0;
};

}  // namespace
}  // namespace mokv::rpc

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static auto* const subject = new mokv::rpc::Subject;
  // The sockets hold this much before anyone reads.
  subject->Run({reinterpret_cast<const char*>(data), std::min(size, size_t{64} << 10)});
  return 0;
}
