#include "rpc/channel.h"

#include <absl/container/flat_hash_map.h>

#include <algorithm>
#include <deque>
#include <vector>

#include "base/check.h"
#include "base/mutex.h"
#include "base/random.h"
#include "base/status.h"
#include "net/connector.h"
#include "rpc/client_call.h"
#include "rpc/client_connection.h"

namespace mokv::rpc {
namespace {

// A server that goes on complaining of PINGs gets hardly any.
constexpr Duration kKeepaliveIdleMax = std::chrono::hours(24);

}  // namespace

// All of it runs on the I/O thread, but for what Channel posts, and Now.
class Channel::Impl final : public ClientConnection::Owner,
                            public std::enable_shared_from_this<Channel::Impl> {
 public:
  Impl(net::IoThread& thread, Options options)
      : thread_(thread),
        options_(std::move(options)),
        connector_(thread),
        connect_timer_(thread),
        backoff_(options_.backoff, NewSalt()),
        retry_timer_(thread),
        keepalive_idle_(options_.keepalive_idle),
        deadlines_(thread, *options_.clock, [this](ClientCall* call) { Expire(*call); }) {}

  net::IoThread& thread() { return thread_; }
  const Options& options() const { return options_; }

  // From any thread: a call with one message.
  void Post(std::shared_ptr<ClientCall> call, std::string request) {
    absl::Status fits = call->request.SetMessage(std::move(request), options_.request_bytes_max);
    thread_.Post(
        [impl = shared_from_this(), call = std::move(call), fits = std::move(fits)]() mutable {
          if (fits.ok()) {
            impl->Begin(std::move(call));
          } else {
            call->Finish(fits);
          }
        });
  }
  void Begin(std::shared_ptr<ClientCall> call);
  // Ends a call at once, wherever it is.
  void End(ClientCall& call, const absl::Status& status);
  void Wake(ClientCall& call);
  void ShutDown();

 private:
  void SetState(ChannelState state, const absl::Status& reason = absl::OkStatus());
  void Connect();
  void ConnectForWaiting();
  void FailConnecting(const absl::Status& reason);
  void SubmitWaiting();
  void Expire(ClientCall& call);
  void OnConnected() override { SubmitWaiting(); }
  void OnEstablished(ClientConnection& connection) override;
  void OnRoom() override;
  void OnGoAway(ClientConnection& connection, bool too_many_pings) override;
  void OnAnswered(std::shared_ptr<ClientCall> call) override;
  void OnDisconnected(ClientConnection& connection, const absl::Status& reason) override;
  void DropConnection(const absl::Status& reason);

  net::IoThread& thread_;
  const Options options_;
  ChannelState state_ = ChannelState::kIdle;
  // For a connection, for the server to allow more calls, or for it to be ready.
  std::deque<std::shared_ptr<ClientCall>> waiting_;
  std::unique_ptr<ClientConnection> connection_;
  // Told to go away by the server; they stay until their calls are over.
  std::vector<std::unique_ptr<ClientConnection>> retiring_;
  // Over for the server; their exchanges have no room for what it has said.
  absl::flat_hash_map<ClientCall*, std::shared_ptr<ClientCall>> answered_;
  net::Connector connector_;
  net::Timer connect_timer_;
  Backoff backoff_;
  MonotonicTime attempt_began_;
  Duration attempt_backoff_{0};  // From then on.
  absl::Status failure_;         // Of the last attempt.
  net::Timer retry_timer_;
  Duration keepalive_idle_;
  DeadlineQueue<ClientCall*> deadlines_;
};

// The way of handles to the channel while there is one.
class Channel::Gate final : public CallGate {
 public:
  explicit Gate(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}

  // The channel ends: its I/O thread may go.
  void Shut() {
    MutexLock lock(mutex_);
    impl_ = nullptr;
  }

  void Cancel(std::weak_ptr<ClientCall> call) override {
    Post(std::move(call), [](Impl& impl, ClientCall& call) {
      impl.End(call, absl::CancelledError("the call was cancelled"));
    });
  }

  void Wake(std::weak_ptr<ClientCall> call) override {
    // One that is on its way already will do.
    if (const auto known = call.lock(); known == nullptr || known->wake_posted.exchange(true)) {
      return;
    }
    Post(std::move(call), [](Impl& impl, ClientCall& call) {
      call.wake_posted = false;
      impl.Wake(call);
    });
  }

 private:
  template <typename What>
  void Post(std::weak_ptr<ClientCall> call, What what) {
    MutexLock lock(mutex_);
    if (impl_ == nullptr) return;
    impl_->thread().Post([impl = impl_, call = std::move(call), what] {
      if (const std::shared_ptr<ClientCall> known = call.lock()) what(*impl, *known);
    });
  }

  Mutex mutex_;
  std::shared_ptr<Impl> impl_ ABSL_GUARDED_BY(mutex_);
};

void Channel::Impl::SetState(ChannelState state, const absl::Status& reason) {
  if (state == state_) return;
  state_ = state;
  if (options_.on_state) options_.on_state(state, reason);
}

void Channel::Impl::Begin(std::shared_ptr<ClientCall> call) {
  if (state_ == ChannelState::kShutDown) {
    call->Finish(absl::CancelledError("the channel was closed"));
    return;
  }
  if (state_ == ChannelState::kTransientFailure && !call->wait_for_ready) {
    call->Finish(failure_);
    return;
  }
  if (waiting_.size() >= options_.calls_waiting_max) {
    call->Finish(ResourceExhausted("{} calls wait for {} already", waiting_.size(),
                                   options_.target.ToString()));
    return;
  }
  if (call->deadline != MonotonicTime::Max()) {
    call->deadlines = &deadlines_;
    call->deadline_id = deadlines_.Add(call->deadline, call.get());
  }
  waiting_.push_back(std::move(call));
  if (connection_ != nullptr) {
    SubmitWaiting();
  } else if (state_ == ChannelState::kIdle) {
    Connect();
  }
}

// In their order, but that a call that waits for ready lets others pass until then.
void Channel::Impl::SubmitWaiting() {
  if (!connection_->ready()) return;
  auto call = waiting_.begin();
  while (call != waiting_.end() && connection_ != nullptr && connection_->HasRoom()) {
    if ((*call)->wait_for_ready && !connection_->established()) {
      ++call;
      continue;
    }
    std::shared_ptr<ClientCall> next = std::move(*call);
    call = waiting_.erase(call);
    connection_->Submit(std::move(next));  // It may be the connection's last.
  }
}

void Channel::Impl::End(ClientCall& call, const absl::Status& status) {
  if (call.connection != nullptr) {
    call.connection->Fail(call, status);
    return;
  }
  const auto found = std::find_if(waiting_.begin(), waiting_.end(),
                                  [&](const auto& candidate) { return candidate.get() == &call; });
  const std::shared_ptr<ClientCall> ended = call.shared_from_this();
  if (found != waiting_.end()) waiting_.erase(found);
  answered_.erase(&call);
  call.Finish(status);
}

void Channel::Impl::Expire(ClientCall& call) {
  if (call.connection != nullptr || answered_.contains(&call)) {
    End(call, absl::DeadlineExceededError("deadline exceeded"));
  } else if (failure_.ok()) {
    End(call, absl::DeadlineExceededError("deadline exceeded while connecting"));
  } else {
    End(call, absl::DeadlineExceededError(fmt::format(
                  "deadline exceeded while connecting; the last time: {}", MessageOf(failure_))));
  }
}

void Channel::Impl::Wake(ClientCall& call) {
  if (call.connection != nullptr) {
    call.connection->Wake(call);
    return;
  }
  const auto found = answered_.find(&call);
  if (found == answered_.end()) return;
  const std::shared_ptr<ClientCall> answered = found->second;
  const absl::Status broken = call.TakeData({}, options_.message_bytes_max).status;
  if (broken.ok() && call.blocked()) return;
  answered_.erase(found);
  if (broken.ok()) {
    call.EndWithAnswer();
  } else {
    call.Finish(broken);
  }
}

void Channel::Impl::Connect() {
  SetState(ChannelState::kConnecting);
  retry_timer_.Cancel();
  attempt_began_ = options_.clock->Now();
  attempt_backoff_ = backoff_.Next();
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
                     connection_ = std::make_unique<ClientConnection>(
                         *this, thread_, options_, keepalive_idle_, *std::move(transport));
                     connection_->Start();
                   });
}

// After a connection was lost that had been good. One that is good for no time is not asked for all the
// time.
void Channel::Impl::ConnectForWaiting() {
  if (waiting_.empty()) return;
  const MonotonicTime next = attempt_began_ + options_.backoff.initial;
  const MonotonicTime now = options_.clock->Now();
  if (next <= now) {
    Connect();
    return;
  }
  retry_timer_.Start(next - now, [this] {
    if (state_ == ChannelState::kIdle && !waiting_.empty()) Connect();
  });
}

void Channel::Impl::OnEstablished(ClientConnection& connection) {
  if (&connection != connection_.get()) return;
  connect_timer_.Cancel();
  backoff_.Reset();
  failure_ = absl::OkStatus();
  SetState(ChannelState::kReady);
}

void Channel::Impl::OnRoom() {
  if (connection_ != nullptr) SubmitWaiting();
}

void Channel::Impl::FailConnecting(const absl::Status& reason) {
  connect_timer_.Cancel();
  connector_.Cancel();
  DropConnection(reason);
  failure_ = reason;
  SetState(ChannelState::kTransientFailure, reason);
  const MonotonicTime next = attempt_began_ + attempt_backoff_;
  retry_timer_.Start(std::max(next - options_.clock->Now(), Duration(0)), [this] {
    if (state_ != ChannelState::kTransientFailure) return;
    if (waiting_.empty()) {
      SetState(ChannelState::kIdle);
    } else {
      Connect();
    }
  });
  auto failed = std::exchange(waiting_, {});
  for (auto& call : failed) {
    if (call->wait_for_ready) {
      waiting_.push_back(std::move(call));
    } else {
      call->Finish(reason);
    }
  }
}

void Channel::Impl::OnGoAway(ClientConnection& connection, bool too_many_pings) {
  if (too_many_pings) {
    keepalive_idle_ = std::min<Duration>(keepalive_idle_ * 2, kKeepaliveIdleMax);
  }
  if (&connection != connection_.get()) return;
  retiring_.push_back(std::move(connection_));
  connect_timer_.Cancel();
  SetState(ChannelState::kIdle);
  ConnectForWaiting();
}

void Channel::Impl::OnAnswered(std::shared_ptr<ClientCall> call) {
  ClientCall* key = call.get();
  answered_.emplace(key, std::move(call));
}

void Channel::Impl::OnDisconnected(ClientConnection& connection, const absl::Status& reason) {
  const auto retired = std::find_if(retiring_.begin(), retiring_.end(), [&](const auto& candidate) {
    return candidate.get() == &connection;
  });
  if (retired != retiring_.end()) {
    thread_.DeleteSoon(std::move(*retired));
    retiring_.erase(retired);
  } else if (state_ == ChannelState::kConnecting) {
    // Within the TLS handshake, or without a word of HTTP/2: the calls that wait would only meet the
    // same again.
    FailConnecting(Unavailable("cannot connect: {}", MessageOf(reason)));
  } else {
    DropConnection(reason);
    SetState(ChannelState::kIdle, reason);
    ConnectForWaiting();
  }
}

void Channel::Impl::DropConnection(const absl::Status& reason) {
  if (connection_ == nullptr) return;
  connection_->Abort(reason);
  thread_.DeleteSoon(std::move(connection_));
}

void Channel::Impl::ShutDown() {
  SetState(ChannelState::kShutDown);
  connect_timer_.Cancel();
  retry_timer_.Cancel();
  connector_.Cancel();
  const absl::Status closed = absl::CancelledError("the channel was closed");
  DropConnection(closed);
  for (auto& connection : std::exchange(retiring_, {})) {
    connection->Abort(closed);
    thread_.DeleteSoon(std::move(connection));
  }
  for (const auto& [key, call] : std::exchange(answered_, {})) call->Finish(closed);
  for (const auto& call : std::exchange(waiting_, {})) call->Finish(closed);
}

Channel::Channel(net::IoThread& thread, Options options)
    : impl_(std::make_shared<Impl>(thread, std::move(options))),
      gate_(std::make_shared<Gate>(impl_)) {}

Channel::~Channel() {
  gate_->Shut();
  impl_->thread().Post([impl = impl_] { impl->ShutDown(); });
}

namespace {

std::shared_ptr<ClientCall> NewCall(std::string method, Duration timeout,
                                    const ChannelOptions& options) {
  auto call = std::make_shared<ClientCall>();
  call->method = std::move(method);
  if (timeout != Duration(0)) call->deadline = options.clock->Now() + timeout;
  return call;
}

}  // namespace

void Channel::Call(std::string method, std::string request, Duration timeout, UnaryDone done) {
  auto call = NewCall(std::move(method), timeout, impl_->options());
  call->unary_done = std::move(done);
  impl_->Post(std::move(call), std::move(request));
}

void Channel::CallStream(std::string method, std::string request, Duration timeout,
                         OnMessage on_message, StreamDone done) {
  auto call = NewCall(std::move(method), timeout, impl_->options());
  call->on_message = std::move(on_message);
  call->stream_done = std::move(done);
  impl_->Post(std::move(call), std::move(request));
}

CallHandle Channel::Open(std::string method, CallOptions options,
                         std::unique_ptr<ClientExchange> exchange) {
  CheckMetadata(options.metadata);
  auto call = NewCall(std::move(method), options.timeout, impl_->options());
  call->metadata = std::move(options.metadata);
  call->compress = options.compress;
  call->wait_for_ready = options.wait_for_ready;
  call->request.SetSource(*exchange, options.compress, impl_->options().request_bytes_max);
  call->exchange = std::move(exchange);
  CallHandle handle(gate_, call);
  impl_->thread().Post(
      [impl = impl_, call = std::move(call)]() mutable { impl->Begin(std::move(call)); });
  return handle;
}

}  // namespace mokv::rpc
