#include "net/tls.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "base/check.h"
#include "base/status.h"

namespace mokv::net {
namespace {

struct X509Deleter {
  void operator()(X509* certificate) const { X509_free(certificate); }
};
using X509Ptr = std::unique_ptr<X509, X509Deleter>;

struct FileCloser {
  void operator()(FILE* file) const { std::fclose(file); }
};

absl::StatusOr<X509Ptr> ReadCertificate(const std::string& path) {
  const std::unique_ptr<FILE, FileCloser> file(std::fopen(path.c_str(), "re"));
  if (file == nullptr) {
    return InvalidArgument("cannot read certificate {}: {}", path, std::strerror(errno));
  }
  X509Ptr certificate(PEM_read_X509(file.get(), nullptr, nullptr, nullptr));
  if (certificate == nullptr) {
    return InvalidArgument("{} holds no PEM certificate ({})", path, TakeOpenSslError());
  }
  return certificate;
}

std::string TimeText(const ASN1_TIME* time) {
  BIO* bio = BIO_new(BIO_s_mem());
  ASN1_TIME_print(bio, time);
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  std::string text(data, static_cast<size_t>(size));
  BIO_free(bio);
  return text;
}

absl::Status CheckValidity(const std::string& path, const X509& certificate) {
  const ASN1_TIME* not_before = X509_get0_notBefore(&certificate);
  const ASN1_TIME* not_after = X509_get0_notAfter(&certificate);
  if (X509_cmp_current_time(not_after) < 0) {
    return InvalidArgument("certificate {} expired on {}", path, TimeText(not_after));
  }
  if (X509_cmp_current_time(not_before) > 0) {
    return InvalidArgument("certificate {} is not valid before {}", path, TimeText(not_before));
  }
  return absl::OkStatus();
}

std::string CommonNameOf(const X509& certificate) {
  char name[256] = {};
  const int size = X509_NAME_get_text_by_NID(X509_get_subject_name(&certificate), NID_commonName,
                                             name, sizeof(name));
  return size > 0 ? std::string(name, static_cast<size_t>(size)) : "";
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

absl::Status TlsContext::Load(const TlsFiles& files) {
  SSL_CTX_set_min_proto_version(context_, TLS1_2_VERSION);
  SSL_CTX_set_options(context_, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION |
                                    SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_NO_COMPRESSION);
  SSL_CTX_set_num_tickets(context_, 0);
  SSL_CTX_set_session_cache_mode(context_, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_mode(context_, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  // One recv for all records that have come, instead of two for each.
  SSL_CTX_set_read_ahead(context_, 1);
  SSL_CTX_set_default_read_buffer_len(context_, 64 << 10);
  // AES-128 first: the cheapest where processors have AES, and strong enough.
  SSL_CTX_set_ciphersuites(
      context_, "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256");
  SSL_CTX_set_cipher_list(context_, "ECDHE+AESGCM:ECDHE+CHACHA20");
  SSL_CTX_set_verify(context_, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);

  MOKV_ASSIGN_OR_RETURN(const X509Ptr certificate, ReadCertificate(files.certificate_file));
  MOKV_RETURN_IF_ERROR(CheckValidity(files.certificate_file, *certificate));
  MOKV_ASSIGN_OR_RETURN(const X509Ptr ca, ReadCertificate(files.ca_file));
  MOKV_RETURN_IF_ERROR(CheckValidity(files.ca_file, *ca));
  if (SSL_CTX_use_certificate_chain_file(context_, files.certificate_file.c_str()) != 1) {
    return InvalidArgument("cannot use certificate {}: {}", files.certificate_file,
                           TakeOpenSslError());
  }
  MOKV_RETURN_IF_ERROR(UseKey(context_, files));
  if (SSL_CTX_load_verify_file(context_, files.ca_file.c_str()) != 1) {
    return InvalidArgument("cannot use CA {}: {}", files.ca_file, TakeOpenSslError());
  }
  if (is_server_) {
    // Tells clients which of their certificates fits.
    SSL_CTX_set_client_CA_list(context_, SSL_load_client_CA_file(files.ca_file.c_str()));
  }
  return SetAlpn();
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
    const TlsFiles& files, const std::vector<std::string>& alpn_protocols) {
  std::shared_ptr<TlsContext> context(new TlsContext(true, alpn_protocols));
  MOKV_RETURN_IF_ERROR(context->Load(files));
  return context;
}

absl::StatusOr<std::shared_ptr<const TlsContext>> TlsContext::ForClient(
    const TlsFiles& files, const std::vector<std::string>& alpn_protocols) {
  std::shared_ptr<TlsContext> context(new TlsContext(false, alpn_protocols));
  MOKV_RETURN_IF_ERROR(context->Load(files));
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
    MOKV_ASSIGN_OR_RETURN(const X509Ptr certificate, ReadCertificate(path));
    const std::unique_ptr<X509_STORE_CTX, decltype(&X509_STORE_CTX_free)> verify(
        X509_STORE_CTX_new(), X509_STORE_CTX_free);
    // The file may hold intermediates behind the leaf. For this question a partial chain is enough.
    std::unique_ptr<STACK_OF(X509), void (*)(STACK_OF(X509)*)> chain(
        sk_X509_new_null(), [](STACK_OF(X509) * stack) { sk_X509_pop_free(stack, X509_free); });
    if (const std::unique_ptr<FILE, FileCloser> file(std::fopen(path.c_str(), "re")); file) {
      while (X509* next = PEM_read_X509(file.get(), nullptr, nullptr, nullptr)) {
        sk_X509_push(chain.get(), next);
      }
    }
    X509_STORE_CTX_init(verify.get(), store.get(), certificate.get(), chain.get());
    const bool verified = X509_verify_cert(verify.get()) == 1;
    ERR_clear_error();
    if (verified) return absl::OkStatus();
    if (!names.empty()) names += " nor ";
    names += path;
  }
  return InvalidArgument("CA {} did not sign {}", ca_file, names);
}

std::string PeerCommonName(const ssl_st* ssl) {
  const X509* certificate = SSL_get0_peer_certificate(ssl);
  return certificate == nullptr ? "" : CommonNameOf(*certificate);
}

absl::StatusOr<std::string> CertificateCommonName(const std::string& certificate_file) {
  MOKV_ASSIGN_OR_RETURN(const X509Ptr certificate, ReadCertificate(certificate_file));
  std::string name = CommonNameOf(*certificate);
  if (name.empty()) return InvalidArgument("certificate {} has no common name", certificate_file);
  return name;
}

}  // namespace mokv::net
