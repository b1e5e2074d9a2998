#include "bench/store/check.h"

#include <fmt/format.h>

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/random.h"
#include "bench/store/candidates/art.h"
#include "bench/store/candidates/cow_tree.h"

namespace mokv::bench {
namespace {

using Model = std::map<std::string, std::string>;

// Short keys over few bytes, which repeat and are prefixes of one another; keys behind a long
// common prefix; and keys of any bytes, so that nodes of every size come up.
std::string RandomKey(SeededRandom& random) {
  std::string key;
  switch (random.Next() % 3) {
    case 0:
      for (size_t size = random.Next() % 6; size > 0; --size) {
        key.push_back("\0ab\xff"[random.Next() % 4]);
      }
      return key;
    case 1:
      return fmt::format("a/long/prefix/that/many/share/{}", random.Next() % 1000);
    default:
      key = fmt::format("{:04}", random.Next() % 50);
      key.push_back(static_cast<char>(random.Next() % 256));
      return key;
  }
}

template <typename Frozen>
void CheckSame(const Frozen& frozen, const Model& model, const std::string& probe) {
  const Item* found = frozen.Find(probe);
  const auto expected = model.find(probe);
  MOKV_CHECK_EQ(found == nullptr, expected == model.end());
  if (found != nullptr) MOKV_CHECK(found->value() == expected->second);

  for (const std::string& from : {std::string(), probe}) {
    auto at = model.lower_bound(from);
    frozen.ForEachFrom(from, [&](const Item& item) {
      MOKV_CHECK(at != model.end());
      MOKV_CHECK(item.key() == at->first && item.value() == at->second);
      ++at;
      return true;
    });
    MOKV_CHECK(at == model.end());
  }
}

template <typename Structure>
void CheckStructure(uint64_t seed) {
  constexpr size_t kSteps = 40'000;
  constexpr size_t kHeldMax = 4;
  SeededRandom random(seed);
  Structure structure;
  Model model;
  std::vector<std::pair<typename Structure::Frozen, Model>> held;
  bool growing = true;
  for (size_t step = 0; step < kSteps; ++step) {
    if (step % 4096 == 0) growing = !growing || model.empty();
    const std::string key = RandomKey(random);
    if (random.Next() % 4 < (growing ? 3u : 1u)) {
      const std::string value = fmt::format("{}", step);
      structure.Put(Item::Make(key, value));
      model[key] = value;
    } else {
      MOKV_CHECK_EQ(structure.Erase(key), model.erase(key) == 1);
    }
    if (random.Next() % 64 == 0) {
      const auto frozen = structure.Freeze();
      CheckSame(frozen, model, RandomKey(random));
      if (held.size() == kHeldMax) held.erase(held.begin() + random.Next() % kHeldMax);
      held.emplace_back(frozen, model);
      const auto& [old, old_model] = held[random.Next() % held.size()];
      CheckSame(old, old_model, RandomKey(random));
    }
  }
  while (!model.empty()) {
    MOKV_CHECK(structure.Erase(model.begin()->first));
    model.erase(model.begin());
    if (model.size() % 64 == 0) CheckSame(structure.Freeze(), model, "");
  }
  for (const auto& [old, old_model] : held) CheckSame(old, old_model, RandomKey(random));
}

}  // namespace

void CheckCandidates(uint64_t seed) {
  fmt::print(stderr, "checking the candidates against std::map, seed {}\n", seed);
  CheckStructure<CowTree>(seed);
  CheckStructure<Art>(seed);
}

}  // namespace mokv::bench
