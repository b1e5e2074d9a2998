#include "net/testing/tls_peer.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "base/check.h"

namespace mokv::net {
namespace {

std::string AlpnWire(const std::string& name) {
  return std::string(1, static_cast<char>(name.size())) + name;
}

int TakeAlpn(SSL*, const unsigned char** out, unsigned char* out_size, const unsigned char* in,
             unsigned in_size, void* argument) {
  const std::string wire = AlpnWire(*static_cast<const std::string*>(argument));
  unsigned char* found = nullptr;
  const int result =
      SSL_select_next_proto(&found, out_size, reinterpret_cast<const unsigned char*>(wire.data()),
                            static_cast<unsigned>(wire.size()), in, in_size);
  *out = found;
  return result == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

}  // namespace

TlsPeer::TlsPeer(Side side, RawSocket socket, const Options& options)
    : socket_(std::move(socket)),
      context_(SSL_CTX_new(side == Side::kClient ? TLS_client_method() : TLS_server_method())),
      alpn_(options.alpn) {
  const timeval patience{.tv_sec = kPatience.count(), .tv_usec = 0};
  for (const int direction : {SO_RCVTIMEO, SO_SNDTIMEO}) {
    MOKV_CHECK_EQ(setsockopt(socket_.fd(), SOL_SOCKET, direction, &patience, sizeof(patience)), 0);
  }
  const TlsFiles& files = options.files;
  MOKV_CHECK_EQ(SSL_CTX_set_min_proto_version(context_, options.version), 1);
  MOKV_CHECK_EQ(SSL_CTX_set_max_proto_version(context_, options.version), 1);
  if (!files.certificate_file.empty()) {
    MOKV_CHECK_EQ(SSL_CTX_use_certificate_chain_file(context_, files.certificate_file.c_str()), 1);
    MOKV_CHECK_EQ(SSL_CTX_use_PrivateKey_file(context_, files.key_file.c_str(), SSL_FILETYPE_PEM),
                  1);
  }
  MOKV_CHECK_EQ(SSL_CTX_load_verify_file(context_, files.ca_file.c_str()), 1);
  SSL_CTX_set_verify(context_, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  if (side == Side::kClient) {
    const std::string wire = AlpnWire(alpn_);
    MOKV_CHECK_EQ(
        SSL_CTX_set_alpn_protos(context_, reinterpret_cast<const unsigned char*>(wire.data()),
                                static_cast<unsigned>(wire.size())),
        0);
  } else {
    SSL_CTX_set_alpn_select_cb(context_, TakeAlpn, &alpn_);
  }
  ssl_ = SSL_new(context_);
  MOKV_CHECK(ssl_ != nullptr);
  SSL_set_fd(ssl_, socket_.fd());
  if (side == Side::kClient) {
    SSL_set_connect_state(ssl_);
  } else {
    SSL_set_accept_state(ssl_);
  }
  if (options.session != nullptr) MOKV_CHECK_EQ(SSL_set_session(ssl_, options.session), 1);
}

TlsPeer::~TlsPeer() {
  SSL_free(ssl_);
  SSL_CTX_free(context_);
}

bool TlsPeer::Handshake() {
  ERR_clear_error();
  return SSL_do_handshake(ssl_) == 1;
}

bool TlsPeer::Send(std::string_view bytes) {
  ERR_clear_error();
  size_t written = 0;
  return SSL_write_ex(ssl_, bytes.data(), bytes.size(), &written) == 1;
}

bool TlsPeer::Receive(std::string& out) {
  ERR_clear_error();
  char buffer[16 << 10];
  size_t size = 0;
  if (SSL_read_ex(ssl_, buffer, sizeof(buffer), &size) != 1) return false;
  out.append(buffer, size);
  return true;
}

bool TlsPeer::Echoes(std::string_view bytes) {
  if (!Send(bytes)) return false;
  std::string echo;
  while (echo.size() < bytes.size() && Receive(echo)) {
  }
  return echo == bytes;
}

bool TlsPeer::WaitForEnd() {
  std::string ignored;
  while (Receive(ignored)) {
  }
  // Not for want of patience.
  const int error = SSL_get_error(ssl_, 0);
  return error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE;
}

}  // namespace mokv::net
