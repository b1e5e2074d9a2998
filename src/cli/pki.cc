#include "cli/pki.h"

#include <arpa/inet.h>
#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>

#include "base/check.h"
#include "base/status.h"

namespace mokv::pki {
namespace {

constexpr int kCaDays = 3652;  // Ten years.
constexpr int kLeafDays = 825;
// Certificates are made and used on different machines, whose clocks differ.
constexpr long kClockSkewSeconds = 60 * 60;
constexpr size_t kHostBytesMax = 253;
constexpr size_t kLabelBytesMax = 63;

template <auto Free>
struct Deleter {
  template <typename T>
  void operator()(T* object) const {
    Free(object);
  }
};
using KeyPtr = std::unique_ptr<EVP_PKEY, Deleter<EVP_PKEY_free>>;
using CertificatePtr = std::unique_ptr<X509, Deleter<X509_free>>;
using BioPtr = std::unique_ptr<BIO, Deleter<BIO_free>>;
using NumberPtr = std::unique_ptr<BIGNUM, Deleter<BN_free>>;
using ExtensionPtr = std::unique_ptr<X509_EXTENSION, Deleter<X509_EXTENSION_free>>;

std::string TakeErrors() {
  std::string text;
  while (const unsigned long code = ERR_get_error()) {
    std::array<char, 256> line;
    ERR_error_string_n(code, line.data(), line.size());
    if (text.empty()) text = line.data();  // The first is the cause, the others follow from it.
  }
  return text.empty() ? "unknown error" : text;
}

absl::Status OpenSslError(std::string_view what) {
  return MakeStatus(absl::StatusCode::kInternal, "{}: {}", what, TakeErrors());
}

absl::StatusOr<std::string> Contents(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  if (size <= 0) return OpenSslError("write PEM");
  return std::string(data, static_cast<size_t>(size));
}

BioPtr MemoryOf(std::string_view text) {
  return BioPtr(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

// Instead of OpenSSL's own, which would ask at the terminal.
int NoPassword(char*, int, int, void*) { return -1; }

absl::StatusOr<KeyPtr> NewKey() {
  KeyPtr key(EVP_EC_gen("P-256"));
  if (key == nullptr) return OpenSslError("make an EC key");
  return key;
}

// 127 random bits, so that no CA uses a number twice. Browsers ask for at least 64.
absl::Status SetSerial(X509* certificate) {
  std::array<unsigned char, 16> bytes;
  if (RAND_bytes(bytes.data(), bytes.size()) != 1) return OpenSslError("draw a serial number");
  bytes[0] = static_cast<unsigned char>((bytes[0] & 0x7f) | 0x40);  // Positive, of one length.
  const NumberPtr number(BN_bin2bn(bytes.data(), bytes.size(), nullptr));
  if (number == nullptr ||
      BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(certificate)) == nullptr) {
    return OpenSslError("set the serial number");
  }
  return absl::OkStatus();
}

absl::Status SetValidity(X509* certificate, int days) {
  time_t now = time(nullptr);  // Read once, so that it is valid for whole days.
  if (X509_time_adj_ex(X509_getm_notBefore(certificate), 0, -kClockSkewSeconds, &now) == nullptr ||
      X509_time_adj_ex(X509_getm_notAfter(certificate), days, -kClockSkewSeconds, &now) ==
          nullptr) {
    return OpenSslError("set the validity");
  }
  return absl::OkStatus();
}

absl::Status SetSubject(X509* certificate, const std::string& common_name) {
  const auto* bytes = reinterpret_cast<const unsigned char*>(common_name.data());
  if (X509_NAME_add_entry_by_NID(X509_get_subject_name(certificate), NID_commonName, MBSTRING_UTF8,
                                 bytes, static_cast<int>(common_name.size()), -1, 0) != 1) {
    TakeErrors();
    return InvalidArgument(
        "\"{}\" cannot be the name in a certificate, expected 1 to 64 characters", common_name);
  }
  return absl::OkStatus();
}

absl::Status AddExtension(X509* certificate, X509* issuer, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  const ExtensionPtr extension(X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str()));
  if (extension == nullptr || X509_add_ext(certificate, extension.get(), -1) != 1) {
    return OpenSslError(fmt::format("add {} \"{}\"", OBJ_nid2sn(nid), value));
  }
  return absl::OkStatus();
}

bool IsAddress(const std::string& host) {
  std::array<unsigned char, sizeof(in6_addr)> bytes;
  return inet_pton(AF_INET, host.c_str(), bytes.data()) == 1 ||
         inet_pton(AF_INET6, host.c_str(), bytes.data()) == 1;
}

std::string AlternativeNames(const std::vector<std::string>& hosts) {
  std::string names;
  for (const std::string& host : hosts) {
    names += fmt::format("{}{}:{}", names.empty() ? "" : ",", IsAddress(host) ? "IP" : "DNS", host);
  }
  return names;
}

// What a CA and a leaf have in common. `issuer` is null for a CA, which signs itself.
absl::StatusOr<CertificatePtr> StartCertificate(const std::string& common_name, EVP_PKEY* key,
                                                X509* issuer, int days) {
  CertificatePtr certificate(X509_new());
  if (certificate == nullptr || X509_set_version(certificate.get(), X509_VERSION_3) != 1 ||
      X509_set_pubkey(certificate.get(), key) != 1) {
    return OpenSslError("make a certificate");
  }
  MOKV_RETURN_IF_ERROR(SetSerial(certificate.get()));
  MOKV_RETURN_IF_ERROR(SetValidity(certificate.get(), days));
  MOKV_RETURN_IF_ERROR(SetSubject(certificate.get(), common_name));
  const X509* named = issuer == nullptr ? certificate.get() : issuer;
  if (X509_set_issuer_name(certificate.get(), X509_get_subject_name(named)) != 1) {
    return OpenSslError("name the issuer");
  }
  return certificate;
}

absl::Status AddExtensions(X509* certificate, X509* issuer,
                           const std::vector<std::pair<int, std::string>>& extensions) {
  for (const auto& [nid, value] : extensions) {
    MOKV_RETURN_IF_ERROR(AddExtension(certificate, issuer, nid, value));
  }
  return absl::OkStatus();
}

}  // namespace

struct KeyPair::Impl {
  CertificatePtr certificate;
  KeyPtr key;
};

KeyPair::KeyPair(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
KeyPair::KeyPair(KeyPair&&) noexcept = default;
KeyPair& KeyPair::operator=(KeyPair&&) noexcept = default;
KeyPair::~KeyPair() = default;

absl::StatusOr<KeyPair> KeyPair::FromPem(std::string_view certificate_pem,
                                         std::string_view key_pem) {
  auto impl = std::make_unique<Impl>();
  const BioPtr certificate_bio = MemoryOf(certificate_pem);
  impl->certificate.reset(PEM_read_bio_X509(certificate_bio.get(), nullptr, NoPassword, nullptr));
  if (impl->certificate == nullptr) {
    return InvalidArgument("the certificate is not PEM: {}", TakeErrors());
  }
  const BioPtr key_bio = MemoryOf(key_pem);
  impl->key.reset(PEM_read_bio_PrivateKey(key_bio.get(), nullptr, NoPassword, nullptr));
  if (impl->key == nullptr) {
    return InvalidArgument("the key is not PEM without a password: {}", TakeErrors());
  }
  if (X509_check_private_key(impl->certificate.get(), impl->key.get()) != 1) {
    TakeErrors();
    return InvalidArgument("the key does not match the certificate");
  }
  return KeyPair(std::move(impl));
}

absl::StatusOr<std::string> KeyPair::CertificatePem() const {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  if (bio == nullptr || PEM_write_bio_X509(bio.get(), impl_->certificate.get()) != 1) {
    return OpenSslError("write a certificate");
  }
  return Contents(bio.get());
}

absl::StatusOr<std::string> KeyPair::KeyPem() const {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  if (bio == nullptr || PEM_write_bio_PKCS8PrivateKey(bio.get(), impl_->key.get(), nullptr, nullptr,
                                                      0, nullptr, nullptr) != 1) {
    return OpenSslError("write a private key");
  }
  return Contents(bio.get());
}

std::string KeyPair::CommonName() const {
  const X509_NAME* subject = X509_get_subject_name(impl_->certificate.get());
  const int position = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
  if (position < 0) return "";
  const ASN1_STRING* name = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, position));
  unsigned char* utf8 = nullptr;
  const int size = ASN1_STRING_to_UTF8(&utf8, name);
  if (size < 0) return "";
  std::string text(reinterpret_cast<const char*>(utf8), static_cast<size_t>(size));
  OPENSSL_free(utf8);
  return text;
}

bool KeyPair::IsCa() const { return X509_check_ca(impl_->certificate.get()) == 1; }

bool KeyPair::IsSignedBy(const KeyPair& ca) const {
  const bool is_signed = X509_verify(impl_->certificate.get(), ca.impl_->key.get()) == 1;
  TakeErrors();
  return is_signed;
}

bool KeyPair::IsExpired() const {
  return X509_cmp_current_time(X509_get0_notAfter(impl_->certificate.get())) <= 0;
}

std::string KeyPair::ExpiryText() const {
  tm time{};
  if (ASN1_TIME_to_tm(X509_get0_notAfter(impl_->certificate.get()), &time) != 1) return "?";
  return fmt::format("{:04}-{:02}-{:02}", time.tm_year + 1900, time.tm_mon + 1, time.tm_mday);
}

bool KeyPair::Covers(const std::string& host) const {
  X509* certificate = impl_->certificate.get();
  if (IsAddress(host)) return X509_check_ip_asc(certificate, host.c_str(), 0) == 1;
  // A wildcard covers what it is made of.
  std::string name = host;
  if (name.starts_with("*.")) name[0] = 'x';
  return X509_check_host(certificate, name.data(), name.size(), 0, nullptr) == 1;
}

absl::StatusOr<KeyPair> NewCa(const std::string& common_name) {
  auto impl = std::make_unique<KeyPair::Impl>();
  MOKV_ASSIGN_OR_RETURN(impl->key, NewKey());
  MOKV_ASSIGN_OR_RETURN(impl->certificate,
                        StartCertificate(common_name, impl->key.get(), nullptr, kCaDays));
  X509* certificate = impl->certificate.get();
  MOKV_RETURN_IF_ERROR(AddExtensions(certificate, certificate,
                                     {{NID_basic_constraints, "critical,CA:TRUE,pathlen:0"},
                                      {NID_key_usage, "critical,keyCertSign,cRLSign"},
                                      {NID_subject_key_identifier, "hash"},
                                      {NID_authority_key_identifier, "keyid"}}));
  if (X509_sign(certificate, impl->key.get(), EVP_sha256()) == 0)
    return OpenSslError("sign the CA");
  return KeyPair(std::move(impl));
}

absl::StatusOr<KeyPair> NewLeaf(const LeafSpec& spec, const KeyPair& ca) {
  MOKV_CHECK(spec.is_server || spec.is_client);
  for (const std::string& host : spec.hosts) MOKV_CHECK(CheckHost(host).ok());
  auto impl = std::make_unique<KeyPair::Impl>();
  X509* issuer = ca.impl_->certificate.get();
  MOKV_ASSIGN_OR_RETURN(impl->key, NewKey());
  MOKV_ASSIGN_OR_RETURN(impl->certificate,
                        StartCertificate(spec.common_name, impl->key.get(), issuer, kLeafDays));
  std::string usages = spec.is_server ? "serverAuth" : "";
  if (spec.is_client) usages += usages.empty() ? "clientAuth" : ",clientAuth";
  std::vector<std::pair<int, std::string>> extensions = {
      {NID_basic_constraints, "critical,CA:FALSE"},
      {NID_key_usage, "critical,digitalSignature"},
      {NID_ext_key_usage, usages},
      {NID_subject_key_identifier, "hash"},
      {NID_authority_key_identifier, "keyid:always"}};
  if (!spec.hosts.empty()) {
    extensions.emplace_back(NID_subject_alt_name, AlternativeNames(spec.hosts));
  }
  MOKV_RETURN_IF_ERROR(AddExtensions(impl->certificate.get(), issuer, extensions));
  if (X509_sign(impl->certificate.get(), ca.impl_->key.get(), EVP_sha256()) == 0) {
    return OpenSslError("sign a certificate");
  }
  return KeyPair(std::move(impl));
}

absl::Status CheckHost(const std::string& host) {
  if (IsAddress(host)) return absl::OkStatus();
  std::string_view rest = host;
  if (rest.starts_with("*.")) rest.remove_prefix(2);
  bool is_name = !rest.empty() && rest.size() <= kHostBytesMax;
  size_t label = 0;
  for (const char c : rest) {
    const bool is_label_char = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                               (c >= '0' && c <= '9') || c == '-' || c == '_';
    // Other characters could end the name early in the language of OpenSSL's extensions.
    if (!is_label_char && (c != '.' || label == 0)) is_name = false;
    label = c == '.' ? 0 : label + 1;
    if (label > kLabelBytesMax) is_name = false;
  }
  if (is_name && label > 0) return absl::OkStatus();
  return InvalidArgument(
      "\"{}\" cannot stand in a certificate, expected a DNS name or an IP address", host);
}

}  // namespace mokv::pki
