#include "node/foreign_cluster.h"

#include <gtest/gtest.h>

#include <optional>
#include <vector>

namespace mokv {
namespace {

class ForeignClusterTest : public ::testing::Test {
 protected:
  void Meet() { foreign.OnForeignNode({.name = "other", .rpc_address = "other:8400"}); }
  void Answer(absl::StatusOr<replica::PeerIdentity> identity) {
    ASSERT_FALSE(asked.empty());
    auto found = std::move(asked.back());
    asked.pop_back();
    found(std::move(identity));
  }
  static replica::PeerIdentity Of(const std::string& cluster_id) {
    return {.name = "other", .instance_id = "disk", .cluster_id = cluster_id, .version = "1"};
  }

  OwnCluster own{.began_here = true,
                 .told_of_others = true,
                 .revision = Revision(0),
                 .members = 1,
                 .cluster_id = "mine"};
  std::vector<ForeignCluster::Found> asked;
  std::optional<std::string> fenced;
  ForeignCluster foreign{{.own = [this] { return own; },
                          .identify =
                              [this](const std::string& address, ForeignCluster::Found found) {
                                EXPECT_EQ(address, "other:8400");
                                asked.push_back(std::move(found));
                              },
                          .fence = [this](const std::string& reason) { fenced = reason; },
                          .data_dir = "/data"}};
};

TEST(MayBeAMistake, OnlyOfAYoungClusterThatWasToldOfOthers) {
  const OwnCluster mistake{.began_here = true, .told_of_others = true, .members = 1};
  EXPECT_TRUE(MayBeAMistake(mistake));
  for (int what = 0; what < 4; ++what) {
    OwnCluster own = mistake;
    if (what == 0) own.began_here = false;
    if (what == 1) own.told_of_others = false;
    if (what == 2) own.revision = Revision(1);
    if (what == 3) own.members = 2;
    EXPECT_FALSE(MayBeAMistake(own)) << what;
  }
}

TEST_F(ForeignClusterTest, FencesWhenTheOtherNodeSaysSoItself) {
  Meet();
  EXPECT_FALSE(fenced.has_value()) << "on the word of gossip alone";
  Answer(Of("theirs"));
  ASSERT_TRUE(fenced.has_value());
  EXPECT_EQ(
      *fenced,
      "it began cluster mine although other at other:8400 is of cluster theirs; stop it, move "
      "data-dir /data away, and start it without bootstrap; if it was a member there before, run "
      "mokvctl rebuild first");
  Meet();
  EXPECT_TRUE(asked.empty()) << "it has fenced already";
}

TEST_F(ForeignClusterTest, AsksOneAtATime) {
  Meet();
  Meet();
  EXPECT_EQ(asked.size(), 1u);
}

TEST_F(ForeignClusterTest, GoesOnWhenTheOtherIsNoStranger) {
  for (const auto& answer :
       {absl::StatusOr<replica::PeerIdentity>(Of("mine")),
        absl::StatusOr<replica::PeerIdentity>(Of("")),
        absl::StatusOr<replica::PeerIdentity>(absl::UnavailableError("gone"))}) {
    Meet();
    Answer(answer);
    EXPECT_FALSE(fenced.has_value());
  }
}

// Goal: a write that came while the other node was asked makes this cluster one that counts.
TEST_F(ForeignClusterTest, LooksOnceMoreBeforeItFences) {
  Meet();
  own.revision = Revision(1);
  Answer(Of("theirs"));
  EXPECT_FALSE(fenced.has_value());
  Meet();
  EXPECT_TRUE(asked.empty());
}

}  // namespace
}  // namespace mokv
