// A TCP connection in clear or with TLS, as non-blocking reads and writes.
//
// Threads: a Transport is confined to its worker; TlsContext is immutable and shared.
// Errors:  UNAVAILABLE naming the endpoint, with the system's or OpenSSL's reason.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "load/options.h"

namespace mokv::load {

class TlsContext {
 public:
  virtual ~TlsContext() = default;
};

// TLS 1.2 or later, the server verified against the CA, ALPN "h2", our certificate if there is one.
absl::StatusOr<std::shared_ptr<const TlsContext>> NewTlsContext(const LoadOptions& options);

// host:port or [v6]:port.
struct Endpoint {
  std::string host;
  std::string port;
};
absl::StatusOr<Endpoint> ParseEndpoint(std::string_view text);

class Transport {
 public:
  virtual ~Transport() = default;

  virtual int fd() const = 0;
  // How many bytes were read or written now; 0: not now. UNAVAILABLE also when the peer has closed.
  virtual absl::StatusOr<size_t> Read(char* buffer, size_t size) = 0;
  // Whether a Read now could return bytes that epoll does not know of.
  virtual bool may_have_more() const = 0;
  virtual absl::StatusOr<size_t> Write(std::string_view bytes) = 0;
};

// Connects and shakes hands, blocking for at most `timeout_seconds` at each step. `tls` null means
// clear text.
absl::StatusOr<std::unique_ptr<Transport>> Connect(const Endpoint& endpoint,
                                                   const std::shared_ptr<const TlsContext>& tls,
                                                   double timeout_seconds);

}  // namespace mokv::load
