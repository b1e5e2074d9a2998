// Several replicas whose leader reads by its lease: it does so only while nobody can know more.
#include <gtest/gtest.h>

#include <variant>
#include <vector>

#include "replica/testing/cluster.h"

namespace mokv::replica {
namespace {

using std::chrono::milliseconds;
using testing::WriteOutcome;

class LeaseClusterTest : public ::testing::Test {
 protected:
  void SetUp() override {
    cluster.Form();
    cluster.Run(milliseconds(200));
    ASSERT_EQ(cluster.Leader(), "n1");
  }

  testing::ReplicaCluster cluster{3, /*lease_reads=*/true};
};

TEST_F(LeaseClusterTest, TheLeaderReadsWithoutAskingWhileItsLeaseLasts) {
  EXPECT_TRUE(cluster.replica("n1").CanReadNow({}));
  EXPECT_FALSE(cluster.replica("n2").CanReadNow({}));
  // Paused: no turn of it runs, only the clock goes on.
  cluster.clock().now = cluster.clock().now + milliseconds(500);
  EXPECT_FALSE(cluster.replica("n1").CanReadNow({}));
}

// Goal:   what others may learn from a leader's messages, nobody reads less than on the leader,
//         whose I/O threads look at the store in the middle of its turns.
// Method: the acknowledgement that commits a write and a follower's question how far to read are
//         handled in one turn.
TEST_F(LeaseClusterTest, AMessageSaysNoMoreThanTheLeaderShows) {
  cluster.life("n2").disk_stalls = true;
  cluster.Cut("n1", "n3");
  const WriteOutcome write = cluster.life("n1").Set("k");
  cluster.Settle();
  EXPECT_FALSE(write->has_value());
  cluster.Cut("n1", "n2");
  std::vector<raft::Message> caught;
  std::vector<Index> answered;
  cluster.set_on_send([&](const std::string& name, const std::vector<raft::Message>& messages) {
    if (name == "n2") caught.insert(caught.end(), messages.begin(), messages.end());
    if (name != "n1" || !cluster.replica("n1").CanReadNow({})) return;
    for (const raft::Message& message : messages) {
      if (const auto* reply = std::get_if<raft::ReadIndexReply>(&message.body)) {
        EXPECT_LE(reply->index, cluster.replica("n1").report().applied_index);
        answered.push_back(reply->index);
      }
    }
  });
  cluster.life("n2").disk_stalls = false;
  cluster.life("n2").Read();
  cluster.Settle();
  ASSERT_EQ(caught.size(), 2u) << "an acknowledgement and a question";
  EXPECT_TRUE(cluster.replica("n1").CanReadNow({}));
  for (raft::Message& message : caught) cluster.replica("n1").OnMessage(message);
  cluster.Settle();
  EXPECT_TRUE(write->has_value() && (*write)->fate == WriteResult::Fate::kApplied);
  EXPECT_TRUE(answered.empty()) << "meanwhile the leader reads nothing by itself";
  EXPECT_TRUE(cluster.replica("n1").CanReadNow({}));
}

}  // namespace
}  // namespace mokv::replica
