// Commands from the log: any bytes are refused, or mean a command that survives being written
// again.
#include <cstdint>
#include <variant>

#include "base/check.h"
#include "store/command.h"

namespace mokv::store {
namespace {

bool Same(const SetCommand& a, const SetCommand& b) {
  return a.key == b.key && a.value == b.value && a.expected_revision == b.expected_revision;
}
bool Same(const DeleteCommand& a, const DeleteCommand& b) {
  return a.key == b.key && a.expected_revision == b.expected_revision;
}

}  // namespace
}  // namespace mokv::store

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace mokv::store;
  const auto command = DecodeCommand({reinterpret_cast<const char*>(data), size});
  if (!command.ok()) return 0;
  const auto again = DecodeCommand(EncodeCommand(*command));
  MOKV_CHECK(again.ok());
  MOKV_CHECK_EQ(again->index(), command->index());
  std::visit(
      [&](const auto& value) {
        MOKV_CHECK(Same(value, std::get<std::decay_t<decltype(value)>>(*again)));
      },
      *command);
  return 0;
}
