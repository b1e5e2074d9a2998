// Arbitrary bytes as the sections of a saved state, as a backup or another node may send them: loading
// them never crashes, hangs or takes memory for what is not there. The input is cut into blocks at
// every kSeparator; the first byte of a block says which section it is of, the second how many records
// it claims.
#include <algorithm>
#include <array>
#include <cstdint>
#include <string_view>

#include "machine/saved_state.h"

namespace mokv::machine {
namespace {

constexpr std::string_view kSeparator = "####";

void Load(std::string_view input) {
  constexpr std::array<std::string_view, 4> kSections = {"machine", "sessions", "items", "other"};
  StateLoader loader(input.size());
  // A head of no items: what comes behind it is looked at.
  if (!loader.Add("machine", "", 1).ok()) return;
  while (!input.empty()) {
    const std::string_view block = input.substr(0, input.find(kSeparator));
    input.remove_prefix(std::min(input.size(), block.size() + kSeparator.size()));
    if (block.size() < 2) continue;
    const auto section = static_cast<uint8_t>(block[0]) % kSections.size();
    if (!loader.Add(kSections[section], block.substr(2), static_cast<uint8_t>(block[1])).ok())
      return;
  }
  static_cast<void>(loader.Finish());
}

}  // namespace
}  // namespace mokv::machine

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  mokv::machine::Load({reinterpret_cast<const char*>(data), size});
  return 0;
}
