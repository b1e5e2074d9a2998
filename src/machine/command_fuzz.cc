// Commands from the log: any bytes are refused, or mean a command that survives being written
// again.
#include <algorithm>
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

bool Same(const SessionContext& a, const SessionContext& b) {
  return a.session == b.session && a.sequence == b.sequence &&
         a.lowest_unanswered == b.lowest_unanswered && a.subject == b.subject;
}

bool Same(std::monostate, std::monostate) { return true; }
bool Same(const OpenSession& a, const OpenSession& b) {
  return a.ttl_ms == b.ttl_ms && a.subject == b.subject;
}
bool Same(const KeepAlive& a, const KeepAlive& b) {
  const auto same = [](const KeepAlive::Session& one, const KeepAlive::Session& other) {
    return one.session == other.session && one.subject == other.subject;
  };
  return std::equal(a.sessions.begin(), a.sessions.end(), b.sessions.begin(), b.sessions.end(),
                    same);
}
bool Same(const CloseSession& a, const CloseSession& b) {
  return a.session == b.session && a.subject == b.subject;
}
bool Same(const AdvanceTime& a, const AdvanceTime& b) { return a.to == b.to; }

bool Same(const Command::Control& a, const Command::Control& b) {
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
  MOKV_CHECK_EQ(again->session.has_value(), command->session.has_value());
  if (command->session.has_value()) MOKV_CHECK(Same(*command->session, *again->session));
  MOKV_CHECK(Same(command->control, again->control));
  return 0;
}
