#include "rpc/channel.h"

#include <algorithm>
#include <deque>
#include <vector>

#include "base/check.h"
#include "base/status.h"
#include "net/connector.h"
#include "rpc/client_call.h"
#include "rpc/client_connection.h"
#include "rpc/grpc_wire.h"

namespace mokv::rpc {

// All of it runs on the I/O thread, but for what Channel posts, and Now.
class Channel::Impl final : public ClientConnection::Owner,
                            public std::enable_shared_from_this<Channel::Impl> {
 public:
  Impl(net::IoThread& thread, Options options)
      : thread_(thread), options_(std::move(options)), connector_(thread), connect_timer_(thread) {}

  net::IoThread& thread() { return thread_; }
  MonotonicTime Now() const { return options_.clock->Now(); }

  void Begin(std::unique_ptr<ClientCall> call);
  void ShutDown();

 private:
  enum class State { kIdle, kConnecting, kConnected, kShutDown };

  void Connect();
  void ExpireWaiting(const ClientCall& call);
  void FailConnecting(const absl::Status& reason);
  void OnConnected() override;
  void OnDisconnected(ClientConnection& connection, const absl::Status& reason) override;
  void DropConnection();

  net::IoThread& thread_;
  const Options options_;
  State state_ = State::kIdle;
  std::deque<std::unique_ptr<ClientCall>> waiting_;  // For a connection.
  std::unique_ptr<ClientConnection> connection_;
  // Told to go away by the server; they stay until their calls are over.
  std::vector<std::unique_ptr<ClientConnection>> retiring_;
  net::Connector connector_;
  net::Timer connect_timer_;
};

void Channel::Impl::Begin(std::unique_ptr<ClientCall> call) {
  if (state_ == State::kShutDown) {
    call->Finish(absl::CancelledError("the channel was closed"));
    return;
  }
  if (state_ == State::kConnected && connection_->going_away()) {
    retiring_.push_back(std::move(connection_));
    state_ = State::kIdle;
  }
  const size_t waiting =
      state_ == State::kConnected ? connection_->waiting_calls() : waiting_.size();
  if (waiting >= options_.calls_waiting_max) {
    call->Finish(
        ResourceExhausted("{} calls wait for {} already", waiting, options_.target.ToString()));
    return;
  }
  if (state_ == State::kConnected) {
    connection_->Submit(std::move(call));
    return;
  }
  if (call->deadline != MonotonicTime::Max()) {
    call->timer = std::make_unique<net::Timer>(thread_);
    call->timer->Start(std::max(call->deadline - Now(), Duration(0)),
                       [this, waiting_call = call.get()] { ExpireWaiting(*waiting_call); });
  }
  waiting_.push_back(std::move(call));
  if (state_ == State::kIdle) Connect();
}

void Channel::Impl::ExpireWaiting(const ClientCall& call) {
  const auto found = std::find_if(waiting_.begin(), waiting_.end(),
                                  [&](const auto& candidate) { return candidate.get() == &call; });
  MOKV_CHECK(found != waiting_.end());  // Its timer goes with it.
  const std::unique_ptr<ClientCall> expired = std::move(*found);
  waiting_.erase(found);
  expired->Finish(absl::DeadlineExceededError("deadline exceeded while connecting"));
}

void Channel::Impl::Connect() {
  state_ = State::kConnecting;
  connect_timer_.Start(options_.connect_timeout, [this] {
    FailConnecting(Unavailable("cannot connect to {}: no answer within {} ms",
                               options_.target.ToString(),
                               options_.connect_timeout / std::chrono::milliseconds(1)));
  });
  connector_.Start(options_.target, options_.tls,
                   [this](absl::StatusOr<std::unique_ptr<net::Transport>> transport) {
                     if (!transport.ok()) {
                       FailConnecting(transport.status());
                       return;
                     }
                     connection_ = std::make_unique<ClientConnection>(*this, thread_, options_,
                                                                      *std::move(transport));
                     connection_->Start();
                   });
}

void Channel::Impl::OnConnected() {
  connect_timer_.Cancel();
  state_ = State::kConnected;
  while (!waiting_.empty()) {
    connection_->Submit(std::move(waiting_.front()));
    waiting_.pop_front();
  }
}

void Channel::Impl::FailConnecting(const absl::Status& reason) {
  connect_timer_.Cancel();
  connector_.Cancel();
  DropConnection();
  auto failed = std::move(waiting_);
  waiting_.clear();
  for (auto& call : failed) call->Finish(reason);
}

void Channel::Impl::OnDisconnected(ClientConnection& connection, const absl::Status& reason) {
  const auto retired = std::find_if(retiring_.begin(), retiring_.end(), [&](const auto& candidate) {
    return candidate.get() == &connection;
  });
  if (retired != retiring_.end()) {
    thread_.DeleteSoon(std::move(*retired));
    retiring_.erase(retired);
  } else if (state_ == State::kConnecting) {
    // Within the TLS handshake: the calls that wait would only meet the same again.
    FailConnecting(Unavailable("cannot connect: {}", MessageOf(reason)));
  } else {
    DropConnection();
  }
}

void Channel::Impl::DropConnection() {
  if (state_ != State::kShutDown) state_ = State::kIdle;
  if (connection_ == nullptr) return;
  connection_->Abort(absl::UnavailableError("the connection was dropped"));
  thread_.DeleteSoon(std::move(connection_));
}

void Channel::Impl::ShutDown() {
  state_ = State::kShutDown;
  connect_timer_.Cancel();
  connector_.Cancel();
  if (connection_ != nullptr) {
    connection_->Abort(absl::CancelledError("the channel was closed"));
    thread_.DeleteSoon(std::move(connection_));
  }
  for (auto& connection : retiring_) {
    connection->Abort(absl::CancelledError("the channel was closed"));
    thread_.DeleteSoon(std::move(connection));
  }
  retiring_.clear();
  auto waiting = std::move(waiting_);
  waiting_.clear();
  for (auto& call : waiting) call->Finish(absl::CancelledError("the channel was closed"));
}

namespace {

std::unique_ptr<ClientCall> NewCall(std::string method, std::string_view request, MonotonicTime now,
                                    Duration timeout) {
  auto call = std::make_unique<ClientCall>();
  call->method = std::move(method);
  call->request.resize(kMessagePrefixBytes);
  WriteMessagePrefix(static_cast<uint32_t>(request.size()), call->request.data());
  call->request += request;
  if (timeout != Duration(0)) call->deadline = now + timeout;
  return call;
}

}  // namespace

Channel::Channel(net::IoThread& thread, Options options)
    : impl_(std::make_shared<Impl>(thread, std::move(options))) {}

Channel::~Channel() {
  impl_->thread().Post([impl = impl_] { impl->ShutDown(); });
}

void Channel::Call(std::string method, std::string request, Duration timeout, UnaryDone done) {
  auto call = NewCall(std::move(method), request, impl_->Now(), timeout);
  call->unary_done = std::move(done);
  impl_->thread().Post(
      [impl = impl_, call = std::move(call)]() mutable { impl->Begin(std::move(call)); });
}

void Channel::CallStream(std::string method, std::string request, Duration timeout,
                         OnMessage on_message, StreamDone done) {
  auto call = NewCall(std::move(method), request, impl_->Now(), timeout);
  call->on_message = std::move(on_message);
  call->stream_done = std::move(done);
  impl_->thread().Post(
      [impl = impl_, call = std::move(call)]() mutable { impl->Begin(std::move(call)); });
}

}  // namespace mokv::rpc
