#include "store/command.h"

#include <google/protobuf/message.h>
#include <google/protobuf/unknown_field_set.h>

#include <limits>
#include <utility>

#include "base/check.h"
#include "base/status.h"
#include "store/command.pb.h"

namespace mokv::store {
namespace {

template <typename Message>
std::optional<Revision> ExpectedRevision(const Message& message) {
  if (!message.has_expected_revision()) return std::nullopt;
  return Revision(message.expected_revision());
}

// A newer version's field would change what the command means; skipping it, as protobuf does, would
// make this node differ from those that know it.
bool HasUnknownFields(const google::protobuf::Message& message) {
  return !message.GetReflection()->GetUnknownFields(message).empty();
}

absl::Status UnknownCommand(std::string_view bytes, std::string_view what) {
  return DataLoss("command of {} bytes: {}; written by a newer version?", bytes.size(), what);
}

}  // namespace

std::string EncodeCommand(const Command& command) {
  proto::Command message;
  if (const auto* set = std::get_if<SetCommand>(&command)) {
    message.mutable_set()->set_key(set->key);
    message.mutable_set()->set_value(set->value);
    if (set->expected_revision) {
      message.mutable_set()->set_expected_revision(set->expected_revision->value());
    }
  } else {
    const auto& erase = std::get<DeleteCommand>(command);
    message.mutable_delete_()->set_key(erase.key);
    if (erase.expected_revision) {
      message.mutable_delete_()->set_expected_revision(erase.expected_revision->value());
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
  if (HasUnknownFields(message)) return UnknownCommand(bytes, "unknown operation or field");
  switch (message.operation_case()) {
    case proto::Command::kSet: {
      proto::Command::Set& set = *message.mutable_set();
      if (HasUnknownFields(set)) return UnknownCommand(bytes, "unknown field in a set");
      return SetCommand{.key = std::move(*set.mutable_key()),
                        .value = std::move(*set.mutable_value()),
                        .expected_revision = ExpectedRevision(set)};
    }
    case proto::Command::kDelete: {
      proto::Command::Delete& erase = *message.mutable_delete_();
      if (HasUnknownFields(erase)) return UnknownCommand(bytes, "unknown field in a delete");
      return DeleteCommand{.key = std::move(*erase.mutable_key()),
                           .expected_revision = ExpectedRevision(erase)};
    }
    case proto::Command::OPERATION_NOT_SET:
      break;
  }
  return UnknownCommand(bytes, "no operation");
}

}  // namespace mokv::store
