// Commands of the replicated state machine, and their encoding in the log (command.proto).
//
// A command is one entry of the log and makes at most one revision. What is not an operation on the
// store, but says how the command is to be carried out (a client's session, say), is to stand
// beside the operations.
//
// Plain values and pure functions.
#pragma once

#include <absl/status/statusor.h>

#include <string>
#include <string_view>
#include <utility>

#include "store/operation.h"

namespace mokv::machine {

struct Command {
  Command() = default;
  // A command of one operation.
  Command(store::Operation operation) { operations.push_back(std::move(operation)); }  // NOLINT
  Command(store::Set set) : Command(store::Operation(std::move(set))) {}               // NOLINT
  Command(store::Delete erase) : Command(store::Operation(std::move(erase))) {}        // NOLINT

  store::Transaction operations;
};

// INVALID_ARGUMENT for a command that DecodeCommand would refuse: one without an operation, or with
// two for one key.
absl::Status CheckCommand(const Command& command);

// The command must be one that CheckCommand allows.
std::string EncodeCommand(const Command& command);

// DATA_LOSS when the bytes do not parse, or hold what this version does not know.
absl::StatusOr<Command> DecodeCommand(std::string_view bytes);

// Whether the state may need more memory for it.
bool MayGrow(const Command& command);

}  // namespace mokv::machine
