#include "load/connection.h"

#include <poll.h>

#include <array>
#include <utility>

#include "base/check.h"
#include "base/clock.h"
#include "base/status.h"

namespace mokv::load {
namespace {

constexpr size_t kReadBytes = 64 << 10;
constexpr int kPollMilliseconds = 100;

}  // namespace

Connection::Connection(std::unique_ptr<Transport> transport, uint32_t streams,
                       ConnectionOwner& owner)
    : owner_(owner), transport_(std::move(transport)), calls_(streams) {}

absl::StatusOr<std::unique_ptr<Connection>> Connection::Open(
    const LoadOptions& options, const std::shared_ptr<const TlsContext>& tls,
    std::span<const Request> requests, ConnectionOwner& owner) {
  MOKV_ASSIGN_OR_RETURN(const Endpoint endpoint, ParseEndpoint(options.endpoint));
  MOKV_ASSIGN_OR_RETURN(std::unique_ptr<Transport> transport,
                        Connect(endpoint, tls, options.timeout_seconds));
  std::unique_ptr<Connection> connection(
      new Connection(std::move(transport), options.streams, owner));
  const SessionOptions session = {.scheme = tls == nullptr ? "http" : "https",
                                  .authority = options.endpoint,
                                  .requests = requests,
                                  .calls = options.streams};
  connection->session_ = options.engine == Engine::kLean ? NewLeanSession(session, *connection)
                                                         : NewNghttp2Session(session, *connection);
  const absl::Status status = connection->AwaitSettings(options);
  if (!status.ok()) return Unavailable("{}: {}", options.endpoint, MessageOf(status));
  return connection;
}

absl::Status Connection::AwaitSettings(const LoadOptions& options) {
  const MonotonicTime deadline =
      SystemClock().Now() +
      std::chrono::duration_cast<Duration>(std::chrono::duration<double>(options.timeout_seconds));
  MOKV_RETURN_IF_ERROR(Flush());
  while (!session_->ready()) {
    if (SystemClock().Now() > deadline) return Unavailable("no HTTP/2 settings from the server");
    pollfd poll_fd = {.fd = fd(), .events = POLLIN, .revents = 0};
    if (poll(&poll_fd, 1, kPollMilliseconds) <= 0) continue;
    MOKV_RETURN_IF_ERROR(OnReadable());
    MOKV_RETURN_IF_ERROR(Flush());
  }
  if (session_->calls_max() < options.streams) {
    return FailedPrecondition("the server allows only {} streams a connection, not {}",
                              session_->calls_max(), options.streams);
  }
  return absl::OkStatus();
}

void Connection::Submit(Call& call) {
  absl::Status status = session_->Submit(call);
  if (call.open) ++open_calls_;
  wants_flush_ = true;
  if (!status.ok() && submit_status_.ok()) submit_status_ = std::move(status);
}

absl::Status Connection::OnReadable() {
  std::array<char, kReadBytes> buffer;
  size_t got = 0;
  do {
    MOKV_ASSIGN_OR_RETURN(got, transport_->Read(buffer.data(), buffer.size()));
    if (got == 0) break;
    owner_.OnRead();
    MOKV_RETURN_IF_ERROR(session_->Receive({buffer.data(), got}));
  } while (transport_->may_have_more());
  return submit_status_;
}

absl::Status Connection::Flush() {
  wants_flush_ = false;
  MOKV_RETURN_IF_ERROR(submit_status_);
  do {
    if (!wants_write()) {
      out_.clear();
      written_ = 0;
      MOKV_RETURN_IF_ERROR(session_->TakeOutput(out_));
      if (out_.empty()) return absl::OkStatus();
    }
    MOKV_ASSIGN_OR_RETURN(const size_t sent,
                          transport_->Write(std::string_view(out_).substr(written_)));
    written_ += sent;
    if (sent == 0) return absl::OkStatus();
  } while (true);
}

}  // namespace mokv::load
