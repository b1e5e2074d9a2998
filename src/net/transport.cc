#include "net/transport.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <ctime>
#include <utility>

#include "base/check.h"
#include "base/give_back.h"
#include "base/status.h"
#include "base/utf8.h"
#include "net/address.h"

namespace mokv::net {
namespace {

// All transports of a thread share it: bytes are handed over before the next read.
constexpr size_t kReadBufferBytes = size_t{64} << 10;

// RFC 8446, 6.2: alerts about a certificate, or about what the two cannot agree on.
bool IsAlertOfHandshake(int reason) {
  switch (reason) {
    case SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE:
    case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
    case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
    case SSL_R_TLSV1_ALERT_ACCESS_DENIED:
    case SSL_R_TLSV1_ALERT_DECRYPT_ERROR:
    case SSL_R_TLSV1_ALERT_PROTOCOL_VERSION:
    case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED:
      return true;
    default:
      return false;
  }
}

// CVE-2024-4741: before these, OpenSSL frees a buffer in which a part of a record waits.
bool CanFreeBuffers() {
  static const bool can = [] {
    const unsigned minor = OPENSSL_version_minor();
    constexpr unsigned kMended[] = {14, 6, 2, 1};  // Of 3.0 to 3.3.
    return OPENSSL_version_major() > 3 || minor >= std::size(kMended) ||
           OPENSSL_version_patch() >= kMended[minor];
  }();
  return can;
}

char* ReadBuffer() {
  static thread_local const std::unique_ptr<std::array<char, kReadBufferBytes>> buffer =
      std::make_unique<std::array<char, kReadBufferBytes>>();
  return buffer->data();
}

void SetSocketOptions(int fd) {
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
  // A peer that vanishes without a word is noticed within a minute: by probes while the connection
  // is quiet, and by the limit on unacknowledged bytes while some are on their way, when probes
  // rest.
  const int idle_s = 30;
  const int interval_s = 10;
  const int probes = 3;
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof(idle_s));
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof(interval_s));
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof(probes));
  const unsigned unacknowledged_ms = 60'000;
  setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unacknowledged_ms, sizeof(unacknowledged_ms));
}

}  // namespace

Transport::Transport(IoThread& thread, int fd, std::shared_ptr<const TlsContext> tls)
    : thread_(&thread), fd_(fd), tls_(std::move(tls)) {
  MOKV_CHECK_GE(fd_, 0);
  SetSocketOptions(fd_);
  sockaddr_storage address{};
  socklen_t size = sizeof(address);
  if (getpeername(fd_, reinterpret_cast<sockaddr*>(&address), &size) == 0) {
    peer_address_ = FormatSocketAddress(address);
  }
  if (tls_ != nullptr) {
    ssl_ = SSL_new(tls_->get());
    MOKV_CHECK(ssl_ != nullptr);
    SSL_set_fd(ssl_, fd_);
    if (tls_->is_server()) {
      SSL_set_accept_state(ssl_);
    } else {
      SSL_set_connect_state(ssl_);
    }
  }
}

Transport::~Transport() {
  Close();
  *alive_ = false;
}

void Transport::ExpectServerName(const std::string& host) {
  if (ssl_ == nullptr) return;
  in6_addr ignored;
  const bool is_address = inet_pton(AF_INET, host.c_str(), &ignored) == 1 ||
                          inet_pton(AF_INET6, host.c_str(), &ignored) == 1;
  const bool expected = is_address
                            ? X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl_), host.c_str()) == 1
                            : !host.empty() && SSL_set_tlsext_host_name(ssl_, host.c_str()) == 1 &&
                                  SSL_set1_host(ssl_, host.c_str()) == 1;
  ERR_clear_error();
  // Otherwise any server would do.
  if (!expected) failure_ = InvalidArgument("no server can be named {}", Quoted(host));
}

void Transport::Start(Handler* handler) {
  handler_ = handler;
  thread_->poller().Add(fd_, EPOLLIN, this);
  if (ssl_ == nullptr) {
    ready_ = true;
    handler_->OnReady();
  } else if (!failure_.ok()) {
    ReportFailureSoon();
  } else if (!tls_->is_server()) {  // The other side begins.
    DoHandshake();
  }
}

void Transport::Detach() {
  thread_->poller().Remove(fd_, this);
  handler_ = nullptr;
  watching_writes_ = false;
  kept_here_ = nullptr;
  *alive_ = false;
  alive_ = std::make_shared<bool>(true);
}

void Transport::MoveTo(std::unique_ptr<Transport> transport, IoThread& thread,
                       absl::AnyInvocable<void(std::unique_ptr<Transport>)> arrived) {
  MOKV_CHECK(transport->ready_ && !transport->closed());
  transport->Detach();
  // Through a task of its own thread: callbacks of this transport may be on the stack, and look at
  // it once more before they return.
  IoThread& from = *transport->thread_;
  from.Post([&thread, transport = std::move(transport), arrived = std::move(arrived)]() mutable {
    transport->thread_ = &thread;
    thread.Post([transport = std::move(transport), arrived = std::move(arrived)]() mutable {
      arrived(std::move(transport));
    });
  });
}

void Transport::Resume(Handler* handler) {
  MOKV_CHECK(handler_ == nullptr && !closed());
  handler_ = handler;
  watching_writes_ = blocked() || read_wants_write_;
  thread_->poller().Add(fd_, watching_writes_ ? EPOLLIN | EPOLLOUT : EPOLLIN, this);
  if (!failure_.ok()) {
    ReportFailureSoon();
  } else if (ssl_ != nullptr && SSL_has_pending(ssl_) == 1) {
    // epoll does not tell of bytes that OpenSSL already holds.
    thread_->Post([this, alive = alive_] {
      if (*alive && !closed()) ReadAvailable();
    });
  }
}

void Transport::ReportFailureSoon() {
  thread_->Post([this, alive = alive_] {
    if (*alive && !closed()) Fail(failure_);
  });
}

void Transport::OnReady(uint32_t events) {
  if (!ready_) {
    ContinueHandshake();
    return;
  }
  bool read = (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0;
  if ((events & EPOLLOUT) != 0) {
    read |= std::exchange(read_wants_write_, false);
    WritePending();
  }
  if (read && handler_ != nullptr) ReadAvailable();
}

void Transport::ContinueHandshake() {
  // Strangers' can wait.
  if (tls_->is_server() && !thread_->handshakes().TakeStep(this)) {
    waits_for_step_ = true;
    thread_->poller().Remove(fd_, this);
    return;
  }
  DoHandshake();
}

void Transport::Step() {
  waits_for_step_ = false;
  thread_->poller().Add(fd_, watching_writes_ ? EPOLLIN | EPOLLOUT : EPOLLIN, this);
  DoHandshake();
}

void Transport::DoHandshake() {
  ERR_clear_error();
  const int result = SSL_do_handshake(ssl_);
  if (result == 1) {
    FinishHandshake();
    return;
  }
  const int error = SSL_get_error(ssl_, result);
  if (error == SSL_ERROR_WANT_READ) {
    WatchWrites(false);
  } else if (error == SSL_ERROR_WANT_WRITE) {
    WatchWrites(true);
  } else {
    Fail(TlsError(error, "TLS handshake"));
  }
}

void Transport::FinishHandshake() {
  ready_ = true;
  WatchWrites(false);
  SSL_set_msg_callback(ssl_, OnTlsMessage);
  SSL_set_msg_callback_arg(ssl_, this);
  peer_name_ = PeerCommonName(ssl_);
  peer_valid_until_unix_s_ = PeerValidUntil(ssl_);
  const unsigned char* name = nullptr;
  unsigned size = 0;
  SSL_get0_alpn_selected(ssl_, &name, &size);
  protocol_.assign(reinterpret_cast<const char*>(name), size);
  handler_->OnReady();
  // The first request may have come together with the end of the handshake; epoll does not tell of
  // bytes that OpenSSL already holds.
  if (handler_ != nullptr && SSL_has_pending(ssl_) == 1) ReadAvailable();
}

void Transport::OnTlsMessage(int is_sent, int version, int type, const void* bytes, size_t size,
                             ssl_st*, void* transport) {
  auto& self = *static_cast<Transport*>(transport);
  if (type == SSL3_RT_HANDSHAKE && is_sent == 0) {
    // HTTP/2 has none (RFC 9113, 9.2.1), and neither has anything else here.
    if (version < TLS1_3_VERSION) return self.StopReading("renegotiation");
    self.CountTlsMessage();
  } else if (type == SSL3_RT_ALERT && is_sent == 0) {
    self.CountTlsMessage();
  } else if (type == SSL3_RT_ALERT && size == 2) {
    // OpenSSL's answer to a ClientHello is all that it tells of it.
    const int alert = static_cast<const unsigned char*>(bytes)[1];
    if (alert == SSL_AD_NO_RENEGOTIATION) self.StopReading("renegotiation");
  }
}

void Transport::CountTlsMessage() {
  const auto now = std::chrono::steady_clock::now();
  if (tls_messages_ == 0 || now - tls_messages_since_ > std::chrono::minutes(1)) {
    tls_messages_since_ = now;
    tls_messages_ = 0;
  }
  if (++tls_messages_ > kTlsMessagesMax) StopReading("too many messages of TLS itself");
}

// OpenSSL would go on with such messages for as long as any come.
void Transport::StopReading(std::string_view why) {
  if (!abuse_.empty()) return;
  abuse_ = why;
  SSL_set0_rbio(ssl_, BIO_new_mem_buf("", 0));
}

absl::Status Transport::VerifyAgain(const TlsContext& context) const {
  if (ssl_ == nullptr) return absl::OkStatus();
  // Nothing can have changed but the time.
  if (tls_.get() == &context && std::time(nullptr) < peer_valid_until_unix_s_.value_or(0)) {
    return absl::OkStatus();
  }
  MOKV_ASSIGN_OR_RETURN(peer_valid_until_unix_s_, context.VerifyAgain(ssl_));
  return absl::OkStatus();
}

void Transport::ReadAvailable() {
  const std::shared_ptr<bool> alive = alive_;
  char* buffer = ReadBuffer();
  size_t total = 0;
  bool read_any = false;
  const size_t turn_bytes = read_bytes_per_turn_;
  while (total < turn_bytes) {
    const size_t wanted = std::min(kReadBufferBytes, turn_bytes - total);
    const ssize_t size = ReadSome(buffer, wanted);
    if (size < 0) return;
    if (size == 0) break;
    read_any = true;
    total += static_cast<size_t>(size);
    handler_->OnBytes({buffer, static_cast<size_t>(size)});
    if (!*alive || closed()) return;
    // A short read means that the socket is empty: that saves a system call.
    if (ssl_ == nullptr && static_cast<size_t>(size) < wanted) break;
    if (ssl_ != nullptr && SSL_has_pending(ssl_) == 0) break;
  }
  if (read_any) handler_->OnReadEnd();
  if (!*alive || closed()) return;
  if (ssl_ != nullptr && SSL_has_pending(ssl_) == 1 && total >= turn_bytes) {
    thread_->Post([this, alive] {
      if (*alive && !closed()) ReadAvailable();
    });
  }
}

ssize_t Transport::ReadSome(char* buffer, size_t size_bytes) {
  if (ssl_ == nullptr) {
    const ssize_t size = recv(fd_, buffer, size_bytes, 0);
    if (size > 0) return size;
    if (size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) return 0;
    Fail(size == 0 ? absl::OkStatus() : ErrnoStatus(errno, "recv"));
    return -1;
  }
  ERR_clear_error();
  const int size = SSL_read(ssl_, buffer, static_cast<int>(size_bytes));
  if (!abuse_.empty()) {
    ERR_clear_error();
    Fail(Unavailable("TLS read: {}", abuse_));
    return -1;
  }
  if (size > 0) return size;
  const int error = SSL_get_error(ssl_, size);
  if (error == SSL_ERROR_WANT_READ) return 0;
  if (error == SSL_ERROR_WANT_WRITE) {
    read_wants_write_ = true;
    WatchWrites(true);
    return 0;
  }
  Fail(error == SSL_ERROR_ZERO_RETURN ? absl::OkStatus() : TlsError(error, "TLS read"));
  return -1;
}

ssize_t Transport::WriteSome(std::string_view bytes) {
  if (ssl_ == nullptr) {
    const ssize_t size = send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (size >= 0) return size;
    if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) return 0;
    failure_ = ErrnoStatus(errno, "send");
    return -1;
  }
  ERR_clear_error();
  size_t written = 0;
  if (SSL_write_ex(ssl_, bytes.data(), bytes.size(), &written) == 1) {
    return static_cast<ssize_t>(written);
  }
  const int error = SSL_get_error(ssl_, 0);
  if (error == SSL_ERROR_WANT_WRITE || error == SSL_ERROR_WANT_READ) return 0;
  failure_ = TlsError(error, "TLS write");
  return -1;
}

void Transport::Send(std::string_view bytes) {
  if (closed() || !failure_.ok()) return;
  if (blocked()) {
    pending_ += bytes;
    return;
  }
  while (!bytes.empty()) {
    const ssize_t size = WriteSome(bytes);
    if (size < 0) {
      // Reported from the loop, not from inside the caller's own call.
      ReportFailureSoon();
      return;
    }
    if (size == 0) {
      pending_.assign(bytes);
      pending_sent_ = 0;
      WatchWrites(true);
      return;
    }
    sent_bytes_ += static_cast<size_t>(size);
    bytes.remove_prefix(static_cast<size_t>(size));
  }
}

void Transport::WritePending() {
  while (blocked()) {
    const ssize_t size = WriteSome(std::string_view(pending_).substr(pending_sent_));
    if (size < 0) {
      Fail(failure_);
      return;
    }
    if (size == 0) break;
    pending_sent_ += static_cast<size_t>(size);
    sent_bytes_ += static_cast<size_t>(size);
  }
  if (blocked()) {
    // What is left moves to the front only now and then: a slow reader of a long queue would make
    // the cost quadratic.
    if (pending_sent_ < pending_.size() / 2) return;
    pending_.erase(0, pending_sent_);
    pending_sent_ = 0;
    return;
  }
  pending_.clear();
  pending_sent_ = 0;
  if (pending_.capacity() > kPendingKeptBytesMax) GiveBack(pending_);
  WatchWrites(false);
  handler_->OnWritable();
}

void Transport::SetReadBytesPerTurn(size_t bytes) {
  MOKV_CHECK_GE(bytes, size_t{1});
  read_bytes_per_turn_ = std::min(bytes, kReadBytesPerTurnMax);
}

void Transport::ReleaseBuffers() {
  if (pending_.empty()) GiveBack(pending_);
  // OpenSSL keeps those in which something waits.
  if (ssl_ != nullptr && ready_ && CanFreeBuffers()) SSL_free_buffers(ssl_);
}

void Transport::WatchWrites(bool watch) {
  if (watch == watching_writes_) return;
  watching_writes_ = watch;
  thread_->poller().Modify(fd_, watch ? EPOLLIN | EPOLLOUT : EPOLLIN, this);
}

void Transport::Fail(absl::Status reason) {
  if (closed()) return;
  Handler* handler = handler_;
  if (!reason.ok()) failure_ = reason;  // After an error TLS must not send its goodbye.
  Close();
  if (handler != nullptr) handler->OnClosed(reason);
}

void Transport::Close() {
  if (closed()) return;
  if (ssl_ != nullptr) {
    // Says goodbye if the socket takes it; never waits for the answer.
    if (ready_ && failure_.ok()) {
      ERR_clear_error();
      SSL_shutdown(ssl_);
      ERR_clear_error();
    }
    SSL_free(ssl_);
    ssl_ = nullptr;
  }
  if (handler_ != nullptr) thread_->poller().Remove(fd_, this);
  if (std::exchange(waits_for_step_, false)) thread_->handshakes().Leave(this);
  close(fd_);
  fd_ = -1;
  handler_ = nullptr;
  kept_here_ = nullptr;
}

absl::Status Transport::TlsError(int ssl_error, std::string_view doing) {
  if (ssl_error == SSL_ERROR_SYSCALL) {
    const int error = errno;
    ERR_clear_error();
    if (error != 0) return ErrnoStatus(error, doing);
    return Unavailable("{}: the other side closed the connection", doing);
  }
  // The last of the queue is the one that ended it; other libraries have reasons of their own.
  const unsigned long last = ERR_peek_last_error();
  const int reason = ERR_GET_LIB(last) == ERR_LIB_SSL ? ERR_GET_REASON(last) : 0;
  refused_by_tls_ = reason != SSL_R_UNEXPECTED_EOF_WHILE_READING;
  handshake_was_refused_ = IsAlertOfHandshake(reason);
  // It says no more than that verification failed.
  if (reason == SSL_R_CERTIFICATE_VERIFY_FAILED) {
    TakeOpenSslError();
    return Unavailable("{}: its certificate is not accepted: {}", doing,
                       VerificationText(SSL_get_verify_result(ssl_)));
  }
  return Unavailable("{}: {}", doing, TakeOpenSslError());
}

}  // namespace mokv::net
