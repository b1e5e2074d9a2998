#include "machine/command.h"

#include <absl/container/flat_hash_set.h>
#include <google/protobuf/message.h>
#include <google/protobuf/unknown_field_set.h>

#include <algorithm>
#include <limits>
#include <optional>

#include "base/check.h"
#include "base/status.h"
#include "machine/command.pb.h"

namespace mokv::machine {
namespace {

// A newer version's field would change what the command means; skipping it, as protobuf does, would
// make this node differ from those that know it.
bool HasUnknownFields(const google::protobuf::Message& message) {
  return !message.GetReflection()->GetUnknownFields(message).empty();
}

// Both Command and Operation have the fields of one operation.
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

// What is wrong, or nothing.
template <typename Message>
std::string_view Take(Message& message, Command& command) {
  switch (message.operation_case()) {
    case Message::kSet: {
      proto::Command::Set& set = *message.mutable_set();
      if (HasUnknownFields(set)) return "unknown field in a set";
      command.operations.push_back(store::Set{.key = std::move(*set.mutable_key()),
                                              .value = std::move(*set.mutable_value()),
                                              .expected_revision = ExpectedRevision(set)});
      return {};
    }
    case Message::kDelete: {
      proto::Command::Delete& erase = *message.mutable_delete_();
      if (HasUnknownFields(erase)) return "unknown field in a delete";
      command.operations.push_back(store::Delete{.key = std::move(*erase.mutable_key()),
                                                 .expected_revision = ExpectedRevision(erase)});
      return {};
    }
    case Message::OPERATION_NOT_SET:
      break;
  }
  return "no operation";
}

std::string_view TakeAll(proto::Command& message, Command& command) {
  if (HasUnknownFields(message)) return "unknown operation or field";
  if (message.operations().empty()) return Take(message, command);
  if (message.operation_case() != proto::Command::OPERATION_NOT_SET) {
    return "an operation beside a list of them";
  }
  for (proto::Command::Operation& operation : *message.mutable_operations()) {
    if (HasUnknownFields(operation)) return "unknown operation";
    if (const std::string_view wrong = Take(operation, command); !wrong.empty()) return wrong;
  }
  return {};
}

}  // namespace

absl::Status CheckCommand(const Command& command) {
  if (command.operations.empty()) return absl::InvalidArgumentError("a command of no operation");
  if (command.operations.size() == 1) return absl::OkStatus();
  absl::flat_hash_set<std::string_view> keys;
  for (const store::Operation& operation : command.operations) {
    if (!keys.insert(store::KeyOf(operation)).second) {
      return InvalidArgument("key {:?} comes twice in one command", store::KeyOf(operation));
    }
  }
  return absl::OkStatus();
}

std::string EncodeCommand(const Command& command) {
  MOKV_CHECK(CheckCommand(command).ok());
  proto::Command message;
  if (command.operations.size() == 1) {
    Put(command.operations.front(), message);
  } else {
    for (const store::Operation& operation : command.operations) {
      Put(operation, *message.add_operations());
    }
  }
  std::string bytes;
  // Fails only past protobuf's 2 GiB; what clients may send is limited far below.
  MOKV_CHECK(message.SerializeToString(&bytes));
  return bytes;
}

absl::StatusOr<Command> DecodeCommand(std::string_view bytes) {
  proto::Command message;
  if (bytes.size() > std::numeric_limits<int>::max() ||
      !message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return DataLoss("command of {} bytes does not parse", bytes.size());
  }
  Command command;
  if (const std::string_view wrong = TakeAll(message, command); !wrong.empty()) {
    return DataLoss("command of {} bytes: {}; written by a newer version?", bytes.size(), wrong);
  }
  if (const absl::Status status = CheckCommand(command); !status.ok()) {
    return DataLoss("command of {} bytes: {}", bytes.size(), MessageOf(status));
  }
  return command;
}

bool MayGrow(const Command& command) {
  return std::any_of(
      command.operations.begin(), command.operations.end(),
      [](const auto& operation) { return std::holds_alternative<store::Set>(operation); });
}

}  // namespace mokv::machine
