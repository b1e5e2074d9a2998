#include "net/tls.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <limits>
#include <utility>

#include "base/check.h"
#include "base/status.h"
#include "net/certificates.h"
#include "net/revocation_lists.h"
#include "net/session_tickets.h"

namespace mokv::net {
namespace {

// Four whole records: senders have 64 KiB at a time for us, and a buffer that is shorter by what TLS adds
// would cost a second read for the end of the last one.
constexpr size_t kReadBufferBytes = size_t{4} * SSL3_RT_MAX_PACKET_SIZE;

// Where a verification keeps why it refused a name; OpenSSL has numbers only.
thread_local std::string refused_name;

// The store of a context has its revocation lists with it.
int ListsIndex() {
  static const int index = X509_STORE_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
  return index;
}

// OpenSSL asks once for each certificate of a chain that has held so far, with the one that signed it.
int VerifyUnrevoked(int ok, X509_STORE_CTX* verification) {
  if (ok == 0) return 0;
  const auto* lists = static_cast<const RevocationLists*>(
      X509_STORE_get_ex_data(X509_STORE_CTX_get0_store(verification), ListsIndex()));
  X509* certificate = X509_STORE_CTX_get_current_cert(verification);
  X509* signer = X509_STORE_CTX_get0_current_issuer(verification);
  if (lists == nullptr || certificate == nullptr || signer == nullptr) return 1;
  if (!lists->Revokes(*certificate, *signer)) return 1;
  X509_STORE_CTX_set_error(verification, X509_V_ERR_CERT_REVOKED);
  return 0;
}

// A client is who its certificate names: one that names nobody, or several, is not believed.
int VerifyClient(int ok, X509_STORE_CTX* verification) {
  if (VerifyUnrevoked(ok, verification) == 0) return 0;
  if (X509_STORE_CTX_get_error_depth(verification) != 0) return 1;
  const auto name = CommonNameOf(*X509_STORE_CTX_get_current_cert(verification));
  if (name.ok()) return 1;
  refused_name = MessageOf(name.status());
  X509_STORE_CTX_set_error(verification, X509_V_ERR_CERT_REJECTED);
  return 0;
}

int64_t SecondsSince1970(const ASN1_TIME* time) {
  const std::unique_ptr<ASN1_TIME, decltype(&ASN1_TIME_free)> zero(ASN1_TIME_set(nullptr, 0),
                                                                   ASN1_TIME_free);
  int days = 0;
  int seconds = 0;
  // A verified certificate has a time that can be read.
  MOKV_CHECK_EQ(ASN1_TIME_diff(&days, &seconds, zero.get(), time), 1);
  return int64_t{days} * 24 * 60 * 60 + seconds;
}

int64_t ValidUntil(const STACK_OF(X509) * chain) {
  int64_t until = std::numeric_limits<int64_t>::max();
  for (int i = 0; i < sk_X509_num(chain); ++i) {
    until = std::min(until, SecondsSince1970(X509_get0_notAfter(sk_X509_value(chain, i))));
  }
  return until;
}

// Loads the key into `context`, which has the certificate already.
absl::Status UseKey(SSL_CTX* context, const TlsFiles& files) {
  if (FILE* key = std::fopen(files.key_file.c_str(), "re"); key == nullptr) {
    return InvalidArgument("cannot read key {}: {}", files.key_file, std::strerror(errno));
  } else {
    std::fclose(key);
  }
  // Nobody is there to type a passphrase.
  bool is_locked = false;
  SSL_CTX_set_default_passwd_cb_userdata(context, &is_locked);
  SSL_CTX_set_default_passwd_cb(context, [](char*, int, int, void* asked) {
    *static_cast<bool*>(asked) = true;
    return 0;
  });
  ERR_clear_error();
  const bool used =
      SSL_CTX_use_PrivateKey_file(context, files.key_file.c_str(), SSL_FILETYPE_PEM) == 1 &&
      SSL_CTX_check_private_key(context) == 1;
  SSL_CTX_set_default_passwd_cb(context, nullptr);
  SSL_CTX_set_default_passwd_cb_userdata(context, nullptr);
  if (used) return absl::OkStatus();
  const unsigned long code = ERR_peek_error();
  const int reason = ERR_GET_REASON(code);
  const std::string error = TakeOpenSslError();
  if (is_locked) {
    return InvalidArgument(
        "key {} is locked with a passphrase; give one without (openssl pkey -in LOCKED -out KEY)",
        files.key_file);
  }
  // OpenSSL drops a certificate that the key does not fit. If the two are of different kinds, it
  // keeps both, and then finds no pair.
  const bool misses_one =
      ERR_GET_LIB(code) == ERR_LIB_SSL &&
      (reason == SSL_R_NO_CERTIFICATE_ASSIGNED || reason == SSL_R_NO_PRIVATE_KEY_ASSIGNED);
  if (misses_one || reason == X509_R_KEY_VALUES_MISMATCH || reason == X509_R_KEY_TYPE_MISMATCH) {
    return InvalidArgument("key {} does not belong to certificate {}", files.key_file,
                           files.certificate_file);
  }
  return InvalidArgument("cannot use key {}: {}", files.key_file, error);
}

// OpenSSL wants each name behind its length.
std::string AlpnWireFormat(const std::vector<std::string>& protocols) {
  std::string wire;
  for (const std::string& protocol : protocols) {
    MOKV_CHECK_LT(protocol.size(), size_t{256});
    wire += static_cast<char>(protocol.size());
    wire += protocol;
  }
  return wire;
}

int SelectAlpn(SSL*, const unsigned char** out, unsigned char* out_size, const unsigned char* in,
               unsigned in_size, void* argument) {
  const auto& ours = *static_cast<const std::vector<std::string>*>(argument);
  for (unsigned i = 0; i + 1 <= in_size; i += 1u + in[i]) {
    const std::string_view offered(reinterpret_cast<const char*>(in + i + 1), in[i]);
    for (const std::string& protocol : ours) {
      if (offered == protocol) {
        *out = in + i + 1;
        *out_size = in[i];
        return SSL_TLSEXT_ERR_OK;
      }
    }
  }
  return SSL_TLSEXT_ERR_ALERT_FATAL;
}

}  // namespace

std::string TakeOpenSslError() {
  const unsigned long code = ERR_get_error();
  ERR_clear_error();
  if (code == 0) return "no reason given";
  const char* reason = ERR_reason_error_string(code);
  return reason != nullptr ? reason : "unknown reason";
}

TlsContext::TlsContext(bool is_server, std::vector<std::string> alpn_protocols)
    : context_(SSL_CTX_new(is_server ? TLS_server_method() : TLS_client_method())),
      is_server_(is_server),
      alpn_protocols_(std::move(alpn_protocols)) {
  MOKV_CHECK(context_ != nullptr);
}

TlsContext::~TlsContext() { SSL_CTX_free(context_); }

absl::Status TlsContext::Load(const TlsFiles& files, const TlsContext* in_use) {
  SetDefaults();
  const bool has_own = !files.certificate_file.empty() || !files.key_file.empty();
  if (is_server_ || has_own) MOKV_RETURN_IF_ERROR(LoadOwn(files, in_use));
  any_client_ = is_server_ && files.any_client;
  if (any_client_) {
    SSL_CTX_set_verify(context_, SSL_VERIFY_NONE, nullptr);
  } else {
    MOKV_RETURN_IF_ERROR(LoadTrusted(files));
  }
  MOKV_RETURN_IF_ERROR(SetAlpn());
  ERR_clear_error();  // Files end by an error.
  return absl::OkStatus();
}

void TlsContext::SetDefaults() {
  SSL_CTX_set_min_proto_version(context_, TLS1_2_VERSION);
  SSL_CTX_set_options(context_, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION |
                                    SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_NO_COMPRESSION);
  SSL_CTX_set_session_cache_mode(context_, SSL_SESS_CACHE_OFF);
  if (is_server_) AllowTickets(context_);
  SSL_CTX_set_mode(context_, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  // One recv for all records that have come, instead of two for each.
  SSL_CTX_set_read_ahead(context_, 1);
  SSL_CTX_set_default_read_buffer_len(context_, kReadBufferBytes);
  // AES-128 first: the cheapest where processors have AES, and strong enough.
  SSL_CTX_set_ciphersuites(
      context_, "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256");
  SSL_CTX_set_cipher_list(context_, "ECDHE+AESGCM:ECDHE+CHACHA20");
  SSL_CTX_set_verify(context_, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
                     is_server_ ? VerifyClient : VerifyUnrevoked);
}

absl::Status TlsContext::LoadOwn(const TlsFiles& files, const TlsContext* in_use) {
  MOKV_ASSIGN_OR_RETURN(const std::vector<X509Ptr> own, ReadCertificates(files.certificate_file));
  const bool is_in_use = in_use != nullptr && X509_cmp(SSL_CTX_get0_certificate(in_use->context_),
                                                       own.front().get()) == 0;
  if (!is_in_use) MOKV_RETURN_IF_ERROR(CheckValidity(files.certificate_file, *own.front()));
  if (SSL_CTX_use_certificate_chain_file(context_, files.certificate_file.c_str()) != 1) {
    return InvalidArgument("cannot use certificate {}: {}", files.certificate_file,
                           TakeOpenSslError());
  }
  certificate_file_ = files.certificate_file;
  return UseKey(context_, files);
}

absl::Status TlsContext::LoadTrusted(const TlsFiles& files) {
  MOKV_ASSIGN_OR_RETURN(const std::vector<X509Ptr> authorities, ReadCertificates(files.ca_file));
  // A bundle may still have one that is over.
  if (std::none_of(authorities.begin(), authorities.end(), [&](const X509Ptr& authority) {
        return CheckValidity(files.ca_file, *authority).ok();
      })) {
    return CheckValidity(files.ca_file, *authorities.front());
  }
  if (SSL_CTX_load_verify_file(context_, files.ca_file.c_str()) != 1) {
    return InvalidArgument("cannot use CA {}: {}", files.ca_file, TakeOpenSslError());
  }
  if (!files.crl_file.empty()) {
    MOKV_ASSIGN_OR_RETURN(RevocationLists lists,
                          RevocationLists::Read(files.crl_file, authorities));
    revoked_ = std::make_unique<const RevocationLists>(std::move(lists));
    MOKV_CHECK_EQ(X509_STORE_set_ex_data(SSL_CTX_get_cert_store(context_), ListsIndex(),
                                         const_cast<RevocationLists*>(revoked_.get())),
                  1);
  }
  // Tells clients which of their certificates fits.
  if (is_server_) {
    SSL_CTX_set_client_CA_list(context_, SSL_load_client_CA_file(files.ca_file.c_str()));
  }
  return absl::OkStatus();
}

std::vector<std::string> TlsContext::Warnings() const {
  std::vector<std::string> warnings;
  if (revoked_ != nullptr) warnings = revoked_->Warnings();
  if (certificate_file_.empty()) return warnings;
  const absl::Status own = CheckValidity(certificate_file_, *SSL_CTX_get0_certificate(context_));
  if (!own.ok()) warnings.emplace_back(MessageOf(own));
  return warnings;
}

absl::Status TlsContext::SetAlpn() {
  if (is_server_) {
    SSL_CTX_set_alpn_select_cb(context_, SelectAlpn, &alpn_protocols_);
    return absl::OkStatus();
  }
  const std::string wire = AlpnWireFormat(alpn_protocols_);
  if (SSL_CTX_set_alpn_protos(context_, reinterpret_cast<const unsigned char*>(wire.data()),
                              static_cast<unsigned>(wire.size())) != 0) {
    return absl::InternalError("cannot set ALPN protocols");
  }
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<const TlsContext>> TlsContext::ForServer(
    const TlsFiles& files, const std::vector<std::string>& alpn_protocols,
    const TlsContext* in_use) {
  std::shared_ptr<TlsContext> context(new TlsContext(true, alpn_protocols));
  MOKV_RETURN_IF_ERROR(context->Load(files, in_use));
  return context;
}

absl::StatusOr<std::shared_ptr<const TlsContext>> TlsContext::ForClient(
    const TlsFiles& files, const std::vector<std::string>& alpn_protocols,
    const TlsContext* in_use) {
  std::shared_ptr<TlsContext> context(new TlsContext(false, alpn_protocols));
  MOKV_RETURN_IF_ERROR(context->Load(files, in_use));
  return context;
}

absl::Status CheckSignedByCa(const std::string& ca_file,
                             const std::vector<std::string>& certificate_files) {
  const std::unique_ptr<X509_STORE, decltype(&X509_STORE_free)> store(X509_STORE_new(),
                                                                      X509_STORE_free);
  if (X509_STORE_load_file(store.get(), ca_file.c_str()) != 1) {
    return InvalidArgument("cannot use CA {}: {}", ca_file, TakeOpenSslError());
  }
  std::string names;
  for (const std::string& path : certificate_files) {
    MOKV_ASSIGN_OR_RETURN(const std::vector<X509Ptr> own, ReadCertificates(path));
    const std::unique_ptr<X509_STORE_CTX, decltype(&X509_STORE_CTX_free)> verify(
        X509_STORE_CTX_new(), X509_STORE_CTX_free);
    // The file may hold intermediates behind the leaf. For this question a partial chain is enough.
    const std::unique_ptr<STACK_OF(X509), void (*)(STACK_OF(X509)*)> chain(
        sk_X509_new_null(), [](STACK_OF(X509) * stack) { sk_X509_free(stack); });
    for (const X509Ptr& certificate : own) sk_X509_push(chain.get(), certificate.get());
    X509_STORE_CTX_init(verify.get(), store.get(), own.front().get(), chain.get());
    // Who signed it is the question, not whether that still counts.
    X509_STORE_CTX_set_flags(verify.get(), X509_V_FLAG_NO_CHECK_TIME);
    const bool verified = X509_verify_cert(verify.get()) == 1;
    ERR_clear_error();
    if (verified) return absl::OkStatus();
    if (!names.empty()) names += " nor ";
    names += path;
  }
  return InvalidArgument("CA {} did not sign {}", ca_file, names);
}

absl::StatusOr<int64_t> TlsContext::VerifyAgain(const ssl_st* ssl) const {
  if (any_client_) return std::numeric_limits<int64_t>::max();  // There is nothing to verify.
  X509* certificate = SSL_get0_peer_certificate(ssl);
  if (certificate == nullptr) return absl::UnauthenticatedError("it has no certificate");
  const std::unique_ptr<X509_STORE_CTX, decltype(&X509_STORE_CTX_free)> verification(
      X509_STORE_CTX_new(), X509_STORE_CTX_free);
  MOKV_CHECK(verification != nullptr);
  MOKV_CHECK_EQ(X509_STORE_CTX_init(verification.get(), SSL_CTX_get_cert_store(context_),
                                    certificate, SSL_get_peer_cert_chain(ssl)),
                1);
  X509_STORE_CTX_set_default(verification.get(), is_server_ ? "ssl_client" : "ssl_server");
  X509_VERIFY_PARAM* param = X509_STORE_CTX_get0_param(verification.get());
  X509_VERIFY_PARAM_set_auth_level(param, SSL_get_security_level(ssl));
  // The names that a client expects of its server.
  X509_VERIFY_PARAM_set1(param, SSL_get0_param(const_cast<ssl_st*>(ssl)));
  X509_STORE_CTX_set_verify_cb(verification.get(), is_server_ ? VerifyClient : VerifyUnrevoked);
  const bool verified = X509_verify_cert(verification.get()) == 1;
  ERR_clear_error();
  if (verified) return ValidUntil(X509_STORE_CTX_get0_chain(verification.get()));
  return absl::UnauthenticatedError(VerificationText(X509_STORE_CTX_get_error(verification.get())));
}

std::string VerificationText(long error) {
  if (error == X509_V_ERR_CERT_REJECTED && !refused_name.empty()) {
    return std::exchange(refused_name, std::string());
  }
  return X509_verify_cert_error_string(error);
}

std::string PeerCommonName(const ssl_st* ssl) {
  const X509* certificate = SSL_get0_peer_certificate(ssl);
  if (certificate == nullptr) return "";
  return CommonNameOf(*certificate).value_or("");
}

std::optional<int64_t> PeerValidUntil(const ssl_st* ssl) {
  const STACK_OF(X509)* chain = SSL_get0_verified_chain(ssl);
  if (chain == nullptr || sk_X509_num(chain) == 0) return TicketValidUntil(ssl);
  return ValidUntil(chain);
}

absl::StatusOr<std::string> CertificateCommonName(const std::string& certificate_file) {
  MOKV_ASSIGN_OR_RETURN(const std::vector<X509Ptr> found, ReadCertificates(certificate_file));
  absl::StatusOr<std::string> name = CommonNameOf(*found.front());
  if (name.ok()) return name;
  return InvalidArgument("certificate {} names nobody: {}", certificate_file,
                         MessageOf(name.status()));
}

}  // namespace mokv::net
