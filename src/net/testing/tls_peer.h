// One TLS connection straight on OpenSSL, blocking: what other programs' TLS does, and what ours would
// not do. Nothing waits for longer than kPatience.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "net/testing/raw_socket.h"
#include "net/tls.h"

struct ssl_session_st;

namespace mokv::net {

class TlsPeer {
 public:
  enum class Side { kClient, kServer };
  struct Options {
    // The certificate file may hold a chain.
    TlsFiles files;
    // Those that a client offers, or the one that a server takes.
    std::string alpn;
    // TLS1_2_VERSION or TLS1_3_VERSION. 0: the newest that both know.
    int version = 0;
    // A client's: of an earlier connection, to be resumed.
    ssl_session_st* session = nullptr;
  };
  // Long enough for a loaded machine under a sanitizer.
  static constexpr std::chrono::seconds kPatience{30};

  TlsPeer(Side side, RawSocket socket, const Options& options);
  ~TlsPeer();
  TlsPeer(const TlsPeer&) = delete;
  TlsPeer& operator=(const TlsPeer&) = delete;

  // False, like the others, when the connection broke. In TLS 1.3 a client hears only at its next
  // Receive that it was refused.
  bool Handshake();
  bool Send(std::string_view bytes);
  // Appends what comes.
  bool Receive(std::string& out);
  // Whether `bytes` come back from a server that echoes.
  bool Echoes(std::string_view bytes);
  // Whether the other side ends the connection.
  bool WaitForEnd();

  // For what OpenSSL would not send: an encrypted record of TLS 1.3 with any type and content. After
  // the first one, Send and Receive do not work any more, and before it there must have been no Send.
  bool SendForged(unsigned char type, std::string_view content);
  // Asks for new keys, and uses new ones.
  bool SendForgedKeyUpdate();

  // From OpenSSL.
  void KeepSecret(std::string_view line);

  ssl_st* ssl() { return ssl_; }
  RawSocket& socket() { return socket_; }

 private:
  RawSocket socket_;
  ssl_ctx_st* context_;
  ssl_st* ssl_;
  std::string alpn_;
  std::string secret_;            // Of what a client sends: RFC 8446, 7.1.
  uint64_t forged_sequence_ = 0;  // Of records, since the last new secret.
};

}  // namespace mokv::net
