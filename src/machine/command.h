// Commands of the replicated state machine, and their encoding in the log (command.proto).
//
// A command is one entry of the log. It makes at most one revision (operations on the store, perhaps
// in a client's session), or none: then it is about sessions and the cluster's time.
//
// Plain values and pure functions.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/ids.h"
#include "store/operation.h"

namespace mokv::machine {

// How long a session may be without a sign of life. Shorter ones would need more than a write to the
// log a second; longer ones would keep answers for clients that are long gone.
inline constexpr uint64_t kSessionTtlMsMin = 1000;
inline constexpr uint64_t kSessionTtlMsMax = 3'600'000;
// Nobody lives to see it; what is added to a time before it does not overflow.
inline constexpr ClusterTime kClusterTimeMax{uint64_t{1} << 62};
// Sessions in one keep-alive: an entry stays far below what one may be.
inline constexpr size_t kKeptAliveTogetherMax = 4096;

// A write in a session: of those with the same sequence the first one is carried out, and all get
// its answer.
struct SessionContext {
  SessionId session;
  uint64_t sequence = 0;           // From 1.
  uint64_t lowest_unanswered = 0;  // The client has the answers of all below.
  std::string subject;
};

// Makes no revision; `subject` is whose session it is, and who alone may use it.
struct OpenSession {
  uint64_t ttl_ms = 0;
  std::string subject;
};
struct KeepAlive {
  struct Session {
    SessionId session;
    std::string subject;
  };
  std::vector<Session> sessions;
};
struct CloseSession {
  SessionId session;
  std::string subject;
};
// The leader's alone.
struct AdvanceTime {
  ClusterTime to;
};

struct Command {
  using Control = std::variant<std::monostate, OpenSession, KeepAlive, CloseSession, AdvanceTime>;

  Command() = default;
  // A command of one operation.
  Command(store::Operation operation) { operations.push_back(std::move(operation)); }  // NOLINT
  Command(store::Set set) : Command(store::Operation(std::move(set))) {}               // NOLINT
  Command(store::Delete erase) : Command(store::Operation(std::move(erase))) {}        // NOLINT
  Command(OpenSession open) : control(std::move(open)) {}                              // NOLINT
  Command(KeepAlive keep_alive) : control(std::move(keep_alive)) {}                    // NOLINT
  Command(CloseSession close) : control(std::move(close)) {}                           // NOLINT
  Command(AdvanceTime advance) : control(advance) {}                                   // NOLINT

  store::Transaction operations;
  // Of the operations.
  std::optional<SessionContext> session;
  // Instead of operations.
  Control control;
};

// INVALID_ARGUMENT for a command that DecodeCommand would refuse: one that does nothing, that has two
// operations for one key, or numbers that are out of bounds.
absl::Status CheckCommand(const Command& command);

// The command must be one that CheckCommand allows.
std::string EncodeCommand(const Command& command);

// DATA_LOSS when the bytes do not parse, or hold what this version does not know.
absl::StatusOr<Command> DecodeCommand(std::string_view bytes);

// Whether the state may need more memory for it. The answers that a session keeps are bounded and
// not counted, so that a client whose writes are in a session can still delete.
bool MayGrow(const Command& command);
// Whether it may be carried out twice and come to the same: so it may be sent again when nobody
// knows whether it has arrived.
bool MayRepeat(const Command& command);
inline bool IsKeepAlive(const Command& command) {
  return std::holds_alternative<KeepAlive>(command.control);
}

}  // namespace mokv::machine
