// Followers that are put back to an older copy of their disk and have met their leader again: what
// was committed stays, whatever happens then. MOKV_RAFT_SEED says where to begin.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "base/random.h"
#include "base/testing/sanitizers.h"
#include "raft/testing/cluster.h"

namespace mokv::raft::testing {
namespace {

constexpr uint64_t kRuns = kSanitized ? 1000 : 10'000;
constexpr int kStepsBefore = 120;
constexpr int kStepsAfter = 300;

// Three voters in a network that loses and reorders.
class Schedule {
 public:
  explicit Schedule(uint64_t seed) : random_(seed), cluster_(seed) {
    std::vector<Member> voters;
    for (uint64_t i = 1; i <= 3; ++i) {
      voters.push_back({.id = NodeId(i),
                        .name = fmt::format("{}", i),
                        .instance_id = fmt::format("disk-{}", i),
                        .rpc_address = fmt::format("host-{}:1", i)});
    }
    const Membership membership("cluster", voters, {});
    for (const Member& voter : voters) {
      Options options;
      options.id = voter.id;
      cluster_.Add(voter.name, options, &membership);
    }
  }

  // Whether somebody lost something and met the leader that it had acknowledged to.
  bool Go() {
    for (int i = 0; i < kStepsBefore; ++i) Step();
    const Disk older = AnyNode().disk;
    const NodeId owner(last_any_);
    for (int i = 0; i < kStepsBefore; ++i) Step();
    if (!PutBack(*cluster_.Find(owner), older)) return false;
    put_back_ = owner;
    for (int i = 0; i < kStepsAfter; ++i) Step();
    return true;
  }
  const std::string& violation() const { return cluster_.invariants().violation(); }

 private:
  uint64_t Below(uint64_t bound) { return random_.Next() % bound; }
  Node& AnyNode() {
    last_any_ = 1 + Below(3);
    return cluster_.node(fmt::format("{}", last_any_));
  }
  Node* Leader() {
    Node* leader = nullptr;
    for (const auto& [name, node] : cluster_.nodes()) {
      if (node->core == nullptr || node->core->role() != Role::kLeader) continue;
      if (leader == nullptr || leader->core->term() < node->core->term()) leader = node.get();
    }
    return leader;
  }

  void Step() {
    Node& node = AnyNode();
    switch (Below(20)) {
      case 0:  // What it has learned is in memory: it stays up until it is whole.
        if (node.core != nullptr && node.id != put_back_) cluster_.Crash(node);
        return;
      case 1:
      case 2:
      case 3:
        if (node.core == nullptr) cluster_.Restart(node);
        return;
      case 4:
      case 5:
      case 6:
      case 7:
        if (Node* leader = Leader(); leader != nullptr) {
          cluster_.Step(*leader, Propose{.request = RequestId(++requests_),
                                         .payloads = {std::make_shared<const std::string>("p")}});
        }
        return;
      case 8:
      case 9:
      case 10:
        cluster_.Advance(std::chrono::milliseconds(Below(300)));
        for (const auto& [name, each] : cluster_.nodes()) {
          if (each->core != nullptr) cluster_.Step(*each, Tick{});
        }
        return;
      default:
        for (uint64_t count = 1 + Below(6); count > 0; --count) DeliverAny();
        return;
    }
  }
  void DeliverAny() {
    std::deque<Message>& network = cluster_.network();
    if (network.empty()) return;
    const auto chosen = network.begin() + static_cast<ptrdiff_t>(Below(network.size()));
    const Message message = *chosen;
    network.erase(chosen);
    if (Below(10) > 0) cluster_.Deliver(message);
  }

  // Its connections end with it, and nothing else happens until the leader's next heartbeat.
  bool PutBack(Node& node, const Disk& older) {
    Node* leader = Leader();
    if (leader == nullptr || leader == &node || node.core == nullptr) return false;
    cluster_.Crash(node);
    std::erase_if(cluster_.network(), [&](const Message& message) {
      return message.from == node.id || message.to == node.id;
    });
    node.disk = older;
    cluster_.Restart(node);
    cluster_.Advance(std::chrono::milliseconds(100));
    cluster_.Step(*leader, Tick{});
    if (leader->core->role() != Role::kLeader) return false;
    std::deque<Message>& network = cluster_.network();
    for (size_t i = 0; i < network.size();) {
      const Message message = network[i];
      if (message.from != leader->id || message.to != node.id) {
        ++i;
        continue;
      }
      network.erase(network.begin() + static_cast<ptrdiff_t>(i));
      cluster_.Deliver(message);
    }
    return node.core->lost_through() != Position();
  }

  SeededRandom random_;
  CoreCluster cluster_;
  uint64_t last_any_ = 0;
  uint64_t requests_ = 0;
  NodeId put_back_;
};

TEST(Losses, CostNothingThatWasCommitted) {
  const char* text = std::getenv("MOKV_RAFT_SEED");
  const uint64_t first = text == nullptr ? 1 : std::strtoull(text, nullptr, 10);
  uint64_t lost = 0;
  for (uint64_t seed = first; seed < first + kRuns; ++seed) {
    Schedule run(seed);
    if (run.Go()) ++lost;
    ASSERT_EQ(run.violation(), "") << "MOKV_RAFT_SEED=" << seed;
  }
  EXPECT_GT(lost, kRuns / 20) << "hardly anybody lost anything";
  fmt::print("{} of {} runs with a loss\n", lost, kRuns);
}

}  // namespace
}  // namespace mokv::raft::testing
