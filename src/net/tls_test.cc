// What TLS contexts say of files that do not fit: the file's name, and what is wrong with it.
#include "net/tls.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "base/status.h"
#include "net/testing/openssl_errors.h"
#include "net/testing/test_certificates.h"

namespace mokv::net {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class TlsTest : public testing::Test {
 protected:
  TlsTest() {
    files_.MakeCa("ca");
    files_.MakeCa("other-ca");
    files_.Make("node", "ca", {.common_name = "node"});
    files_.Make("second", "ca", {.common_name = "second"});
    files_.Make("stranger", "other-ca", {.common_name = "stranger"});
    files_.WriteText("text.pem", "not a certificate\n");
  }

  void TearDown() override { ExpectNoOpenSslErrors(); }

  std::string ErrorOf(const TlsFiles& files) {
    const absl::Status server = TlsContext::ForServer(files, {"h2"}).status();
    const absl::Status client = TlsContext::ForClient(files, {"h2"}).status();
    EXPECT_EQ(server.code(), absl::StatusCode::kInvalidArgument) << server;
    EXPECT_EQ(server, client);
    return std::string(MessageOf(server));
  }

  TestCertificates files_;
};

TEST_F(TlsTest, TakesFilesThatFit) {
  EXPECT_TRUE(TlsContext::ForServer(files_.Files("node", "ca"), {"h2"}).ok());
  EXPECT_TRUE(TlsContext::ForClient(files_.Files("node", "ca"), {"h2"}).ok());
}

TEST_F(TlsTest, NamesTheFileThatIsMissing) {
  TlsFiles files = files_.Files("node", "ca");
  files.certificate_file = files_.Path("none.pem");
  EXPECT_THAT(ErrorOf(files), HasSubstr(files.certificate_file + ": No such file"));
  files = files_.Files("node", "ca");
  files.key_file = files_.Path("none-key.pem");
  EXPECT_THAT(ErrorOf(files), HasSubstr(files.key_file + ": No such file"));
  files = files_.Files("node", "ca");
  files.ca_file = files_.Path("none-ca.pem");
  EXPECT_THAT(ErrorOf(files), HasSubstr(files.ca_file + ": No such file"));
}

TEST_F(TlsTest, NamesTheFileThatIsNotPem) {
  TlsFiles files = files_.Files("node", "ca");
  files.certificate_file = files_.Path("text.pem");
  EXPECT_THAT(ErrorOf(files), HasSubstr("text.pem holds no PEM certificate"));
  files = files_.Files("node", "ca");
  files.ca_file = files_.Path("text.pem");
  EXPECT_THAT(ErrorOf(files), HasSubstr("text.pem holds no PEM certificate"));
  files = files_.Files("node", "ca");
  files.key_file = files_.Path("text.pem");
  EXPECT_THAT(ErrorOf(files), HasSubstr("cannot use key " + files.key_file));
}

TEST_F(TlsTest, RefusesTheKeyOfAnotherCertificate) {
  TlsFiles files = files_.Files("node", "ca");
  files.key_file = files_.Path("second-key.pem");
  EXPECT_THAT(ErrorOf(files),
              HasSubstr("second-key.pem does not belong to certificate " + files.certificate_file));
}

// Goal: a node must not stop at start to ask a terminal for a pass phrase.
TEST_F(TlsTest, RefusesAnEncryptedKeyWithoutAsking) {
  files_.EncryptKey("node", "locked");
  TlsFiles files = files_.Files("node", "ca");
  files.key_file = files_.Path("locked-key.pem");
  EXPECT_THAT(ErrorOf(files), HasSubstr("key " + files.key_file + " is locked with a passphrase"));
}

TEST_F(TlsTest, RefusesCertificatesOutOfTheirTime) {
  files_.Make("old", "ca", {.common_name = "old", .valid_from = -7200, .valid_until = -3600});
  EXPECT_THAT(ErrorOf(files_.Files("old", "ca")), HasSubstr("old.pem expired on"));
  files_.Make("early", "ca", {.common_name = "early", .valid_from = 3600, .valid_until = 7200});
  EXPECT_THAT(ErrorOf(files_.Files("early", "ca")), HasSubstr("early.pem is not valid before"));
}

TEST_F(TlsTest, CaMustHaveSignedOneOfTheCertificates) {
  const std::string ca = files_.Path("ca.pem");
  const std::string node = files_.Path("node.pem");
  const std::string stranger = files_.Path("stranger.pem");
  EXPECT_TRUE(CheckSignedByCa(ca, {node}).ok());
  EXPECT_TRUE(CheckSignedByCa(ca, {stranger, node}).ok());
  files_.Make("old", "ca", {.common_name = "old", .valid_from = -7200, .valid_until = -3600});
  EXPECT_TRUE(CheckSignedByCa(ca, {files_.Path("old.pem")}).ok()) << "it did sign";
  const absl::Status neither = CheckSignedByCa(ca, {stranger, files_.Path("other-ca.pem")});
  EXPECT_EQ(neither.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(MessageOf(neither),
            "CA " + ca + " did not sign " + stranger + " nor " + files_.Path("other-ca.pem"));
  EXPECT_THAT(MessageOf(CheckSignedByCa(files_.Path("text.pem"), {node})),
              HasSubstr("cannot use CA"));
}

// Goal: while an authority is replaced, the bundle has the old one, too, until that is over and after.
TEST_F(TlsTest, ABundleMayHaveAnAuthorityThatIsOver) {
  files_.MakeCa("old-ca", {.common_name = "old-ca", .valid_from = -7200, .valid_until = -3600});
  const auto text = [&](const char* name) { return files_.ReadText(name); };
  files_.WriteText("bundle.pem", text("old-ca.pem") + text("ca.pem"));
  EXPECT_TRUE(TlsContext::ForServer(files_.Files("node", "bundle"), {"h2"}).ok());
  EXPECT_THAT(ErrorOf(files_.Files("node", "old-ca")), HasSubstr("old-ca.pem expired on"));
}

TEST_F(TlsTest, NamesTheRevocationListThatItCannotUse) {
  TlsFiles files = files_.Files("node", "ca");
  files.crl_file = files_.Path("none.pem");
  EXPECT_THAT(ErrorOf(files), HasSubstr("cannot read revocation list " + files.crl_file));
  files.crl_file = files_.Path("text.pem");
  EXPECT_THAT(ErrorOf(files), HasSubstr("text.pem holds no PEM revocation list"));
  files_.MakeRevocationList("list", "ca", {});
  const std::string list = files_.ReadText("list.pem");
  files_.WriteText("cut.pem", list + list.substr(0, list.size() / 2));
  files.crl_file = files_.Path("cut.pem");
  EXPECT_THAT(ErrorOf(files), HasSubstr("cut.pem holds a damaged PEM revocation list"));
}

TEST_F(TlsTest, TakesARevocationListThatIsLate) {
  files_.MakeRevocationList("list", "ca", {.valid_from = -7200, .valid_until = -3600});
  TlsFiles files = files_.Files("node", "ca");
  files.crl_file = files_.Path("list.pem");
  const auto context = TlsContext::ForServer(files, {"h2"});
  ASSERT_TRUE(context.ok()) << context.status();
  EXPECT_THAT((*context)->Warnings(), ElementsAre(HasSubstr("should have been renewed")));
}

// Goal: when a node's own certificate has expired, others can still be revoked.
TEST_F(TlsTest, AnOwnCertificateMayExpireWhileItIsInUse) {
  absl::StatusOr<std::shared_ptr<const TlsContext>> in_use = absl::UnknownError("");
  // Longer, if this machine is so slow that it has expired before it is read.
  for (long seconds = 1; !in_use.ok() && seconds < 100; seconds *= 2) {
    files_.Make("short", "ca", {.common_name = "short", .valid_until = seconds});
    in_use = TlsContext::ForServer(files_.Files("short", "ca"), {"h2"});
  }
  ASSERT_TRUE(in_use.ok()) << in_use.status();
  while ((*in_use)->Warnings().empty()) std::this_thread::yield();
  EXPECT_THAT((*in_use)->Warnings(), ElementsAre(HasSubstr("short.pem expired on")));
  EXPECT_TRUE(TlsContext::ForServer(files_.Files("short", "ca"), {"h2"}, in_use->get()).ok());
  EXPECT_THAT(ErrorOf(files_.Files("short", "ca")), HasSubstr("short.pem expired on"));
  files_.Make("old", "ca", {.common_name = "old", .valid_from = -7200, .valid_until = -3600});
  EXPECT_FALSE(TlsContext::ForServer(files_.Files("old", "ca"), {"h2"}, in_use->get()).ok());
}

// Goal: a certificate is somebody's, and it is clear whose.
TEST_F(TlsTest, ACommonNameIsOneSaneName) {
  const auto error_of = [&](const TestCertificates::Options& options) {
    files_.Make("odd", "ca", options);
    return std::string(MessageOf(CertificateCommonName(files_.Path("odd.pem")).status()));
  };
  EXPECT_THAT(error_of({}), HasSubstr("it has no common name"));
  EXPECT_THAT(error_of({.common_name = "", .more_common_names = {"root"}}),
              HasSubstr("more than one common name"));
  EXPECT_THAT(error_of({.common_name = "root", .more_common_names = {"alice"}}),
              HasSubstr("more than one common name"));
  EXPECT_THAT(error_of({.common_name = std::string("root\0.evil", 10)}),
              HasSubstr("control characters"));
  EXPECT_THAT(error_of({.common_name = "root\n"}), HasSubstr("control characters"));
  EXPECT_THAT(error_of({.common_name = "\xff\xfe"}), HasSubstr("invalid utf8string"));
  EXPECT_THAT(error_of({.common_name = std::string(64 << 10, 'r')}), HasSubstr("65536 bytes"));
  EXPECT_EQ(error_of({.common_name = std::string(256, 'r')}), "");
  files_.Make("odd", "ca", {.common_name = "J\xc3\xb6rg M\xc3\xbcller"});
  EXPECT_EQ(*CertificateCommonName(files_.Path("odd.pem")), "J\xc3\xb6rg M\xc3\xbcller");
}

}  // namespace
}  // namespace mokv::net
