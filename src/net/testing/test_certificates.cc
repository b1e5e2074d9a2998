#include "net/testing/test_certificates.h"

#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#include "base/check.h"

namespace mokv::net {
namespace {

struct Signed {
  EVP_PKEY* key = nullptr;
  X509* certificate = nullptr;

  void Free() {
    EVP_PKEY_free(key);
    X509_free(certificate);
  }
};

void AddExtension(X509* certificate, X509* issuer, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str());
  MOKV_CHECK(extension != nullptr);
  X509_add_ext(certificate, extension, -1);
  X509_EXTENSION_free(extension);
}

EVP_PKEY* NewKey(TestCertificates::Key kind) {
  using Key = TestCertificates::Key;
  if (kind == Key::kP256) return EVP_EC_gen("P-256");
  if (kind == Key::kEd25519) return EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519");
  if (kind == Key::kRsa2048) return EVP_RSA_gen(2048);
  // It takes seconds: there is one for all.
  static EVP_PKEY* const key = EVP_RSA_gen(4096);
  EVP_PKEY_up_ref(key);
  return key;
}

// Ed25519 has a hash of its own. What is odd on purpose may have no signature.
void Sign(X509* certificate, EVP_PKEY* key) {
  const EVP_MD* hash = EVP_PKEY_is_a(key, "ED25519") == 1 ? nullptr : EVP_sha256();
  X509_sign(certificate, key, hash);
  ERR_clear_error();
}

X509* NewCertificate(EVP_PKEY* key, const TestCertificates::Options& options) {
  static long serial = 1;
  X509* certificate = X509_new();
  X509_set_version(certificate, X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), ++serial);
  X509_gmtime_adj(X509_getm_notBefore(certificate), options.valid_from);
  X509_gmtime_adj(X509_getm_notAfter(certificate), options.valid_until);
  X509_set_pubkey(certificate, key);
  const auto add_common_name = [&](const std::string& name) {
    // The type, unlike MBSTRING_UTF8, has no bound of a size.
    X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", V_ASN1_UTF8STRING,
                               reinterpret_cast<const unsigned char*>(name.data()),
                               static_cast<int>(name.size()), -1, 0);
  };
  if (options.common_name.empty() && options.more_common_names.empty()) return certificate;
  add_common_name(options.common_name);
  for (const std::string& name : options.more_common_names) add_common_name(name);
  return certificate;
}

void AddParts(X509_CRL* list, const TestCertificates::ListOptions& options) {
  if (options.of_users_only || !options.place.empty()) {
    ISSUING_DIST_POINT* point = ISSUING_DIST_POINT_new();
    if (options.of_users_only) point->onlyuser = 0xff;
    if (!options.place.empty()) {
      point->distpoint = DIST_POINT_NAME_new();
      point->distpoint->type = 0;  // Its full name.
      point->distpoint->name.fullname = GENERAL_NAMES_new();
      sk_GENERAL_NAME_push(
          point->distpoint->name.fullname,
          a2i_GENERAL_NAME(nullptr, nullptr, nullptr, GEN_URI, options.place.c_str(), 0));
    }
    X509_CRL_add1_ext_i2d(list, NID_issuing_distribution_point, point, 1, 0);
    ISSUING_DIST_POINT_free(point);
  }
  if (options.has_unreadable_place) {
    ASN1_OCTET_STRING* garbage = ASN1_OCTET_STRING_new();
    ASN1_OCTET_STRING_set(garbage, reinterpret_cast<const unsigned char*>("?"), 1);
    X509_EXTENSION* extension =
        X509_EXTENSION_create_by_NID(nullptr, NID_issuing_distribution_point, 1, garbage);
    X509_CRL_add_ext(list, extension, -1);
    X509_EXTENSION_free(extension);
    ASN1_OCTET_STRING_free(garbage);
  }
  ASN1_INTEGER* number = ASN1_INTEGER_new();
  ASN1_INTEGER_set(number, 1);
  if (options.of_changes_only) X509_CRL_add1_ext_i2d(list, NID_delta_crl, number, 1, 0);
  // A real extension, but none of a list.
  if (options.has_unknown_part) X509_CRL_add1_ext_i2d(list, NID_inhibit_any_policy, number, 1, 0);
  ASN1_INTEGER_free(number);
}

}  // namespace

class TestCertificates::Impl {
 public:
  ~Impl() {
    for (auto& [name, entry] : made) entry.Free();
  }

  void Write(const std::string& path, const Signed& entry) {
    FILE* file = std::fopen((path + ".pem").c_str(), "we");
    MOKV_CHECK(file != nullptr);
    PEM_write_X509(file, entry.certificate);
    std::fclose(file);
    file = std::fopen((path + "-key.pem").c_str(), "we");
    MOKV_CHECK(file != nullptr);
    PEM_write_PrivateKey(file, entry.key, nullptr, nullptr, 0, nullptr, nullptr);
    std::fclose(file);
  }

  void Keep(const std::string& name, const Signed& entry) {
    made[name].Free();
    made[name] = entry;
  }

  // Takes the key.
  void CertifyCa(const std::string& path, const std::string& name, EVP_PKEY* key,
                 const Options& options) {
    const Signed ca{.key = key, .certificate = NewCertificate(key, options)};
    const Signed& issuer = options.signed_by.empty() ? ca : made.at(options.signed_by);
    X509_set_issuer_name(ca.certificate, X509_get_subject_name(issuer.certificate));
    AddExtension(ca.certificate, issuer.certificate, NID_basic_constraints, "critical,CA:TRUE");
    Sign(ca.certificate, issuer.key);
    Write(path, ca);
    Keep(name, ca);
  }

  std::map<std::string, Signed> made;
};

TestCertificates::TestCertificates() : impl_(std::make_unique<Impl>()) {
  std::string pattern = (std::filesystem::temp_directory_path() / "mokv-tls-XXXXXX").string();
  MOKV_CHECK(mkdtemp(pattern.data()) != nullptr);
  directory_ = pattern;
}

TestCertificates::~TestCertificates() {
  std::error_code ignored;
  std::filesystem::remove_all(directory_, ignored);
}

void TestCertificates::MakeCa(const std::string& name, const Options& options) {
  impl_->CertifyCa(Path(name), name, NewKey(options.key), options);
}

void TestCertificates::RenewCa(const std::string& name, const Options& options) {
  EVP_PKEY* key = impl_->made.at(name).key;
  EVP_PKEY_up_ref(key);
  impl_->CertifyCa(Path(name), name, key, options);
}

void TestCertificates::Make(const std::string& name, const std::string& ca,
                            const Options& options) {
  const Signed& issuer = impl_->made.at(ca);
  Signed leaf;
  leaf.key = NewKey(options.key);
  leaf.certificate = NewCertificate(leaf.key, options);
  X509_set_issuer_name(leaf.certificate, X509_get_subject_name(issuer.certificate));
  if (!options.names.empty()) {
    AddExtension(leaf.certificate, issuer.certificate, NID_subject_alt_name, options.names);
  }
  Sign(leaf.certificate, issuer.key);
  impl_->Write(Path(name), leaf);
  impl_->Keep(name, leaf);
}

void TestCertificates::EncryptKey(const std::string& name, const std::string& encrypted_name) {
  FILE* file = std::fopen(Path(encrypted_name + "-key.pem").c_str(), "we");
  MOKV_CHECK(file != nullptr);
  std::string phrase = "secret";
  PEM_write_PrivateKey(file, impl_->made.at(name).key, EVP_aes_128_cbc(),
                       reinterpret_cast<unsigned char*>(phrase.data()),
                       static_cast<int>(phrase.size()), nullptr, nullptr);
  std::fclose(file);
}

void TestCertificates::MakeRevocationList(const std::string& list, const std::string& ca,
                                          const ListOptions& options) {
  const Signed& issuer = impl_->made.at(ca);
  const std::unique_ptr<X509_CRL, decltype(&X509_CRL_free)> made(X509_CRL_new(), X509_CRL_free);
  const std::unique_ptr<ASN1_TIME, decltype(&ASN1_TIME_free)> time(ASN1_TIME_new(), ASN1_TIME_free);
  X509_CRL_set_version(made.get(), X509_CRL_VERSION_2);
  X509_CRL_set_issuer_name(made.get(), X509_get_subject_name(issuer.certificate));
  X509_gmtime_adj(time.get(), options.valid_from);
  X509_CRL_set1_lastUpdate(made.get(), time.get());
  for (const std::string& name : options.revoked) {
    X509_REVOKED* revoked = X509_REVOKED_new();
    X509_REVOKED_set_serialNumber(revoked, X509_get_serialNumber(impl_->made.at(name).certificate));
    X509_REVOKED_set_revocationDate(revoked, time.get());
    X509_CRL_add0_revoked(made.get(), revoked);
  }
  X509_gmtime_adj(time.get(), options.valid_until);
  X509_CRL_set1_nextUpdate(made.get(), time.get());
  X509_CRL_sort(made.get());
  AddParts(made.get(), options);
  X509_CRL_sign(made.get(), issuer.key, EVP_sha256());
  FILE* file = std::fopen(Path(list + ".pem").c_str(), "we");
  MOKV_CHECK(file != nullptr);
  PEM_write_X509_CRL(file, made.get());
  std::fclose(file);
}

void TestCertificates::Replace(const std::string& name, const std::string& with) {
  for (const char* suffix : {"-key.pem", ".pem"}) {
    std::filesystem::rename(Path(with + suffix), Path(name + suffix));
  }
}

std::string TestCertificates::ReadText(const std::string& file) const {
  std::ostringstream text;
  text << std::ifstream(Path(file)).rdbuf();
  return text.str();
}

void TestCertificates::WriteText(const std::string& file, const std::string& text) {
  FILE* out = std::fopen(Path(file).c_str(), "we");
  MOKV_CHECK(out != nullptr);
  std::fwrite(text.data(), 1, text.size(), out);
  std::fclose(out);
}

}  // namespace mokv::net
