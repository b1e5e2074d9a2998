// A client connection with calls of all kinds against a server that sends any bytes and then closes:
// each call ends exactly once, hears nothing behind its end, and leaves nothing behind.
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <future>
#include <vector>

#include "base/check.h"
#include "rpc/client_call.h"
#include "rpc/client_connection.h"

namespace mokv::rpc {
namespace {

constexpr uint64_t kMessageBytesMax = 1000;
// Streams 1, 3 and so on, in this order.
enum Kind : size_t { kUnary, kStream, kBidi, kSlowReader, kCancelled, kKinds };

// What has become of the calls of one input.
struct Seen {
  std::array<int, kKinds> ends{};
  std::array<int, kKinds> alive{};
};

// Says a message, and one more for each that it takes.
class Exchange final : public ClientExchange {
 public:
  Exchange(Kind kind, Seen& seen, std::function<void()> took)
      : kind_(kind), seen_(seen), took_(std::move(took)) {
    ++seen_.alive[kind_];
  }
  ~Exchange() override { --seen_.alive[kind_]; }

  Next Produce(std::string* message) override {
    CheckOpen();
    if (may_say_ == 0) return messages_end_ ? Next::kEnd : Next::kWait;
    --may_say_;
    message->append(2'000, 'x');
    return Next::kMessage;
  }
  // A slow one says no every second time.
  bool HasRoom() const override { return kind_ != kSlowReader || ++asked_ % 2 == 0; }
  void Take(const ReceivedMessage& message) override {
    CheckOpen();
    MOKV_CHECK_LE(message.bytes.size(), kMessageBytesMax);
    ++may_say_;
    took_();
  }
  void End() override {
    CheckOpen();
    messages_end_ = true;
  }
  void OnLeading(const Metadata&) override {
    CheckOpen();
    MOKV_CHECK(!leading_);
    leading_ = true;
    took_();
  }
  void OnEnd(const CallEnd&) override { ++seen_.ends[kind_]; }

 private:
  void CheckOpen() const {
    MOKV_CHECK_EQ(seen_.ends[kind_], 0);
    MOKV_CHECK(!messages_end_);
  }

  const Kind kind_;
  Seen& seen_;
  const std::function<void()> took_;
  int may_say_ = 1;
  mutable int asked_ = 0;
  bool leading_ = false;
  bool messages_end_ = false;
};

class Subject final : public ClientConnection::Owner {
 public:
  Subject() {
    options_.target = {"localhost", 1};
    options_.message_bytes_max = kMessageBytesMax;
    pool_.Start();
  }

  void Run(std::string_view input) {
    int fds[2];
    MOKV_CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
    (void)send(fds[0], input.data(), input.size(), MSG_NOSIGNAL);
    shutdown(fds[0], SHUT_WR);
    std::promise<void> disconnected;
    disconnected_ = &disconnected;
    seen_ = {};
    pool_.thread(0).Post([this, fd = fds[1]] {
      auto transport = std::make_unique<net::Transport>(pool_.thread(0), fd, nullptr);
      connection_ = std::make_unique<ClientConnection>(*this, pool_.thread(0), options_,
                                                       Duration(0), std::move(transport));
      connection_->Start();
    });
    disconnected.get_future().wait();
    close(fds[0]);
    for (const int ends : seen_.ends) MOKV_CHECK_EQ(ends, 1);
    for (const int alive : seen_.alive) MOKV_CHECK_EQ(alive, 0);
  }

 private:
  void OnConnected() override {
    auto unary = NewCall();
    MOKV_CHECK(unary->request.SetMessage("", kMessageBytesMax).ok());
    unary->unary_done = [this](const CallEnd&, std::string_view) { ++seen_.ends[kUnary]; };
    connection_->Submit(std::move(unary));
    auto stream = NewCall();
    MOKV_CHECK(stream->request.SetMessage("", kMessageBytesMax).ok());
    stream->on_message = [this](std::string_view) { MOKV_CHECK_EQ(seen_.ends[kStream], 0); };
    stream->stream_done = [this](const CallEnd&) { ++seen_.ends[kStream]; };
    connection_->Submit(std::move(stream));
    for (const Kind kind : {kBidi, kSlowReader, kCancelled}) {
      auto call = NewCall();
      auto exchange = std::make_unique<Exchange>(
          kind, seen_, [this, kind, weak = std::weak_ptr<ClientCall>(call)] { Later(kind, weak); });
      call->metadata = {{"raw-bin", "\xff"}};
      call->compress = true;
      call->request.SetSource(*exchange, true, UINT32_MAX);
      call->exchange = std::move(exchange);
      connection_->Submit(std::move(call));
    }
  }

  static std::shared_ptr<ClientCall> NewCall() {
    auto call = std::make_shared<ClientCall>();
    call->method = "/t.T/Call";
    return call;
  }

  // What a channel does for handles.
  void Later(Kind kind, const std::weak_ptr<ClientCall>& weak) {
    pool_.thread(0).Post([kind, weak] {
      const std::shared_ptr<ClientCall> call = weak.lock();
      if (call == nullptr || call->connection == nullptr) return;
      if (kind == kCancelled) {
        call->connection->Fail(*call, absl::CancelledError("cancelled"));
      } else {
        call->connection->Wake(*call);
      }
    });
  }

  void OnAnswered(std::shared_ptr<ClientCall> call) override {
    answered_.push_back(std::move(call));
  }

  void OnDisconnected(ClientConnection&, const absl::Status& reason) override {
    MOKV_CHECK(!reason.ok());
    for (const std::shared_ptr<ClientCall>& call : std::exchange(answered_, {})) {
      absl::Status broken;
      while (broken.ok() && call->blocked()) broken = call->TakeData({}, kMessageBytesMax).status;
      if (broken.ok()) {
        call->EndWithAnswer();
      } else {
        call->Finish(broken);
      }
    }
    pool_.thread(0).DeleteSoon(std::move(connection_));
    disconnected_->set_value();
  }

  void OnEstablished(ClientConnection&) override {}
  void OnRoom() override {}
  void OnGoAway(ClientConnection& connection, bool) override {
    MOKV_CHECK(connection.going_away());
  }

  ChannelOptions options_;
  net::IoPool pool_{1};
  std::unique_ptr<ClientConnection> connection_;
  std::vector<std::shared_ptr<ClientCall>> answered_;
  std::promise<void>* disconnected_ = nullptr;
  Seen seen_;
};

}  // namespace
}  // namespace mokv::rpc

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static auto* const subject = new mokv::rpc::Subject;
  // The sockets hold this much before anyone reads.
  subject->Run({reinterpret_cast<const char*>(data), std::min(size, size_t{64} << 10)});
  return 0;
}
