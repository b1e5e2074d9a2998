// What a decision costs by rules of a thousand lines, cold: nothing is remembered from one request to the
// next, and requests come in an order that no cache line expects. And what a List costs beside one
// that no rule restricts.
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <memory>
#include <string>
#include <vector>

#include "auth/access.h"
#include "auth/authorizer.h"
#include "base/check.h"
#include "base/random.h"
#include "rpc/completion.h"
#include "service/list_source.h"
#include "store/store.h"

namespace mokv {
namespace {

constexpr int kRules = 1'000;
constexpr size_t kRequests = 4'096;

struct Request {
  std::string subject;
  std::string object;
  std::string action;
};

struct Style {
  const char* matcher;
  const char* role_section;
  // Of rule i; and a request that it allows, or for another number denies.
  std::string (*rule)(int i);
  Request (*request)(int i);
};

std::string ModelOf(const Style& style) {
  return fmt::format(
      "[request_definition]\nr = sub, obj, act\n[policy_definition]\np = sub, obj, act\n{}"
      "[policy_effect]\ne = some(where (p.eft == allow))\n[matchers]\nm = {}\n",
      style.role_section, style.matcher);
}

std::shared_ptr<const auth::Authorizer> RulesOf(const Style& style) {
  std::string policy;
  for (int i = 0; i < kRules; ++i) policy += style.rule(i) + "\n";
  auto rules = auth::Authorizer::Create(ModelOf(style), "model.conf", policy, "policy.csv");
  MOKV_CHECK(rules.ok());
  return *rules;
}

// Half of the requests are allowed, by any of the rules.
void BM_Decision(benchmark::State& state, const Style& style) {
  const auto rules = RulesOf(style);
  SeededRandom random(1);
  std::vector<Request> requests;
  for (size_t i = 0; i < kRequests; ++i) {
    const auto any = static_cast<int>(random.Next() % kRules);
    requests.push_back(style.request(i % 2 == 0 ? any : any + kRules));
  }
  size_t i = 0;
  for (auto _ : state) {
    const Request& request = requests[i++ % kRequests];
    benchmark::DoNotOptimize(rules->Allows(request.subject, request.object, request.action));
  }
}

Request SameUser(int i) {
  return {fmt::format("user-{}", i), fmt::format("data/{}", i), "consume"};
}

const Style kAcl = {"r.sub == p.sub && r.obj == p.obj && r.act == p.act", "",
                    [](int i) { return fmt::format("p, user-{0}, data/{0}, consume", i); },
                    SameUser};
const Style kRoles = {
    "g(r.sub, p.sub) && r.obj == p.obj && r.act == p.act", "[role_definition]\ng = _, _\n",
    [](int i) { return fmt::format("p, role-{0}, data/{0}, consume\ng, user-{0}, role-{0}", i); },
    SameUser};
// Somebody with all roles, and an object in all groups.
const Style kRolesOfBoth = {
    "g(r.sub, p.sub) && g2(r.obj, p.obj) && r.act == p.act",
    "[role_definition]\ng = _, _\ng2 = _, _\n",
    [](int i) {
      return fmt::format("p, role-{0}, group-{0}, consume\ng, user, role-{0}\ng2, data, group-{0}",
                         i);
    },
    [](int i) -> Request {
      return {"user", "data", i < kRules ? "consume" : "produce"};
    }};
const Style kPrefixes = {
    "r.sub == p.sub && keyMatch(r.obj, p.obj) && r.act == p.act", "",
    [](int i) { return fmt::format("p, user-{}, data/{}/*, consume", i % 10, i); },
    [](int i) -> Request {
      return {fmt::format("user-{}", i % 10), fmt::format("data/{}/of/it", i), "consume"};
    }};
// No part of these says which rules are to be asked: all are.
Request AnyUser(int i) { return {"user", fmt::format("/data/{}/of", i), "consume"}; }
const Style kKeyMatch2 = {"keyMatch2(r.obj, p.obj)", "",
                          [](int i) { return fmt::format("p, user, /data/{}/:part, consume", i); },
                          AnyUser};
const Style kRegex = {"regexMatch(r.obj, p.obj)", "",
                      [](int i) { return fmt::format("p, user, ^/data/{}/[a-z]+$, consume", i); },
                      AnyUser};
// Without any text that must be there, which would tell sooner.
const Style kRegexClasses = {
    "regexMatch(r.obj, p.obj)", "",
    [](int i) { return fmt::format("p, user, ^/[a-z]+/[0-9]{{{}}}/[a-z]+$, consume", i % 40 + 5); },
    AnyUser};
const Style kGlob = {"globMatch(r.obj, p.obj)", "",
                     [](int i) { return fmt::format("p, user, /data/{}/*, consume", i); }, AnyUser};
const Style kEval = {"eval(p.sub)", "",
                     [](int i) {
                       return fmt::format(
                           "p, r.sub == 'user' && r.obj == '/data/{}/of', x, consume", i);
                     },
                     AnyUser};

BENCHMARK_CAPTURE(BM_Decision, acl, kAcl);
BENCHMARK_CAPTURE(BM_Decision, roles, kRoles);
BENCHMARK_CAPTURE(BM_Decision, roles_of_both, kRolesOfBoth);
BENCHMARK_CAPTURE(BM_Decision, prefixes, kPrefixes);
BENCHMARK_CAPTURE(BM_Decision, each_rule_key_match_2, kKeyMatch2);
BENCHMARK_CAPTURE(BM_Decision, each_rule_regex, kRegex);
BENCHMARK_CAPTURE(BM_Decision, each_rule_regex_of_classes, kRegexClasses);
BENCHMARK_CAPTURE(BM_Decision, each_rule_glob, kGlob);
BENCHMARK_CAPTURE(BM_Decision, each_rule_eval, kEval);

class NoWaker final : public rpc::CompletionSink {
 public:
  void Complete(rpc::Completion) override {}
};

// A million items below ten prefixes; the argument says whether rules allow the ten, or there are none.
void BM_List(benchmark::State& state) {
  constexpr int kItems = 1'000'000;
  constexpr int kPrefixCount = 10;
  store::Store store;
  for (int i = 0; i < kItems; ++i) {
    store.Apply(
        store::Set{fmt::format("tree-{}/{:06}", i % kPrefixCount, i), std::string(64, 'v')});
  }
  store.Publish();
  std::string policy;
  for (int i = 0; i < kPrefixCount; ++i) policy += fmt::format("p, alice, tree-{}/*, consume\n", i);
  auto rules = auth::Authorizer::Create(ModelOf(kPrefixes), "model.conf", policy, "policy.csv");
  MOKV_CHECK(rules.ok());
  const auth::Access access(state.range(0) == 0 ? auth::Authorizer::AllowAll() : *rules, 1);
  NoWaker sink;
  for (auto _ : state) {
    service::ListSource source(store.TakeView(), {},
                               service::ItemFilter(access, "alice", "", /*object_is_any=*/false),
                               rpc::StreamWaker(sink, {}));
    std::string message;
    int items = 0;
    for (;;) {
      message.clear();
      const auto next = source.Produce(&message);
      if (next == rpc::MessageSource::Next::kEnd) break;
      if (next == rpc::MessageSource::Next::kMessage) ++items;
    }
    MOKV_CHECK_EQ(items, kItems);
  }
  state.SetItemsProcessed(state.iterations() * kItems);
}
BENCHMARK(BM_List)->ArgName("restricted")->Arg(0)->Arg(1)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace mokv
