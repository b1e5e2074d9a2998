#include "net/testing/tls_peer.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <array>
#include <memory>

#include "base/check.h"

namespace mokv::net {
namespace {

std::string AlpnWire(const std::string& name) {
  return std::string(1, static_cast<char>(name.size())) + name;
}

int TakeAlpn(SSL*, const unsigned char** out, unsigned char* out_size, const unsigned char* in,
             unsigned in_size, void* argument) {
  // OpenSSL looks at what was found after this has returned: it must not lie here.
  const std::string& ours = *static_cast<const std::string*>(argument);
  for (unsigned i = 0; i + 1 <= in_size; i += 1u + in[i]) {
    if (std::string_view(reinterpret_cast<const char*>(in + i + 1), in[i]) != ours) continue;
    *out = in + i + 1;
    *out_size = in[i];
    return SSL_TLSEXT_ERR_OK;
  }
  return SSL_TLSEXT_ERR_ALERT_FATAL;
}

constexpr size_t kHashBytes = 32;

// RFC 8446, 7.1, for at most one block of SHA-256.
std::string ExpandLabel(std::string_view secret, std::string_view label, size_t size_bytes) {
  const std::string full_label = "tls13 " + std::string(label);
  std::string info;
  info += '\0';
  info += static_cast<char>(size_bytes);
  info += static_cast<char>(full_label.size());
  info += full_label;
  info += '\0';  // No context.
  info += '\1';  // The first block.
  std::array<unsigned char, kHashBytes> block{};
  HMAC(EVP_sha256(), secret.data(), static_cast<int>(secret.size()),
       reinterpret_cast<const unsigned char*>(info.data()), info.size(), block.data(), nullptr);
  return {reinterpret_cast<const char*>(block.data()), size_bytes};
}

std::string Seal(const std::string& key, const std::string& nonce, std::string_view header,
                 std::string_view text) {
  constexpr int kTagBytes = 16;
  const auto bytes = [](std::string_view view) {
    return reinterpret_cast<const unsigned char*>(view.data());
  };
  const std::unique_ptr<EVP_CIPHER_CTX, decltype(&EVP_CIPHER_CTX_free)> cipher(EVP_CIPHER_CTX_new(),
                                                                               EVP_CIPHER_CTX_free);
  std::string sealed(text.size() + kTagBytes, '\0');
  auto* out = reinterpret_cast<unsigned char*>(sealed.data());
  int size = 0;
  EVP_EncryptInit_ex(cipher.get(), EVP_aes_128_gcm(), nullptr, bytes(key), bytes(nonce));
  EVP_EncryptUpdate(cipher.get(), nullptr, &size, bytes(header), static_cast<int>(header.size()));
  EVP_EncryptUpdate(cipher.get(), out, &size, bytes(text), static_cast<int>(text.size()));
  EVP_EncryptFinal_ex(cipher.get(), out + size, &size);
  EVP_CIPHER_CTX_ctrl(cipher.get(), EVP_CTRL_GCM_GET_TAG, kTagBytes, out + text.size());
  return sealed;
}

}  // namespace

TlsPeer::TlsPeer(Side side, RawSocket socket, const Options& options)
    : socket_(std::move(socket)),
      context_(SSL_CTX_new(side == Side::kClient ? TLS_client_method() : TLS_server_method())),
      alpn_(options.alpn) {
  const int on = 1;
  MOKV_CHECK_EQ(setsockopt(socket_.fd(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)), 0);
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
  SSL_set_app_data(ssl_, this);
  SSL_CTX_set_keylog_callback(context_, [](const SSL* ssl, const char* line) {
    static_cast<TlsPeer*>(SSL_get_app_data(ssl))->KeepSecret(line);
  });
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

// "LABEL RANDOM SECRET", in hexadecimal.
void TlsPeer::KeepSecret(std::string_view line) {
  if (!line.starts_with("CLIENT_TRAFFIC_SECRET_0 ")) return;
  const std::string hex(line.substr(line.rfind(' ') + 1));
  long size = 0;
  unsigned char* bytes = OPENSSL_hexstr2buf(hex.c_str(), &size);
  secret_.assign(reinterpret_cast<const char*>(bytes), static_cast<size_t>(size));
  OPENSSL_free(bytes);
}

bool TlsPeer::SendForged(unsigned char type, std::string_view content) {
  MOKV_CHECK_EQ(secret_.size(), kHashBytes);
  std::string nonce = ExpandLabel(secret_, "iv", 12);
  for (size_t i = 0; i < sizeof(forged_sequence_); ++i) {
    nonce[nonce.size() - 1 - i] ^= static_cast<char>(forged_sequence_ >> (8 * i));
  }
  ++forged_sequence_;
  const std::string text = std::string(content) + static_cast<char>(type);
  const size_t sealed_bytes = text.size() + 16;
  std::string record = "\x17\x03\x03";
  record += static_cast<char>(sealed_bytes >> 8);
  record += static_cast<char>(sealed_bytes);
  record += Seal(ExpandLabel(secret_, "key", 16), nonce, record, text);
  return socket_.Send(record);
}

bool TlsPeer::SendForgedKeyUpdate() {
  if (!SendForged(SSL3_RT_HANDSHAKE, std::string_view("\x18\0\0\x01\x01", 5))) return false;
  secret_ = ExpandLabel(secret_, "traffic upd", kHashBytes);
  forged_sequence_ = 0;
  return true;
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
