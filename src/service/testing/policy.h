// Authorizers of a few rules.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "auth/authorizer.h"

namespace mokv::service::testing {

// A rule's object is a key, or with a star at its end all that begin so.
inline constexpr char kKeyMatch[] = "keyMatch(r.obj, p.obj)";
// A star is only a star.
inline constexpr char kExact[] = "r.obj == p.obj";

// Of rules as "SUBJECT, OBJECT, ACTION".
inline std::shared_ptr<const auth::Authorizer> Policy(const std::vector<std::string>& rules,
                                                      const std::string& objects = kKeyMatch) {
  const std::string model =
      "[request_definition]\nr = sub, obj, act\n[policy_definition]\np = sub, obj, act\n"
      "[policy_effect]\ne = some(where (p.eft == allow))\n"
      "[matchers]\nm = r.sub == p.sub && " +
      objects + " && r.act == p.act\n";
  std::string policy;
  for (const std::string& rule : rules) policy += "p, " + rule + "\n";
  auto authorizer = auth::Authorizer::Create(model, "model.conf", policy, "policy.csv");
  EXPECT_TRUE(authorizer.ok()) << authorizer.status();
  return *authorizer;
}

}  // namespace mokv::service::testing
