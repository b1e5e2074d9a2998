#include "auth/access.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

namespace mokv::auth {
namespace {

constexpr char kModel[] =
    "[request_definition]\nr = sub, obj, act\n[policy_definition]\np = sub, obj, act\n"
    "[policy_effect]\ne = some(where (p.eft == allow))\n"
    "[matchers]\nm = r.sub == p.sub && r.obj == p.obj && r.act == p.act\n";

std::shared_ptr<const Authorizer> Rules(const std::string& policy) {
  auto rules = Authorizer::Create(kModel, "model.conf", policy, "policy.csv");
  EXPECT_TRUE(rules.ok()) << rules.status();
  return *rules;
}

TEST(Access, HasTheNewestRulesForEveryThread) {
  const auto first = Rules("p, alice, k, consume");
  Access access(first, 2);
  EXPECT_EQ(&access.rules_of(0), first.get());
  EXPECT_TRUE(access.IsInForce(*first));
  const auto second = Rules("p, bob, k, consume");
  access.Replace(second);
  EXPECT_FALSE(access.IsInForce(*first));
  EXPECT_EQ(&access.rules_of(0), second.get());
  EXPECT_EQ(&access.rules_of(1), second.get());
  EXPECT_EQ(access.rules(), second);
}

// Goal:   rules that were replaced stay in memory for whoever still asks them.
// Method: threads ask as fast as they can while others come and go; ASan and TSan look on.
TEST(Access, IsReplacedWhileOthersAsk) {
  Access access(Rules("p, alice, k, consume"), 2);
  std::atomic<bool> over{false};
  std::vector<std::thread> threads;
  for (size_t i = 0; i < 2; ++i) {
    threads.emplace_back([&, i] {
      uint64_t wrong = 0;
      while (!over) wrong += access.rules_of(i).Allows("alice", "k", kConsume) ? 0 : 1;
      EXPECT_EQ(wrong, 0U);
    });
  }
  for (int i = 0; i < 300; ++i) access.Replace(Rules("p, alice, k, consume"));
  over = true;
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace mokv::auth
