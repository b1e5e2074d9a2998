// The store: look-ups and inserts by one thread, shuffled keys, and what taking a view costs.
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <memory>
#include <string>
#include <vector>

#include "base/random.h"
#include "store/store.h"

namespace mokv {
namespace {

constexpr uint64_t kSeed = 1;
constexpr size_t kBatch = 64;  // Writes between two publications.

std::vector<std::string> ShuffledKeys(size_t count) {
  std::vector<std::string> keys;
  keys.reserve(count);
  for (size_t i = 0; i < count; ++i) keys.push_back(fmt::format("key-{:012}", i));
  SeededRandom random(kSeed);
  for (size_t i = count; i > 1; --i) std::swap(keys[i - 1], keys[random.Next() % i]);
  return keys;
}

void Fill(store::Store& store, const std::vector<std::string>& keys) {
  const std::string value(64, 'v');
  for (size_t i = 0; i < keys.size(); ++i) {
    store.Apply(store::SetCommand{.key = keys[i], .value = value});
    if (i % kBatch == kBatch - 1) store.Publish();
  }
  store.Publish();
}

void BM_StoreInsert(benchmark::State& state) {
  const std::vector<std::string> keys = ShuffledKeys(static_cast<size_t>(state.range(0)));
  for (auto _ : state) {
    auto store = std::make_unique<store::Store>();
    Fill(*store, keys);
    state.PauseTiming();
    store.reset();
    state.ResumeTiming();
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(BM_StoreInsert)->Arg(100'000)->Unit(benchmark::kMillisecond);

void BM_StoreFind(benchmark::State& state) {
  const std::vector<std::string> keys = ShuffledKeys(static_cast<size_t>(state.range(0)));
  store::Store store;
  Fill(store, keys);
  const std::unique_ptr<store::Reader> reader = store.NewReader();
  SeededRandom random(kSeed);
  for (auto _ : state) {
    benchmark::DoNotOptimize(reader->Find(keys[random.Next() % keys.size()]));
    reader->Leave();
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_StoreFind)->Arg(100'000)->Arg(1'000'000);

void BM_StoreTakeView(benchmark::State& state) {
  store::Store store;
  Fill(store, ShuffledKeys(static_cast<size_t>(state.range(0))));
  for (auto _ : state) benchmark::DoNotOptimize(store.TakeView());
}
BENCHMARK(BM_StoreTakeView)->Arg(10'000)->Arg(1'000'000);

}  // namespace
}  // namespace mokv
