#include "cli/certificates.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include "base/status.h"
#include "cli/pki.h"
#include "cli/policy_files.h"

namespace mokv {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

template <auto Free>
struct Deleter {
  template <typename T>
  void operator()(T* object) const {
    Free(object);
  }
};
using CertificatePtr = std::unique_ptr<X509, Deleter<X509_free>>;
using KeyPtr = std::unique_ptr<EVP_PKEY, Deleter<EVP_PKEY_free>>;
using BioPtr = std::unique_ptr<BIO, Deleter<BIO_free>>;
using StorePtr = std::unique_ptr<X509_STORE, Deleter<X509_STORE_free>>;
using StoreContextPtr = std::unique_ptr<X509_STORE_CTX, Deleter<X509_STORE_CTX_free>>;

std::string ReadFile(const std::filesystem::path& path) {
  std::ifstream file(path);
  EXPECT_TRUE(file.good()) << path;
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

void WriteFile(const std::filesystem::path& path, std::string_view text) {
  std::ofstream file(path);
  file << text;
  ASSERT_TRUE(file.good()) << path;
}

mode_t ModeOf(const std::filesystem::path& path) {
  struct stat info {};
  EXPECT_EQ(stat(path.c_str(), &info), 0) << path;
  return info.st_mode & 07777;
}

CertificatePtr Certificate(const std::filesystem::path& path) {
  const std::string pem = ReadFile(path);
  const BioPtr bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  CertificatePtr certificate(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
  EXPECT_NE(certificate, nullptr) << path;
  return certificate;
}

KeyPtr Key(const std::filesystem::path& path) {
  const std::string pem = ReadFile(path);
  const BioPtr bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  KeyPtr key(PEM_read_bio_PrivateKey(bio.get(), nullptr, nullptr, nullptr));
  EXPECT_NE(key, nullptr) << path;
  return key;
}

std::string CommonName(X509* certificate) {
  std::array<char, 128> name{};
  X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, name.data(),
                            name.size());
  return name.data();
}

// OpenSSL's whole verification, as a TLS peer runs it: chain, dates, purpose, strictly.
int VerifyError(X509* leaf, X509* ca, int purpose) {
  const StorePtr store(X509_STORE_new());
  X509_STORE_add_cert(store.get(), ca);
  const StoreContextPtr context(X509_STORE_CTX_new());
  X509_STORE_CTX_init(context.get(), store.get(), leaf, nullptr);
  X509_STORE_CTX_set_purpose(context.get(), purpose);
  X509_STORE_CTX_set_flags(context.get(), X509_V_FLAG_X509_STRICT);
  X509_verify_cert(context.get());
  return X509_STORE_CTX_get_error(context.get());
}

class CertificatesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = std::filesystem::temp_directory_path() / "mokv-certs-XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    root_ = pattern;
    directory_ = root_ / "home/.mokv";
  }
  void TearDown() override { std::filesystem::remove_all(root_); }

  CertificateReport Init(std::vector<std::string> hosts = {}) {
    absl::StatusOr<CertificateReport> report =
        InitCertificates({.directory = directory_, .server_hosts = std::move(hosts)});
    EXPECT_TRUE(report.ok()) << report.status();
    return report.ok() ? *report : CertificateReport();
  }

  std::string InitRefusal() {
    const absl::Status status =
        InitCertificates({.directory = directory_, .server_hosts = {}}).status();
    EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
    return std::string(MessageOf(status));
  }

  std::map<std::string, std::string> Contents() {
    std::map<std::string, std::string> contents;
    for (const auto& entry : std::filesystem::directory_iterator(directory_)) {
      contents[entry.path().filename()] = ReadFile(entry.path());
    }
    return contents;
  }

  std::filesystem::path root_;
  std::filesystem::path directory_;
};

TEST_F(CertificatesTest, MakesEveryFileAndNothingElse) {
  const CertificateReport report = Init();
  const std::set<std::string> expected = {
      "ca.pem",     "ca-key.pem",   "server.pem",        "server-key.pem",
      "peer.pem",   "peer-key.pem", "root-client.pem",   "root-client-key.pem",
      "model.conf", "policy.csv",   "nobody-client.pem", "nobody-client-key.pem"};
  std::set<std::string> found;
  for (const auto& [name, text] : Contents()) found.insert(name);
  EXPECT_EQ(found, expected);
  std::set<std::string> reported;
  for (const CertificateReport::FileReport& file : report.files) {
    EXPECT_TRUE(file.made) << file.path;
    EXPECT_EQ(file.note, "") << file.path;
    reported.insert(std::filesystem::path(file.path).filename());
  }
  EXPECT_EQ(reported, expected);
  EXPECT_EQ(report.files.size(), expected.size());
}

TEST_F(CertificatesTest, PrivateKeysAreForTheOwnerOnly) {
  const mode_t old_mask = umask(0);
  Init();
  umask(old_mask);
  EXPECT_EQ(ModeOf(directory_), 0700u);
  for (const auto& [name, text] : Contents()) {
    EXPECT_EQ(ModeOf(directory_ / name), name.ends_with("-key.pem") ? 0600u : 0644u) << name;
    EXPECT_EQ(text.find("-----BEGIN PRIVATE KEY-----") != std::string::npos,
              name.ends_with("-key.pem"))
        << name;
  }
}

TEST_F(CertificatesTest, LeavesVerifyForTheirPurposeOnly) {
  Init();
  const CertificatePtr ca = Certificate(directory_ / "ca.pem");
  struct Case {
    const char* name;
    const char* common_name;
    bool is_server;
    bool is_client;
  };
  for (const Case& test :
       {Case{"server", "mokv-server", true, false}, Case{"peer", "mokv-peer", true, true},
        Case{"root-client", "root", false, true}, Case{"nobody-client", "nobody", false, true}}) {
    const CertificatePtr leaf = Certificate(directory_ / (std::string(test.name) + ".pem"));
    const KeyPtr key = Key(directory_ / (std::string(test.name) + "-key.pem"));
    EXPECT_EQ(CommonName(leaf.get()), test.common_name);
    EXPECT_EQ(X509_check_private_key(leaf.get(), key.get()), 1) << test.name;
    EXPECT_EQ(VerifyError(leaf.get(), ca.get(), X509_PURPOSE_SSL_SERVER),
              test.is_server ? X509_V_OK : X509_V_ERR_INVALID_PURPOSE)
        << test.name;
    EXPECT_EQ(VerifyError(leaf.get(), ca.get(), X509_PURPOSE_SSL_CLIENT),
              test.is_client ? X509_V_OK : X509_V_ERR_INVALID_PURPOSE)
        << test.name;
    EXPECT_EQ(X509_check_ca(leaf.get()), 0) << test.name;
    EXPECT_EQ(X509_get_key_usage(leaf.get()), unsigned{KU_DIGITAL_SIGNATURE}) << test.name;
    EXPECT_EQ(EVP_PKEY_get_bits(key.get()), 256) << test.name;
  }
}

TEST_F(CertificatesTest, CaSignsCertificatesOnly) {
  Init();
  const CertificatePtr ca = Certificate(directory_ / "ca.pem");
  EXPECT_EQ(X509_check_ca(ca.get()), 1);
  EXPECT_EQ(X509_get_pathlen(ca.get()), 0);
  EXPECT_EQ(X509_get_key_usage(ca.get()), unsigned{KU_KEY_CERT_SIGN | KU_CRL_SIGN});
  EXPECT_NE(X509_get0_subject_key_id(ca.get()), nullptr);
  int days = 0;
  int seconds = 0;
  ASSERT_EQ(ASN1_TIME_diff(&days, &seconds, nullptr, X509_get0_notAfter(ca.get())), 1);
  EXPECT_GE(days, 3650);
}

TEST_F(CertificatesTest, LeavesLastAtMost825Days) {
  Init();
  const CertificatePtr leaf = Certificate(directory_ / "server.pem");
  int days = 0;
  int seconds = 0;
  ASSERT_EQ(ASN1_TIME_diff(&days, &seconds, X509_get0_notBefore(leaf.get()),
                           X509_get0_notAfter(leaf.get())),
            1);
  EXPECT_EQ(days, 825);
  EXPECT_EQ(seconds, 0);
  EXPECT_LT(X509_cmp_current_time(X509_get0_notBefore(leaf.get())), 0);
}

TEST_F(CertificatesTest, SerialNumbersDiffer) {
  Init();
  std::set<std::string> serials;
  for (const char* name : {"ca", "server", "peer", "root-client", "nobody-client"}) {
    const CertificatePtr certificate = Certificate(directory_ / (std::string(name) + ".pem"));
    const ASN1_INTEGER* serial = X509_get0_serialNumber(certificate.get());
    EXPECT_EQ(serial->length, 16);
    EXPECT_EQ(serial->type, V_ASN1_INTEGER);  // Not V_ASN1_NEG_INTEGER.
    serials.emplace(reinterpret_cast<const char*>(serial->data),
                    static_cast<size_t>(serial->length));
  }
  EXPECT_EQ(serials.size(), 5u);
}

TEST_F(CertificatesTest, ServerIsValidForItsHostsOnly) {
  Init({"node1.example.com", "10.0.0.7", "fe80::7", "localhost"});
  const CertificatePtr server = Certificate(directory_ / "server.pem");
  for (const char* host : {"localhost", "node1.example.com"}) {
    EXPECT_EQ(X509_check_host(server.get(), host, 0, 0, nullptr), 1) << host;
  }
  for (const char* address : {"127.0.0.1", "::1", "10.0.0.7", "fe80::7"}) {
    EXPECT_EQ(X509_check_ip_asc(server.get(), address, 0), 1) << address;
  }
  for (const char* host : {"mokv-server", "example.com", "x.node1.example.com"}) {
    EXPECT_EQ(X509_check_host(server.get(), host, 0, 0, nullptr), 0) << host;
  }
  EXPECT_EQ(X509_check_ip_asc(server.get(), "10.0.0.8", 0), 0);
}

TEST_F(CertificatesTest, KeepsWhatIsThere) {
  Init();
  WriteFile(directory_ / "policy.csv", "p, ada, *, consume\n");
  std::filesystem::remove(directory_ / "nobody-client.pem");
  std::filesystem::remove(directory_ / "nobody-client-key.pem");
  std::map<std::string, std::string> before = Contents();
  const CertificateReport report = Init();
  std::map<std::string, std::string> after = Contents();
  EXPECT_EQ(after.size(), before.size() + 2);
  for (const auto& [name, text] : before) EXPECT_EQ(after[name], text) << name;
  for (const CertificateReport::FileReport& file : report.files) {
    EXPECT_EQ(file.made, file.path.find("nobody") != std::string::npos) << file.path;
  }
  const CertificatePtr leaf = Certificate(directory_ / "nobody-client.pem");
  const CertificatePtr ca = Certificate(directory_ / "ca.pem");
  EXPECT_EQ(VerifyError(leaf.get(), ca.get(), X509_PURPOSE_SSL_CLIENT), X509_V_OK);
}

TEST_F(CertificatesTest, SaysWhichHostsAKeptCertificateLacks) {
  Init({"a.example.com"});
  const CertificateReport report = Init({"a.example.com", "b.example.com", "10.0.0.7"});
  for (const CertificateReport::FileReport& file : report.files) {
    EXPECT_EQ(file.note, file.path == directory_ / "server.pem"
                             ? "is not valid for b.example.com, 10.0.0.7"
                             : "")
        << file.path;
  }
}

TEST_F(CertificatesTest, HalfAPairIsAnError) {
  Init();
  for (const char* stem : {"ca", "server", "peer", "root-client"}) {
    const std::string name = stem;
    for (const std::string& half : {name + ".pem", name + "-key.pem"}) {
      const std::string other = half == name + ".pem" ? name + "-key.pem" : name + ".pem";
      const std::string text = ReadFile(directory_ / half);
      std::filesystem::remove(directory_ / half);
      EXPECT_THAT(InitRefusal(),
                  AllOf(HasSubstr("/" + half + " is not"), HasSubstr("/" + other + " is there")));
      EXPECT_FALSE(std::filesystem::exists(directory_ / half));
      WriteFile(directory_ / half, text);
    }
  }
  Init();
}

TEST_F(CertificatesTest, FilesThatDoNotFitTogetherAreErrors) {
  Init();
  const std::string ca = ReadFile(directory_ / "ca.pem");
  const std::string server_key = ReadFile(directory_ / "server-key.pem");

  std::filesystem::copy_file(directory_ / "peer-key.pem", directory_ / "server-key.pem",
                             std::filesystem::copy_options::overwrite_existing);
  EXPECT_THAT(InitRefusal(), AllOf(HasSubstr("server-key.pem"), HasSubstr("does not match")));
  WriteFile(directory_ / "server-key.pem", "garbage");
  EXPECT_THAT(InitRefusal(), AllOf(HasSubstr("server-key.pem"), HasSubstr("not PEM")));
  WriteFile(directory_ / "server-key.pem", server_key);
  WriteFile(directory_ / "ca.pem", "");
  EXPECT_THAT(InitRefusal(), AllOf(HasSubstr("/ca.pem"), HasSubstr("not PEM")));

  // A new CA beside old leaves: nobody would accept those.
  std::filesystem::remove(directory_ / "ca.pem");
  std::filesystem::remove(directory_ / "ca-key.pem");
  EXPECT_THAT(InitRefusal(),
              AllOf(HasSubstr("server.pem was not signed by"), HasSubstr("/ca.pem")));

  std::filesystem::copy_file(directory_ / "peer.pem", directory_ / "ca.pem",
                             std::filesystem::copy_options::overwrite_existing);
  std::filesystem::copy_file(directory_ / "peer-key.pem", directory_ / "ca-key.pem",
                             std::filesystem::copy_options::overwrite_existing);
  EXPECT_THAT(InitRefusal(), HasSubstr("ca.pem is not the certificate of a CA"));
}

TEST_F(CertificatesTest, KeyWithAPasswordIsAnErrorAndAsksNobody) {
  Init();
  const KeyPtr key = Key(directory_ / "server-key.pem");
  const BioPtr bio(BIO_new(BIO_s_mem()));
  ASSERT_EQ(PEM_write_bio_PKCS8PrivateKey(bio.get(), key.get(), EVP_aes_128_cbc(), "secret", 6,
                                          nullptr, nullptr),
            1);
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  WriteFile(directory_ / "server-key.pem", std::string_view(data, static_cast<size_t>(size)));
  EXPECT_THAT(InitRefusal(), HasSubstr("without a password"));
}

TEST_F(CertificatesTest, ExpiredCertificateIsAnError) {
  Init();
  const CertificatePtr server = Certificate(directory_ / "server.pem");
  const KeyPtr ca_key = Key(directory_ / "ca-key.pem");
  ASSERT_NE(ASN1_TIME_set_string(X509_getm_notAfter(server.get()), "20200131000000Z"), 0);
  ASSERT_NE(X509_sign(server.get(), ca_key.get(), EVP_sha256()), 0);
  const BioPtr bio(BIO_new(BIO_s_mem()));
  ASSERT_EQ(PEM_write_bio_X509(bio.get(), server.get()), 1);
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  WriteFile(directory_ / "server.pem", std::string_view(data, static_cast<size_t>(size)));
  EXPECT_THAT(InitRefusal(), HasSubstr("server.pem expired on 2020-01-31"));
}

TEST_F(CertificatesTest, BadHostsAreRefusedBeforeAnythingIsMade) {
  for (const char* host : {"", "a b", "a,IP:1.2.3.4", "a..b", ".a", "a.", "*", "a.*.b", "ä.de",
                           "10.0.0.1/8", "http://a", "a:1"}) {
    const absl::Status status =
        InitCertificates({.directory = directory_, .server_hosts = {host}}).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << host << ": " << status;
  }
  EXPECT_FALSE(std::filesystem::exists(directory_));
}

TEST_F(CertificatesTest, DirectoryThatCannotBeMadeIsAnError) {
  WriteFile(root_ / "file", "");
  const absl::Status status =
      InitCertificates({.directory = root_ / "file/certs", .server_hosts = {}}).status();
  EXPECT_FALSE(status.ok());
  EXPECT_THAT(std::string(MessageOf(status)), HasSubstr("file"));
}

TEST_F(CertificatesTest, ClientIsMadeOnceForItsName) {
  Init();
  const absl::StatusOr<CertificateReport> made = MakeClientCertificate(directory_, "ada@example");
  ASSERT_TRUE(made.ok()) << made.status();
  const CertificatePtr ca = Certificate(directory_ / "ca.pem");
  const CertificatePtr leaf = Certificate(directory_ / "ada@example-client.pem");
  EXPECT_EQ(CommonName(leaf.get()), "ada@example");
  EXPECT_EQ(VerifyError(leaf.get(), ca.get(), X509_PURPOSE_SSL_CLIENT), X509_V_OK);
  EXPECT_EQ(ModeOf(directory_ / "ada@example-client-key.pem"), 0600u);

  const auto before = Contents();
  const absl::StatusOr<CertificateReport> again = MakeClientCertificate(directory_, "ada@example");
  ASSERT_TRUE(again.ok()) << again.status();
  for (const CertificateReport::FileReport& file : again->files) EXPECT_FALSE(file.made);
  EXPECT_EQ(Contents(), before);

  std::filesystem::copy_file(directory_ / "ada@example-client.pem", directory_ / "bob-client.pem");
  std::filesystem::copy_file(directory_ / "ada@example-client-key.pem",
                             directory_ / "bob-client-key.pem");
  const absl::Status other = MakeClientCertificate(directory_, "bob").status();
  EXPECT_TRUE(absl::IsFailedPrecondition(other)) << other;
  EXPECT_THAT(std::string(MessageOf(other)), HasSubstr("for \"ada@example\", not for \"bob\""));
}

TEST_F(CertificatesTest, ServerIsMadeForItsHosts) {
  Init();
  const absl::StatusOr<CertificateReport> made = MakeServerCertificate(
      directory_, "node2", {"node2.example.com", "10.0.0.2", "*.lan.example"});
  ASSERT_TRUE(made.ok()) << made.status();
  const CertificatePtr ca = Certificate(directory_ / "ca.pem");
  const CertificatePtr leaf = Certificate(directory_ / "node2.pem");
  EXPECT_EQ(VerifyError(leaf.get(), ca.get(), X509_PURPOSE_SSL_SERVER), X509_V_OK);
  EXPECT_EQ(X509_check_host(leaf.get(), "node2.example.com", 0, 0, nullptr), 1);
  EXPECT_EQ(X509_check_host(leaf.get(), "x.lan.example", 0, 0, nullptr), 1);
  EXPECT_EQ(X509_check_host(leaf.get(), "localhost", 0, 0, nullptr), 0);
  EXPECT_EQ(X509_check_ip_asc(leaf.get(), "10.0.0.2", 0), 1);
}

TEST_F(CertificatesTest, NamesThatAreNoFileNamesAreRefused) {
  Init();
  const auto before = Contents();
  for (const std::string& name : {std::string(), std::string("../x"), std::string(".hidden"),
                                  std::string("-x"), std::string("a b"), std::string("a/b"),
                                  std::string("ä"), std::string("x-key"), std::string(65, 'a')}) {
    EXPECT_TRUE(absl::IsInvalidArgument(MakeClientCertificate(directory_, name).status())) << name;
    EXPECT_TRUE(absl::IsInvalidArgument(MakeServerCertificate(directory_, name, {"a"}).status()))
        << name;
  }
  EXPECT_TRUE(absl::IsInvalidArgument(MakeServerCertificate(directory_, "ca", {"a"}).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(MakeServerCertificate(directory_, "n", {}).status()));
  EXPECT_EQ(Contents(), before);
  EXPECT_TRUE(MakeClientCertificate(directory_, std::string(64, 'a')).ok());
}

TEST_F(CertificatesTest, SigningNeedsTheCa) {
  std::filesystem::create_directories(directory_);
  const absl::Status status = MakeClientCertificate(directory_, "ada").status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(std::string(MessageOf(status)),
              AllOf(HasSubstr("ca.pem"), HasSubstr("mokvctl cert init")));
}

TEST_F(CertificatesTest, WritesTheShippedPolicy) {
  Init();
  const std::filesystem::path shipped = std::filesystem::path(MOKV_SOURCE_DIR) / "certs";
  EXPECT_EQ(ReadFile(directory_ / "model.conf"), ReadFile(shipped / "model.conf"));
  EXPECT_EQ(ReadFile(directory_ / "policy.csv"), ReadFile(shipped / "policy.csv"));
  EXPECT_THAT(std::string(ShippedModel()), HasSubstr("[matchers]"));
}

TEST(GossipKey, Is32RandomBytes) {
  const absl::StatusOr<std::string> key = NewGossipKey();
  ASSERT_TRUE(key.ok()) << key.status();
  EXPECT_EQ(key->size(), 44u);
  EXPECT_EQ(key->back(), '=');
  EXPECT_NE(*key, *NewGossipKey());
}

TEST(MachineHostName, CanStandInACertificate) {
  const std::string name = MachineHostName();
  EXPECT_TRUE(name.empty() || pki::CheckHost(name).ok()) << name;
}

}  // namespace
}  // namespace mokv
