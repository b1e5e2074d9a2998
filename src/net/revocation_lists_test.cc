// Which lists count, and whom they revoke.
#include "net/revocation_lists.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/status.h"
#include "net/testing/test_certificates.h"

namespace mokv::net {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class RevocationListsTest : public testing::Test {
 protected:
  RevocationListsTest() {
    files_.MakeCa("ca");
    files_.MakeCa("other-ca");
    files_.Make("good", "ca", {.common_name = "good"});
    files_.Make("bad", "ca", {.common_name = "bad"});
  }

  // Of several files, one behind the other.
  std::string Joined(const std::vector<std::string>& names) {
    std::string text;
    for (const std::string& name : names) text += files_.ReadText(name + ".pem");
    return text;
  }
  absl::StatusOr<RevocationLists> Read(const std::vector<std::string>& lists,
                                       const std::vector<std::string>& authorities = {"ca"}) {
    files_.WriteText("lists.pem", Joined(lists));
    files_.WriteText("authorities.pem", Joined(authorities));
    return RevocationLists::Read(files_.Path("lists.pem"),
                                 *ReadCertificates(files_.Path("authorities.pem")));
  }
  std::string ErrorOf(const std::vector<std::string>& lists) {
    const absl::Status status = Read(lists).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    return std::string(MessageOf(status));
  }
  bool Revokes(const RevocationLists& lists, const std::string& name,
               const std::string& signer = "ca") {
    const auto certificate = ReadCertificates(files_.Path(name + ".pem"));
    const auto authority = ReadCertificates(files_.Path(signer + ".pem"));
    return lists.Revokes(*certificate->front(), *authority->front());
  }

  TestCertificates files_;
};

TEST_F(RevocationListsTest, RevokesWhomTheSignersListHas) {
  files_.MakeRevocationList("list", "ca", {.revoked = {"bad"}});
  const auto lists = Read({"list"});
  ASSERT_TRUE(lists.ok()) << lists.status();
  EXPECT_TRUE(Revokes(*lists, "bad"));
  EXPECT_FALSE(Revokes(*lists, "good"));
  EXPECT_THAT(lists->Warnings(), IsEmpty());
}

// Goal: while an authority is replaced by one of the same name, each list counts for its own.
TEST_F(RevocationListsTest, TellsAuthoritiesOfOneNameApart) {
  files_.MakeCa("new-ca", {.common_name = "ca"});
  files_.Make("new-good", "new-ca", {.common_name = "good"});
  files_.MakeRevocationList("list", "ca", {.revoked = {"bad", "new-good"}});
  const auto lists = Read({"list"}, {"new-ca", "ca"});
  ASSERT_TRUE(lists.ok()) << lists.status();
  EXPECT_TRUE(Revokes(*lists, "bad"));
  EXPECT_FALSE(Revokes(*lists, "new-good", "new-ca"));
}

TEST_F(RevocationListsTest, TakesTheNewestOfAnAuthority) {
  files_.MakeRevocationList("old", "ca", {.revoked = {"good"}, .valid_from = -7200});
  files_.MakeRevocationList("new", "ca", {.revoked = {"bad"}, .valid_until = -60});
  for (const std::vector<std::string>& order :
       {std::vector<std::string>{"old", "new"}, std::vector<std::string>{"new", "old"}}) {
    const auto lists = Read(order);
    ASSERT_TRUE(lists.ok()) << lists.status();
    EXPECT_TRUE(Revokes(*lists, "bad"));
    EXPECT_FALSE(Revokes(*lists, "good"));
    EXPECT_THAT(lists->Warnings(), ElementsAre(HasSubstr("should have been renewed by")));
  }
}

TEST_F(RevocationListsTest, TakesAllPlacesOfAnAuthority) {
  files_.MakeRevocationList("first", "ca", {.revoked = {"bad"}, .place = "http://ca/1"});
  files_.MakeRevocationList("second", "ca", {.revoked = {"good"}, .place = "http://ca/2"});
  const auto lists = Read({"first", "second"});
  ASSERT_TRUE(lists.ok()) << lists.status();
  EXPECT_TRUE(Revokes(*lists, "bad"));
  EXPECT_TRUE(Revokes(*lists, "good"));
}

TEST_F(RevocationListsTest, RefusesAPartOfAList) {
  files_.MakeRevocationList("users", "ca", {.of_users_only = true});
  EXPECT_THAT(ErrorOf({"users"}), HasSubstr("/CN=ca is for some kinds of certificates only"));
  files_.MakeRevocationList("changes", "ca", {.of_changes_only = true});
  EXPECT_THAT(ErrorOf({"changes"}), HasSubstr("/CN=ca lists changes to another list only"));
  files_.MakeRevocationList("unknown", "ca", {.has_unknown_part = true});
  EXPECT_THAT(ErrorOf({"unknown"}), HasSubstr("/CN=ca has a critical part that is unknown"));
  files_.MakeRevocationList("odd", "ca", {.has_unreadable_place = true});
  EXPECT_THAT(ErrorOf({"odd"}), HasSubstr("/CN=ca says in a way that cannot be read what it is"));
}

// Goal: when an authority has gone from the bundle, its list may still stand in the file.
TEST_F(RevocationListsTest, TakesTheListsOfOthersWithAWarning) {
  files_.MakeRevocationList("list", "ca", {.revoked = {"bad"}});
  files_.MakeRevocationList("other", "other-ca", {.revoked = {"good"}});
  const auto lists = Read({"other", "list"});
  ASSERT_TRUE(lists.ok()) << lists.status();
  EXPECT_TRUE(Revokes(*lists, "bad"));
  EXPECT_FALSE(Revokes(*lists, "good"));
  EXPECT_THAT(
      lists->Warnings(),
      ElementsAre(HasSubstr("no CA of ours has signed the revocation list of /CN=other-ca")));
}

// Goal: a file of somebody else's lists alone is a mistake, by which nobody would be revoked.
TEST_F(RevocationListsTest, RefusesAFileWithoutAListOfOurs) {
  files_.MakeRevocationList("other", "other-ca", {});
  EXPECT_THAT(ErrorOf({"other"}),
              HasSubstr("lists.pem holds no revocation list that a CA of ours has signed (it has "
                        "one of /CN=other-ca)"));
}

// Goal: an authority below ours need not stand in the file of authorities for its list to count.
TEST_F(RevocationListsTest, TakesTheListOfAnAuthorityBelow) {
  files_.MakeCa("below", {.common_name = "below", .signed_by = "ca"});
  files_.Make("staff", "below", {.common_name = "staff"});
  files_.MakeRevocationList("list", "ca", {});
  files_.MakeRevocationList("list-below", "below", {.revoked = {"staff"}});
  const auto lists = Read({"list", "list-below"});
  ASSERT_TRUE(lists.ok()) << lists.status();
  EXPECT_TRUE(Revokes(*lists, "staff", "below"));
  EXPECT_FALSE(Revokes(*lists, "below", "ca"));
}

}  // namespace
}  // namespace mokv::net
