// What a Get's answer costs to encode.
#include <benchmark/benchmark.h>

#include <string>

#include "service/kv_wire.h"
#include "store/store.h"

namespace mokv {
namespace {

void BM_AppendGetResponse(benchmark::State& state) {
  const std::string key(16, 'k');
  const std::string value(static_cast<size_t>(state.range(0)), 'v');
  store::ItemFields item;
  item.key = key;
  item.value = value;
  item.create_revision = Revision(123'456);
  item.mod_revision = Revision(654'321);
  item.version = 7;
  std::string out;
  for (auto _ : state) {
    out.clear();
    service::AppendGetResponse(item, out);
    benchmark::DoNotOptimize(out.data());
  }
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(out.size()));
}
BENCHMARK(BM_AppendGetResponse)->Arg(64)->Arg(4096);

}  // namespace
}  // namespace mokv
