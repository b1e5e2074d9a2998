#include "machine/command.h"

#include <absl/container/flat_hash_set.h>
#include <google/protobuf/message.h>
#include <google/protobuf/unknown_field_set.h>

#include <algorithm>
#include <limits>
#include <optional>

#include "base/check.h"
#include "base/status.h"
#include "base/utf8.h"
#include "machine/command.pb.h"

namespace mokv::machine {
namespace {

// A newer version's field would change what the command means; skipping it, as protobuf does, would
// make this node differ from those that know it.
bool HasUnknownFields(const google::protobuf::Message& message) {
  return !message.GetReflection()->GetUnknownFields(message).empty();
}

template <typename Message>
void Put(const store::Operation& operation, Message& message) {
  if (const auto* set = std::get_if<store::Set>(&operation)) {
    proto::Command::Set& out = *message.mutable_set();
    out.set_key(set->key);
    out.set_value(set->value);
    if (set->expected_revision) out.set_expected_revision(set->expected_revision->value());
  } else {
    const auto& erase = std::get<store::Delete>(operation);
    proto::Command::Delete& out = *message.mutable_delete_();
    out.set_key(erase.key);
    if (erase.expected_revision) out.set_expected_revision(erase.expected_revision->value());
  }
}

template <typename Message>
std::optional<Revision> ExpectedRevision(const Message& message) {
  if (!message.has_expected_revision()) return std::nullopt;
  return Revision(message.expected_revision());
}

// What is wrong, or nothing. Both Command and Operation have the fields of one operation.
template <typename Message>
std::string_view TakeOperation(Message& message, Command& command) {
  if (message.has_set()) {
    proto::Command::Set& set = *message.mutable_set();
    if (HasUnknownFields(set)) return "unknown field in a set";
    command.operations.push_back(store::Set{.key = std::move(*set.mutable_key()),
                                            .value = std::move(*set.mutable_value()),
                                            .expected_revision = ExpectedRevision(set)});
    return {};
  }
  if (message.has_delete_()) {
    proto::Command::Delete& erase = *message.mutable_delete_();
    if (HasUnknownFields(erase)) return "unknown field in a delete";
    command.operations.push_back(store::Delete{.key = std::move(*erase.mutable_key()),
                                               .expected_revision = ExpectedRevision(erase)});
    return {};
  }
  return "no operation";
}

std::string_view Take(proto::Command::OpenSession& message, Command::Control& control) {
  if (HasUnknownFields(message)) return "unknown field in the opening of a session";
  control =
      OpenSession{.ttl_ms = message.ttl_ms(), .subject = std::move(*message.mutable_subject())};
  return {};
}

std::string_view Take(proto::Command::KeepAlive& message, Command::Control& control) {
  if (HasUnknownFields(message)) return "unknown field in a keep-alive";
  KeepAlive keep_alive;
  keep_alive.sessions.reserve(static_cast<size_t>(message.sessions_size()));
  for (proto::Command::KeepAlive::Session& session : *message.mutable_sessions()) {
    if (HasUnknownFields(session)) return "unknown field in a keep-alive";
    keep_alive.sessions.push_back(
        {SessionId(session.session()), std::move(*session.mutable_subject())});
  }
  control = std::move(keep_alive);
  return {};
}

std::string_view Take(proto::Command::CloseSession& message, Command::Control& control) {
  if (HasUnknownFields(message)) return "unknown field in the closing of a session";
  control = CloseSession{SessionId(message.session()), std::move(*message.mutable_subject())};
  return {};
}

std::string_view Take(proto::Command::AdvanceTime& message, Command::Control& control) {
  if (HasUnknownFields(message)) return "unknown field in an advance of time";
  control = AdvanceTime{ClusterTime(message.to_ms())};
  return {};
}

std::string_view Take(proto::Command::SessionContext& message, Command& command) {
  if (HasUnknownFields(message)) return "unknown field in a session's context";
  command.session = SessionContext{.session = SessionId(message.session()),
                                   .sequence = message.sequence(),
                                   .lowest_unanswered = message.lowest_unanswered(),
                                   .subject = std::move(*message.mutable_subject())};
  return {};
}

std::string_view TakeOnly(proto::Command& message, Command& command) {
  switch (message.operation_case()) {
    case proto::Command::kOpenSession:
      return Take(*message.mutable_open_session(), command.control);
    case proto::Command::kKeepAlive:
      return Take(*message.mutable_keep_alive(), command.control);
    case proto::Command::kCloseSession:
      return Take(*message.mutable_close_session(), command.control);
    case proto::Command::kAdvanceTime:
      return Take(*message.mutable_advance_time(), command.control);
    case proto::Command::kSet:
    case proto::Command::kDelete:
    case proto::Command::OPERATION_NOT_SET:
      break;
  }
  return TakeOperation(message, command);
}

std::string_view TakeAll(proto::Command& message, Command& command) {
  if (HasUnknownFields(message)) return "unknown operation or field";
  if (message.has_session()) {
    const std::string_view wrong = Take(*message.mutable_session(), command);
    if (!wrong.empty()) return wrong;
  }
  if (message.operations().empty()) return TakeOnly(message, command);
  if (message.operation_case() != proto::Command::OPERATION_NOT_SET) {
    return "an operation beside a list of them";
  }
  for (proto::Command::Operation& operation : *message.mutable_operations()) {
    if (HasUnknownFields(operation)) return "unknown operation";
    const std::string_view wrong = TakeOperation(operation, command);
    if (!wrong.empty()) return wrong;
  }
  return {};
}

void PutControl(const Command::Control& control, proto::Command& message) {
  if (const auto* open = std::get_if<OpenSession>(&control)) {
    message.mutable_open_session()->set_ttl_ms(open->ttl_ms);
    message.mutable_open_session()->set_subject(open->subject);
  } else if (const auto* keep_alive = std::get_if<KeepAlive>(&control)) {
    for (const KeepAlive::Session& session : keep_alive->sessions) {
      proto::Command::KeepAlive::Session& out = *message.mutable_keep_alive()->add_sessions();
      out.set_session(session.session.value());
      out.set_subject(session.subject);
    }
  } else if (const auto* close = std::get_if<CloseSession>(&control)) {
    message.mutable_close_session()->set_session(close->session.value());
    message.mutable_close_session()->set_subject(close->subject);
  } else {
    message.mutable_advance_time()->set_to_ms(std::get<AdvanceTime>(control).to.value());
  }
}

void Put(const SessionContext& context, proto::Command::SessionContext& out) {
  out.set_session(context.session.value());
  out.set_sequence(context.sequence);
  out.set_lowest_unanswered(context.lowest_unanswered);
  out.set_subject(context.subject);
}

absl::Status CheckSession(SessionId session) {
  if (session == SessionId(0)) return absl::InvalidArgumentError("session 0, which is none");
  return absl::OkStatus();
}

absl::Status Check(std::monostate) {
  return absl::InvalidArgumentError("a command of no operation");
}
absl::Status Check(const OpenSession& open) {
  if (open.ttl_ms >= kSessionTtlMsMin && open.ttl_ms <= kSessionTtlMsMax) return absl::OkStatus();
  return InvalidArgument("a session of {} ms; allowed are {} to {}", open.ttl_ms, kSessionTtlMsMin,
                         kSessionTtlMsMax);
}
absl::Status Check(const KeepAlive& keep_alive) {
  if (keep_alive.sessions.empty() || keep_alive.sessions.size() > kKeptAliveTogetherMax) {
    return InvalidArgument("a keep-alive of {} sessions; allowed are 1 to {}",
                           keep_alive.sessions.size(), kKeptAliveTogetherMax);
  }
  for (const KeepAlive::Session& one : keep_alive.sessions) {
    MOKV_RETURN_IF_ERROR(CheckSession(one.session));
  }
  return absl::OkStatus();
}
absl::Status Check(const CloseSession& close) { return CheckSession(close.session); }
absl::Status Check(const AdvanceTime& advance) {
  if (advance.to <= kClusterTimeMax) return absl::OkStatus();
  return InvalidArgument("a time of {} ms, which cannot come", advance.to);
}

}  // namespace

absl::Status CheckCommand(const Command& command) {
  if (command.operations.empty()) {
    if (command.session.has_value()) return absl::InvalidArgumentError("a session of no operation");
    return std::visit([](const auto& control) { return Check(control); }, command.control);
  }
  if (!std::holds_alternative<std::monostate>(command.control)) {
    return absl::InvalidArgumentError("operations beside something else");
  }
  if (command.session.has_value()) {
    MOKV_RETURN_IF_ERROR(CheckSession(command.session->session));
    if (command.session->sequence == 0) {
      return absl::InvalidArgumentError("sequence 0; sequences begin at 1");
    }
  }
  if (command.operations.size() == 1) return absl::OkStatus();
  absl::flat_hash_set<std::string_view> keys;
  for (const store::Operation& operation : command.operations) {
    if (!keys.insert(store::KeyOf(operation)).second) {
      return InvalidArgument("key {} comes twice in one command", Quoted(store::KeyOf(operation)));
    }
  }
  return absl::OkStatus();
}

std::string EncodeCommand(const Command& command) {
  MOKV_CHECK(CheckCommand(command).ok());
  proto::Command message;
  if (command.operations.empty()) {
    PutControl(command.control, message);
  } else if (command.operations.size() == 1) {
    Put(command.operations.front(), message);
  } else {
    for (const store::Operation& operation : command.operations) {
      Put(operation, *message.add_operations());
    }
  }
  if (command.session.has_value()) Put(*command.session, *message.mutable_session());
  std::string bytes;
  // Fails only past protobuf's 2 GiB; what clients may send is limited far below.
  MOKV_CHECK(message.SerializeToString(&bytes));
  return bytes;
}

absl::StatusOr<Command> DecodeCommand(std::string_view bytes) {
  // Made where it is returned from: every entry that is applied comes through here.
  absl::StatusOr<Command> command(absl::in_place);
  proto::Command message;
  if (bytes.size() > std::numeric_limits<int>::max() ||
      !message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    command = DataLoss("command of {} bytes does not parse", bytes.size());
  } else if (const std::string_view wrong = TakeAll(message, *command); !wrong.empty()) {
    command = DataLoss("command of {} bytes: {}; written by a newer version?", bytes.size(), wrong);
  } else if (const absl::Status status = CheckCommand(*command); !status.ok()) {
    command = DataLoss("command of {} bytes: {}", bytes.size(), MessageOf(status));
  }
  return command;
}

bool MayGrow(const Command& command) {
  return std::holds_alternative<OpenSession>(command.control) ||
         std::any_of(command.operations.begin(), command.operations.end(),
                     [](const auto& one) { return std::holds_alternative<store::Set>(one); });
}

bool MayRepeat(const Command& command) {
  return command.session.has_value() || IsKeepAlive(command);
}

}  // namespace mokv::machine
