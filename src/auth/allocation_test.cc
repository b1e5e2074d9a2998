// That a decision allocates nothing: this program's operator new counts.
#include <gtest/gtest.h>

#include <cstdint>
#include <cstdlib>
#include <new>
#include <string>

#include "auth/authorizer.h"

namespace {

thread_local uint64_t allocations = 0;

}  // namespace

// Not inlined: GCC would take free() for the wrong way to give back what `new` gave.
[[gnu::noinline]] void* operator new(size_t size) {
  ++allocations;
  void* const block = std::malloc(size);
  if (block == nullptr) throw std::bad_alloc();
  return block;
}
[[gnu::noinline]] void operator delete(void* block) noexcept { std::free(block); }
[[gnu::noinline]] void operator delete(void* block, size_t) noexcept { std::free(block); }

namespace mokv::auth {
namespace {

TEST(Authorizer, AllocatesNothingForADecision) {
  const std::string start =
      "[request_definition]\nr = sub, obj, act\n[policy_definition]\np = sub, obj, act, eft\n"
      "[role_definition]\ng = _, _\n[policy_effect]\n"
      "e = some(where (p.eft == allow)) && !some(where (p.eft == deny))\n[matchers]\nm = ";
  for (const std::string matcher :
       {"r.sub == p.sub && r.obj == p.obj && r.act == p.act",
        "g(r.sub, p.sub) && keyMatch(r.obj, p.obj) && r.act == p.act",
        "g(r.sub, p.sub) && keyMatch2(r.obj, p.obj) || r.act in ('x', p.act) && r.sub != 'bob'",
        "globMatch(r.obj, p.obj) && (r.act == p.act || !(r.sub > 7)) && !ipMatch(r.sub, "
        "'10.0.0.0/8')",
        "r.sub == p.sub && keyGet2(r.obj, '/orders/:id/*', 'id') == '7'"}) {
    const auto authorizer = Authorizer::Create(
        start + matcher, "m.conf",
        "p, reader, /orders/*, consume, allow\np, alice, /orders/private/*, consume, deny\n"
        "p, alice, /orders/with-a-name-that-fits-no-small-string, produce, allow\n"
        "g, alice, reader\n",
        "p.csv");
    ASSERT_TRUE(authorizer.ok()) << authorizer.status();
    const std::string objects[] = {"/orders/1", "/orders/private/some-longer-name-than-fits-inside",
                                   "/stock", "/orders/with-a-name-that-fits-no-small-string"};
    const uint64_t before = allocations;
    int allowed = 0;
    for (const std::string& object : objects) {
      for (const std::string_view subject : {"alice", "bob", "10.1.2.3"}) {
        for (const std::string_view action : {kConsume, kProduce, kAdmin}) {
          allowed += (*authorizer)->Allows(subject, object, action) ? 1 : 0;
        }
      }
    }
    EXPECT_EQ(allocations, before) << matcher << ", " << allowed << " of them allowed";
  }
}

}  // namespace
}  // namespace mokv::auth
