// Commands from the log: any bytes are refused, or mean a command that survives being written
// again.
#include <cstdint>
#include <variant>

#include "base/check.h"
#include "machine/command.h"

namespace mokv::machine {
namespace {

bool Same(const store::Set& a, const store::Set& b) {
  return a.key == b.key && a.value == b.value && a.expected_revision == b.expected_revision;
}
bool Same(const store::Delete& a, const store::Delete& b) {
  return a.key == b.key && a.expected_revision == b.expected_revision;
}

bool Same(const store::Operation& a, const store::Operation& b) {
  if (a.index() != b.index()) return false;
  return std::visit(
      [&](const auto& value) { return Same(value, std::get<std::decay_t<decltype(value)>>(b)); },
      a);
}

}  // namespace
}  // namespace mokv::machine

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace mokv::machine;
  const auto command = DecodeCommand({reinterpret_cast<const char*>(data), size});
  if (!command.ok()) return 0;
  const auto again = DecodeCommand(EncodeCommand(*command));
  MOKV_CHECK(again.ok());
  MOKV_CHECK_EQ(again->operations.size(), command->operations.size());
  for (size_t i = 0; i < command->operations.size(); ++i) {
    MOKV_CHECK(Same(command->operations[i], again->operations[i]));
  }
  return 0;
}
