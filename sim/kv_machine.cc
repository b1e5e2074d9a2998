#include "sim/kv_machine.h"

#include <cstring>

#include "base/check.h"

namespace mokv::sim {
namespace {

uint64_t Mix(uint64_t digest, uint64_t value) {
  uint64_t z = (digest ^ value) + 0x9e3779b97f4a7c15;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  return z ^ (z >> 29);
}

}  // namespace

std::string Command::Encode() const {
  const std::array<uint64_t, 4> fields{static_cast<uint64_t>(op), key, value, expected};
  std::string bytes(sizeof fields, '\0');
  std::memcpy(bytes.data(), fields.data(), sizeof fields);
  return bytes;
}

Command Command::Decode(std::string_view bytes) {
  std::array<uint64_t, 4> fields{};
  MOKV_CHECK_EQ(bytes.size(), sizeof fields);
  std::memcpy(fields.data(), bytes.data(), sizeof fields);
  return {.op = static_cast<Op>(fields[0]),
          .key = static_cast<uint32_t>(fields[1]),
          .value = fields[2],
          .expected = fields[3]};
}

bool KvMachine::Apply(const Entry& entry) {
  MOKV_CHECK_EQ(entry.index, applied_.next());
  applied_ = entry.index;
  digest_ = Mix(Mix(digest_, entry.index.value()), entry.term.value());
  if (entry.type != EntryType::kCommand) return true;
  const Command command = Command::Decode(entry.bytes());
  uint64_t& value = values_.at(command.key);
  const bool applies = command.op != Op::kCas || value == command.expected;
  if (applies) value = command.op == Op::kDelete ? 0 : command.value;
  digest_ = Mix(Mix(digest_, command.key), value);
  return applies;
}

}  // namespace mokv::sim
