#include "auth/authorizer.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <string>

#include "auth/pattern.h"
#include "base/file.h"
#include "base/random.h"
#include "base/status.h"

namespace mokv::auth {
namespace {

std::string SourceFile(const std::string& path) {
  const absl::StatusOr<std::string> text =
      PosixFileSystem().ReadFile(std::string(MOKV_SOURCE_ROOT) + "/" + path);
  EXPECT_TRUE(text.ok()) << text.status();
  return text.value_or("");
}

std::shared_ptr<const Authorizer> Load(const std::string& model, const std::string& policy) {
  auto authorizer = Authorizer::Create(model, "model.conf", policy, "policy.csv");
  EXPECT_TRUE(authorizer.ok()) << authorizer.status();
  return authorizer.ok() ? *authorizer : nullptr;
}

std::string ShippedModel() { return SourceFile("certs/model.conf"); }
// A rule's object is one key, or with a star at its end all keys that begin so; rules only allow.
std::string PrefixModel() {
  return "[request_definition]\nr = sub, obj, act\n[policy_definition]\np = sub, obj, act\n"
         "[policy_effect]\ne = some(where (p.eft == allow))\n"
         "[matchers]\nm = r.sub == p.sub && keyMatch(r.obj, p.obj) && r.act == p.act\n";
}
std::string OriginalModel() { return SourceFile("src/auth/testdata/original_model.conf"); }

TEST(Authorizer, ShippedPolicyAllowsRootEverythingAndNobodyNothing) {
  const auto authorizer = Load(ShippedModel(), SourceFile("certs/policy.csv"));
  for (const std::string_view action : {kConsume, kProduce, kAdmin}) {
    for (const std::string_view object : {"", "*", "key", "a/b"}) {
      EXPECT_TRUE(authorizer->Allows("root", object, action));
      EXPECT_FALSE(authorizer->Allows("nobody", object, action));
      EXPECT_FALSE(authorizer->Allows("", object, action));
    }
    EXPECT_TRUE(MightAllowSome(authorizer->Ranges("root", action)));
    EXPECT_FALSE(MightAllowSome(authorizer->Ranges("nobody", action)));
  }
  EXPECT_FALSE(authorizer->Allows("root", "key", "other"));
  EXPECT_FALSE(authorizer->Allows("alice", "orders/1", kConsume));  // Only a comment.
}

// No client can have such a key, but nothing has to rely on that.
TEST(Authorizer, WhatIsNotUtf8IsDeniedByExpressions) {
  const std::string model =
      "[request_definition]\nr = sub, obj, act\n[policy_definition]\np = sub, obj, act, eft\n"
      "[policy_effect]\n"
      "e = some(where (p.eft == allow)) && !some(where (p.eft == deny))\n[matchers]\nm = ";
  const std::string object = "/a/7/\xff";
  for (const std::string matcher :
       {"regexMatch(r.obj, '^/a/7/[^a]*$')", "!(regexMatch(r.obj, '^/a/7/[^a]*$'))",
        "keyMatch2(r.obj, '/a/:id/[^a]*')", "keyMatch4(r.obj, '/{x}/{y}/[^a]*')",
        "keyGet2(r.obj, '/a/:id/[^a]*', 'id') == '7'",
        "keyGet2(r.obj, '/a/:id/[^a]*', 'id') != '7'"}) {
    SCOPED_TRACE(matcher);
    const std::string with_rule = model + "p.sub == 'any' || " + matcher;
    EXPECT_FALSE(Load(with_rule, "p, any, x, y, allow\np, all, x, y, deny")
                     ->Allows("alice", object, kConsume));
    EXPECT_FALSE(Load(with_rule, "p, all, x, y, allow")->Allows("alice", object, kConsume));
  }
}

TEST(Authorizer, ShippedPolicyAllowsWhatItsExampleSays) {
  std::string policy = SourceFile("certs/policy.csv");
  for (size_t at = policy.find("#   "); at != std::string::npos; at = policy.find("#   ")) {
    policy.erase(at, 4);
  }
  const auto authorizer = Load(ShippedModel(), policy);
  EXPECT_TRUE(authorizer->Allows("bob", "orders/1", kConsume));
  EXPECT_TRUE(authorizer->Allows("alice", "orders/1", kConsume));
  EXPECT_FALSE(authorizer->Allows("bob", "orders/private/1", kConsume));
  EXPECT_TRUE(authorizer->Allows("alice", "orders/private/1", kProduce));
  EXPECT_FALSE(authorizer->Allows("bob", "orders/1", kProduce));
  EXPECT_FALSE(authorizer->Allows("bob", "stock", kConsume));
}

// The first version passed "*" as the object of every request (`acl-object: any`).
TEST(Authorizer, OriginalPairAllowsRootWhatTheFirstVersionDid) {
  const auto authorizer =
      Load(OriginalModel(), SourceFile("src/auth/testdata/original_policy.csv"));
  EXPECT_TRUE(authorizer->Allows("root", "*", kConsume));
  EXPECT_TRUE(authorizer->Allows("root", "*", kProduce));
  EXPECT_FALSE(authorizer->Allows("root", "*", kAdmin));
  EXPECT_FALSE(authorizer->Allows("nobody", "*", kConsume));
  // Without keyMatch a star is only a star.
  EXPECT_FALSE(authorizer->Allows("root", "key", kConsume));
  EXPECT_TRUE(MightAllowSome(authorizer->Ranges("root", kConsume)));
  EXPECT_FALSE(MightAllowSome(authorizer->Ranges("root", kAdmin)));
}

TEST(Authorizer, ComparesPrefixesAndKeys) {
  const auto authorizer = Load(PrefixModel(),
                               "p, alice, orders/*, consume\np, alice, orders/old/*, consume\n"
                               "p, alice, stock*, consume\np, alice, one, consume\n"
                               "p, alice, orders/1, produce\np, bob, *, produce\n");
  for (const std::string_view object :
       {"orders/", "orders/1", "orders/old/1", "stock", "stocks", "one"}) {
    EXPECT_TRUE(authorizer->Allows("alice", object, kConsume)) << object;
  }
  for (const std::string_view object : {"orders", "orderz", "a", "", "stoc", "ones", "zzz"}) {
    EXPECT_FALSE(authorizer->Allows("alice", object, kConsume)) << object;
  }
  EXPECT_TRUE(authorizer->Allows("alice", "orders/1", kProduce));
  EXPECT_FALSE(authorizer->Allows("alice", "orders/2", kProduce));
  EXPECT_TRUE(authorizer->Allows("bob", "x", kProduce));
  EXPECT_FALSE(authorizer->Allows("bob", "x", kConsume));
  EXPECT_FALSE(MightAllowSome(authorizer->Ranges("bob", kConsume)));
}

TEST(Authorizer, NotPermittedSaysWhoMayNotDoWhat) {
  const absl::Status denied = NotPermitted("nobody", "key", kProduce);
  EXPECT_EQ(denied.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(MessageOf(denied), "nobody not permitted to produce to key");
}

TEST(Authorizer, AllowAllAllowsAll) {
  const auto authorizer = Authorizer::AllowAll();
  EXPECT_TRUE(authorizer->Allows("anybody", "anything", kAdmin));
  EXPECT_TRUE(MightAllowSome(authorizer->Ranges("", "")));
  EXPECT_TRUE(authorizer->Allows("", "", ""));
}

TEST(Authorizer, DecisionNamesTheRule) {
  const auto authorizer = Load(
      "[request_definition]\nr = act, sub, obj\n[policy_definition]\np = sub, obj, act, eft\n"
      "[role_definition]\ng = _, _\n[policy_effect]\n"
      "e = some(where (p.eft == allow)) && !some(where (p.eft == deny))\n[matchers]\n"
      "m = g(r.sub, p.sub) && keyMatch(r.obj, p.obj) && r.act == p.act || r.sub == 'boss'\n",
      "# rules\np, reader, orders/*, consume, allow\np, alice, orders/old/*, consume, deny\n"
      "g, alice, reader\n");
  const auto decision = [&](std::string_view subject, std::string_view object) {
    return authorizer->Decide(subject, object, kConsume);
  };
  EXPECT_TRUE(decision("alice", "orders/1").allowed);
  EXPECT_EQ(decision("alice", "orders/1").line, 2);
  EXPECT_EQ(decision("alice", "orders/1").text, "p, reader, orders/*, consume, allow");
  EXPECT_FALSE(decision("alice", "orders/old/1").allowed);
  EXPECT_EQ(decision("alice", "orders/old/1").line, 3);
  EXPECT_FALSE(decision("bob", "orders/1").allowed);
  EXPECT_EQ(decision("bob", "orders/1").line, std::nullopt);
  EXPECT_EQ(decision("bob", "orders/1").text, "no rule allows it");
  EXPECT_EQ(Authorizer::AllowAll()->Decide("a", "b", "c").text, "there is no access model");
}

TEST(Authorizer, RangesSayWhatListNeedNotAsk) {
  const auto authorizer = Load(PrefixModel(), "p, alice, orders/*, consume");
  const std::vector<ObjectRange> ranges = authorizer->Ranges("alice", kConsume);
  EXPECT_EQ(AllowedWithin(ranges, "orders/", "orders/z"), Truth::kTrue);
  EXPECT_EQ(AllowedWithin(ranges, "a", "b"), Truth::kFalse);
  EXPECT_EQ(AllowedWithin(ranges, "a", "z"), Truth::kUnknown);
  EXPECT_EQ(AllowedWithin(Authorizer::AllowAll()->Ranges("", ""), "", std::nullopt), Truth::kTrue);
}

TEST(Authorizer, RefusesRequestsThatTheServiceDoesNotMake) {
  std::string model = PrefixModel();
  model.replace(model.find("r = sub, obj, act"), 17, "r = sub, dom, obj, act");
  const auto authorizer = Authorizer::Create(model, "m.conf", "", "p.csv");
  const std::string message(MessageOf(authorizer.status()));
  EXPECT_THAT(message,
              testing::StartsWith("m.conf:2: [request_definition] r: field dom is not supported"));
  EXPECT_THAT(message, testing::HasSubstr(
                           "take it out of r, and where the matcher reads r.dom, have it say"));
}

TEST(Authorizer, IsNotMadeFromABadModelOrPolicy) {
  const auto bad_model = Authorizer::Create("[matchers]\nm = true\n", "m.conf", "", "p.csv");
  EXPECT_THAT(std::string(MessageOf(bad_model.status())), testing::StartsWith("m.conf"));
  const auto bad_policy = Authorizer::Create(PrefixModel(), "m.conf", "p, root", "p.csv");
  EXPECT_THAT(std::string(MessageOf(bad_policy.status())), testing::StartsWith("p.csv:1"));
}

// Goal:   the index of rules answers as going through them one by one would.
// Method: few short texts over few letters, so that prefixes nest and requests often match.
RC_GTEST_PROP(AuthorizerProperty, AllowsWhatSomeRuleAllows, ()) {
  const auto pattern =
      rc::gen::nonEmpty(rc::gen::container<std::string>(rc::gen::element('a', 'b', '/', '*')));
  const auto patterns = *rc::gen::container<std::vector<std::string>>(pattern);
  const auto object = *rc::gen::container<std::string>(rc::gen::element('a', 'b', '/', '*'));
  std::string policy;
  bool some_key_match = false;
  bool some_equal = false;
  for (const std::string& text : patterns) {
    policy += fmt::format("p, s, {}, act\np, other, *, act\n", text);
    some_key_match = some_key_match || KeyMatch(object, text);
    some_equal = some_equal || object == text;
  }
  RC_ASSERT(Load(PrefixModel(), policy)->Allows("s", object, "act") == some_key_match);
  RC_ASSERT(Load(OriginalModel(), policy)->Allows("s", object, "act") == some_equal);
  RC_ASSERT(MightAllowSome(Load(PrefixModel(), policy)->Ranges("s", "act")) == !patterns.empty());
}

// Goal:   whatever is in the files, it does not crash us and gives nothing to who is not named.
// Method: bytes that favour what the formats are made of, alone and spliced into valid files.
TEST(Authorizer, SurvivesHostileBytes) {
  constexpr uint64_t kSeed = 17;
  constexpr std::string_view kLetters = "p,,\"\"\n\t #*[]=&rm.()";
  SCOPED_TRACE(testing::Message() << "seed " << kSeed);
  SeededRandom random(kSeed);
  const auto garbage = [&] {
    std::string bytes(random.Next() % 48, '\0');
    for (char& byte : bytes) {
      const uint64_t number = random.Next();
      // What is no UTF-8 is refused at once: not too often.
      byte = number % 4 == 0 ? static_cast<char>((number >> 8) % (number % 128 == 0 ? 256 : 128))
                             : kLetters[(number >> 8) % kLetters.size()];
    }
    return bytes;
  };
  const auto spliced = [&](std::string text) {
    const size_t at = random.Next() % (text.size() + 1);
    return text.replace(at, random.Next() % 8, garbage());
  };
  const std::string model = PrefixModel();
  const std::string policy = "p, root, *, consume\np, root, *, produce\n";
  for (int round = 0; round < 20'000; ++round) {
    const bool keep_model = random.Next() % 2 == 0;
    const auto authorizer =
        Authorizer::Create(keep_model ? model : spliced(model), "model.conf",
                           random.Next() % 2 == 0 ? spliced(policy) : garbage(), "policy.csv");
    if (!authorizer.ok()) continue;
    ASSERT_FALSE((*authorizer)->Allows("nobody", "key", kConsume)) << "round " << round;
    ASSERT_FALSE(MightAllowSome((*authorizer)->Ranges("nobody", kProduce))) << "round " << round;
  }
  for (int round = 0; round < 20'000; ++round) {
    ASSERT_FALSE(Authorizer::Create(garbage(), "model.conf", policy, "policy.csv").ok());
  }
}

}  // namespace
}  // namespace mokv::auth
