// Who is let in, and why others are not.
#include "peer/handshake.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/status.h"

namespace mokv::peer {
namespace {

using proto::HelloReply;
using testing::HasSubstr;

class HandshakeTest : public testing::Test {
 protected:
  static LocalNode NodeOf(const std::string& name, const std::string& instance_id) {
    return {.name = name,
            .instance_id = instance_id,
            .rpc_address = name + ":1",
            .version = "1.2",
            .id = raft::NodeIdOf(name, instance_id),
            .allowed_names = {"node", "a"}};
  }
  static Expected ExpectedOf(const LocalNode& node) {
    return {.id = node.id, .name = node.name, .instance_id = node.instance_id};
  }
  HelloReply Answer(uint64_t group = 0) const { return AnswerHello(b_, hello_, group, nullptr); }

  LocalNode a_ = NodeOf("a", "ia");
  LocalNode b_ = NodeOf("b", "ib");
  proto::Hello hello_ = MakeHello(a_, ExpectedOf(b_), Purpose::kMessages);
};

TEST_F(HandshakeTest, LetsInWhoMeansUs) {
  const HelloReply reply = Answer();
  EXPECT_EQ(reply.refusal(), HelloReply::NONE);
  EXPECT_TRUE(CheckReply(a_, ExpectedOf(b_), Purpose::kMessages, reply).ok());
  EXPECT_EQ(RemoteOf(reply).id, b_.id);
  EXPECT_EQ(RemoteOf(hello_).id, a_.id);
  EXPECT_EQ(RemoteOf(reply).version, "1.2");
}

TEST_F(HandshakeTest, LetsInWhoDoesNotSayWhomItMeans) {
  hello_.clear_to_name();
  hello_.clear_to_instance_id();
  EXPECT_EQ(Answer().refusal(), HelloReply::NONE);
}

TEST_F(HandshakeTest, RefusesOtherNames) {
  hello_.set_to_name("c");
  EXPECT_EQ(Answer().refusal(), HelloReply::NOT_ME);
  EXPECT_THAT(Answer().refusal_text(), HasSubstr("this is b, not c"));
}

TEST_F(HandshakeTest, ARebuiltNodeSaysWhosePlaceItTakes) {
  b_.replaces = {"before", "long-before"};
  HelloReply reply = Answer();
  EXPECT_EQ(RemoteOf(reply).replaces, b_.replaces);
  EXPECT_TRUE(CheckReply(a_, ExpectedOf(b_), Purpose::kIdentify, reply).ok());
  reply.add_replaces_instance_ids(std::string(kTextBytesMax + 1, 'x'));
  EXPECT_FALSE(CheckReply(a_, ExpectedOf(b_), Purpose::kIdentify, reply).ok());
  reply.clear_replaces_instance_ids();
  for (int i = 0; i <= kReplacesMax; ++i) reply.add_replaces_instance_ids("before");
  EXPECT_FALSE(CheckReply(a_, ExpectedOf(b_), Purpose::kIdentify, reply).ok());
}

TEST_F(HandshakeTest, RefusesWhoMeansALostDisk) {
  hello_.set_to_instance_id("before");
  EXPECT_EQ(Answer().refusal(), HelloReply::NOT_ME);
  EXPECT_THAT(Answer().refusal_text(), HasSubstr("another instance of b"));
}

TEST_F(HandshakeTest, RefusesOtherClustersOnceBothAreKnown) {
  hello_.set_cluster_id("one");
  EXPECT_EQ(Answer().refusal(), HelloReply::NONE);
  b_.cluster_id = "two";
  EXPECT_EQ(Answer().refusal(), HelloReply::CLUSTER);
  hello_.clear_cluster_id();
  EXPECT_EQ(Answer().refusal(), HelloReply::NONE);
  // The side that dials looks as well.
  a_.cluster_id = "one";
  EXPECT_THAT(std::string(MessageOf(CheckReply(a_, ExpectedOf(b_), Purpose::kMessages, Answer()))),
              HasSubstr("belongs to cluster two"));
}

TEST_F(HandshakeTest, RefusesItsOwnName) {
  hello_.set_from_name("b");
  EXPECT_EQ(Answer().refusal(), HelloReply::SELF);
}

TEST_F(HandshakeTest, RefusesVersionsThatDoNotMeet) {
  hello_.set_protocol_version_min(kProtocolVersionMax + 1);
  hello_.set_protocol_version_max(kProtocolVersionMax + 5);
  EXPECT_EQ(Answer().refusal(), HelloReply::VERSION);
  hello_.set_protocol_version_min(kProtocolVersionMin);
  EXPECT_EQ(Answer().refusal(), HelloReply::NONE);
  EXPECT_EQ(Answer().protocol_version(), kProtocolVersionMax);
  hello_.set_protocol_version_min(kProtocolVersionMax + 9);
  EXPECT_EQ(Answer().refusal(), HelloReply::MALFORMED);
}

// Goal:   a version that ignores the purpose must not take the connection for its newest one.
// Method: what keeps it is the version alone, which every version looks at.
TEST_F(HandshakeTest, OnlyVersionsThatKnowSnapshotsAreAskedForThem) {
  EXPECT_EQ(hello_.protocol_version_min(), 1u);
  EXPECT_EQ(PurposeOf(hello_), Purpose::kMessages);
  hello_ = MakeHello(a_, ExpectedOf(b_), Purpose::kSnapshots);
  EXPECT_GT(hello_.protocol_version_min(), 1u);
  EXPECT_EQ(PurposeOf(hello_), Purpose::kSnapshots);
  HelloReply reply = Answer();
  EXPECT_EQ(reply.refusal(), HelloReply::NONE);
  EXPECT_TRUE(CheckReply(a_, ExpectedOf(b_), Purpose::kSnapshots, reply).ok());
  reply.set_protocol_version(1);
  EXPECT_TRUE(CheckReply(a_, ExpectedOf(b_), Purpose::kMessages, reply).ok());
  EXPECT_FALSE(CheckReply(a_, ExpectedOf(b_), Purpose::kSnapshots, reply).ok());
}

TEST_F(HandshakeTest, SpeaksTheFirstVersionWithOlderNodes) {
  hello_.set_protocol_version_max(1);
  EXPECT_EQ(Answer().refusal(), HelloReply::NONE);
  EXPECT_EQ(Answer().protocol_version(), 1u);
}

TEST_F(HandshakeTest, RefusesPurposesThatItDoesNotKnow) {
  hello_.set_purpose(static_cast<proto::Hello::Purpose>(2));
  EXPECT_EQ(Answer().refusal(), HelloReply::MALFORMED);
  hello_.set_purpose(proto::Hello::SNAPSHOTS);
  EXPECT_EQ(Answer().refusal(), HelloReply::NONE);
  hello_.set_protocol_version_max(1);  // Which does not know it.
  EXPECT_EQ(Answer().refusal(), HelloReply::MALFORMED);
}

TEST_F(HandshakeTest, RefusesGroupsThatAreNotHere) {
  EXPECT_EQ(Answer(1).refusal(), HelloReply::GROUP);
}

TEST_F(HandshakeTest, RefusesGreetingsThatMakeNoSense) {
  hello_.clear_from_instance_id();
  EXPECT_EQ(Answer().refusal(), HelloReply::MALFORMED);
  hello_.set_from_instance_id(std::string(kTextBytesMax + 1, 'x'));
  EXPECT_EQ(Answer().refusal(), HelloReply::MALFORMED);
}

TEST_F(HandshakeTest, TellsAWrongCertificateNothing) {
  const std::string name = "client";
  const HelloReply reply = AnswerHello(b_, hello_, 0, &name);
  EXPECT_EQ(reply.refusal(), HelloReply::CERTIFICATE);
  EXPECT_EQ(reply.name(), "");
  EXPECT_EQ(reply.instance_id(), "");
  const std::string good = "node";
  EXPECT_EQ(AnswerHello(b_, hello_, 0, &good).refusal(), HelloReply::NONE);
  const std::string none;
  EXPECT_EQ(AnswerHello(b_, hello_, 0, &none).refusal(), HelloReply::CERTIFICATE);
}

TEST_F(HandshakeTest, TellsWhoAsksWhoIsHere) {
  a_.cluster_id = "one";
  b_.cluster_id = "two";
  hello_ = MakeHello(a_, Expected(), Purpose::kIdentify);
  const HelloReply reply = Answer();
  EXPECT_EQ(reply.refusal(), HelloReply::NONE);
  EXPECT_EQ(reply.name(), "b");
  EXPECT_EQ(reply.cluster_id(), "two");
  EXPECT_TRUE(CheckReply(a_, Expected(), Purpose::kIdentify, reply).ok());
}

TEST_F(HandshakeTest, ADialerRefusesWhomItDoesNotMean) {
  HelloReply reply = Answer();
  reply.set_instance_id("other");
  EXPECT_FALSE(CheckReply(a_, ExpectedOf(b_), Purpose::kMessages, reply).ok());
  reply = Answer();
  reply.set_protocol_version(kProtocolVersionMax + 1);
  EXPECT_FALSE(CheckReply(a_, ExpectedOf(b_), Purpose::kMessages, reply).ok());
  reply = Answer();
  reply.clear_name();
  EXPECT_FALSE(CheckReply(a_, Expected(), Purpose::kIdentify, reply).ok());
  reply = Answer();
  reply.set_node_version(std::string(kTextBytesMax + 1, 'x'));
  EXPECT_FALSE(CheckReply(a_, ExpectedOf(b_), Purpose::kMessages, reply).ok());
  // A reason of a later version.
  reply = Answer();
  reply.set_refusal(static_cast<Refusal>(77));
  reply.set_refusal_text("because");
  EXPECT_THAT(std::string(MessageOf(CheckReply(a_, ExpectedOf(b_), Purpose::kMessages, reply))),
              HasSubstr("refused (unknown): because"));
}

}  // namespace
}  // namespace mokv::peer
