// Commands of the state machine and their encoding in the log (command.proto).
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "base/ids.h"

namespace mokv::store {

struct SetCommand {
  std::string key;
  std::string value;
  // Apply only if the item's mod_revision is this; 0: only if the key does not exist.
  std::optional<Revision> expected_revision{};
};

struct DeleteCommand {
  std::string key;
  std::optional<Revision> expected_revision{};
};

using Command = std::variant<SetCommand, DeleteCommand>;

std::string EncodeCommand(const Command& command);

// DATA_LOSS when the bytes do not parse or hold a command that this version does not know.
absl::StatusOr<Command> DecodeCommand(std::string_view bytes);

}  // namespace mokv::store
