// Blocking sockets for tests of what ill-behaved clients and servers may do.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>
#include <string_view>
#include <utility>

#include "base/check.h"

namespace mokv::net {

class RawSocket {
 public:
  // Not connected yet.
  RawSocket() : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) { MOKV_CHECK_GE(fd_, 0); }
  explicit RawSocket(uint16_t port) : RawSocket() { Connect(port); }
  ~RawSocket() { Close(); }
  RawSocket(RawSocket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  RawSocket& operator=(RawSocket&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }

  void Connect(uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    MOKV_CHECK_EQ(connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  }
  int fd() const { return fd_; }

  // False once the other side has broken the connection.
  bool Send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      bytes.remove_prefix(static_cast<size_t>(sent));
    }
    return true;
  }

  // Appends what comes; false when the connection has ended, or nothing came for 10 seconds.
  bool Receive(std::string& out) {
    char buffer[16 << 10];
    pollfd readable{fd_, POLLIN, 0};
    if (poll(&readable, 1, 10'000) != 1) return false;
    const ssize_t size = recv(fd_, buffer, sizeof(buffer), 0);
    if (size <= 0) return false;
    out.append(buffer, static_cast<size_t>(size));
    return true;
  }

  // Whether the other side ends the connection, within 10 seconds of its last byte.
  bool WaitForEnd() {
    char buffer[16 << 10];
    for (;;) {
      pollfd readable{fd_, POLLIN, 0};
      if (poll(&readable, 1, 10'000) != 1) return false;
      if (recv(fd_, buffer, sizeof(buffer), 0) <= 0) return true;
    }
  }

  void Close() {
    if (fd_ >= 0) close(std::exchange(fd_, -1));
  }

 private:
  friend class RawListener;
  struct Connected {
    int fd;
  };
  explicit RawSocket(Connected connected) : fd_(connected.fd) {}

  int fd_;
};

inline uint16_t BindToFreePort(int fd) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  MOKV_CHECK_EQ(bind(fd, reinterpret_cast<sockaddr*>(&address), size), 0);
  MOKV_CHECK_EQ(getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size), 0);
  return ntohs(address.sin_port);
}

// Listens on a free port of the loopback interface; the system takes connections by itself.
class RawListener {
 public:
  RawListener() : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    port_ = BindToFreePort(fd_);
    MOKV_CHECK_EQ(listen(fd_, 1), 0);
  }
  ~RawListener() { close(fd_); }
  RawListener(const RawListener&) = delete;
  RawListener& operator=(const RawListener&) = delete;

  uint16_t port() const { return port_; }

  // Waits for the next connection.
  RawSocket Accept() {
    const int fd = accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC);
    MOKV_CHECK_GE(fd, 0);
    return RawSocket(RawSocket::Connected{fd});
  }

 private:
  int fd_;
  uint16_t port_ = 0;
};

// A port of the loopback interface where nobody listens, and that no test beside this one is given:
// who connects to it is refused. Servers that set SO_REUSEADDR, as ours do, may listen on it.
class ReservedPort {
 public:
  ReservedPort() : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    const int on = 1;
    MOKV_CHECK_EQ(setsockopt(fd_, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), 0);
    port_ = BindToFreePort(fd_);
  }
  ~ReservedPort() { close(fd_); }
  ReservedPort(const ReservedPort&) = delete;
  ReservedPort& operator=(const ReservedPort&) = delete;

  uint16_t port() const { return port_; }

 private:
  int fd_;
  uint16_t port_ = 0;
};

}  // namespace mokv::net
