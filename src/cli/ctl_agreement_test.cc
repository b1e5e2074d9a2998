#include "cli/ctl_agreement.h"

#include <gtest/gtest.h>

#include "api/cluster.pb.h"

namespace mokv {
namespace {

using Nodes = std::map<std::string, api::StatusResponse>;

void Tell(Nodes& nodes, const std::string& name, uint64_t index, uint64_t state) {
  api::StatusResponse& node = nodes[name];
  node.set_id(name);
  api::StateDigest& digest = *node.add_digests();
  digest.set_index(index);
  digest.set_format(1);
  digest.set_low(state);
}

// Goal: nodes are asked one after the other, and go on meanwhile.
TEST(Agreement, IsLookedForAtTheNewestEntryThatMostTellOf) {
  Nodes nodes;
  EXPECT_EQ(AgreementText(FindAgreement(nodes)), "");
  for (const uint64_t index : {1024, 2048}) Tell(nodes, "n1", index, index);
  for (const uint64_t index : {1024, 2048, 3072}) Tell(nodes, "n2", index, index);
  nodes["n3"].set_id("n3");  // Just started.
  const Agreement agreement = FindAgreement(nodes);
  EXPECT_EQ(agreement.index, 2048u);
  EXPECT_EQ(agreement.by_name, (std::map<std::string, bool>{{"n1", true}, {"n2", true}}));
  EXPECT_EQ(AgreementText(agreement),
            "state: the same on 2 nodes at entry 2048, digest 00000000000000000000000000000800");
}

TEST(Agreement, NamesWhoDiffers) {
  Nodes nodes;
  Tell(nodes, "n1", 1024, 1);
  Tell(nodes, "n2", 1024, 2);
  EXPECT_EQ(AgreementText(FindAgreement(nodes)), "state: NO MAJORITY has the same at entry 1024");
  Tell(nodes, "n3", 1024, 1);
  const Agreement agreement = FindAgreement(nodes);
  EXPECT_EQ(agreement.by_name,
            (std::map<std::string, bool>{{"n1", true}, {"n2", false}, {"n3", true}}));
  EXPECT_EQ(AgreementText(agreement),
            "state: n2 DIFFERS from the others at entry 1024, whose digest is "
            "00000000000000000000000000000001");
}

}  // namespace
}  // namespace mokv
