#include "service/kv_wire.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/message_lite.h>
#include <google/protobuf/unknown_field_set.h>

#include "api/kv.pb.h"
#include "base/status.h"
#include "base/utf8.h"

namespace mokv::service {
namespace {

using google::protobuf::io::CodedOutputStream;

enum class WireType : uint32_t { kVarint = 0, kBytes = 2 };

constexpr uint32_t Tag(int field, WireType type) {
  return static_cast<uint32_t>(field) << 3 | static_cast<uint32_t>(type);
}

// All fields that we write have numbers below 16, and so tags of one byte.
constexpr size_t kTagBytes = 1;
constexpr size_t kVarintBytesMax = 10;

void AppendNumber(int field, uint64_t value, std::string& out) {
  if (value == 0) return;  // proto3 leaves defaults out.
  uint8_t buffer[kTagBytes + kVarintBytesMax];
  uint8_t* end = CodedOutputStream::WriteTagToArray(Tag(field, WireType::kVarint), buffer);
  end = CodedOutputStream::WriteVarint64ToArray(value, end);
  out.append(reinterpret_cast<const char*>(buffer), static_cast<size_t>(end - buffer));
}

void AppendBytes(int field, std::string_view value, std::string& out) {
  if (value.empty()) return;
  uint8_t buffer[kTagBytes + kVarintBytesMax];
  uint8_t* end = CodedOutputStream::WriteTagToArray(Tag(field, WireType::kBytes), buffer);
  end = CodedOutputStream::WriteVarint64ToArray(value.size(), end);
  out.append(reinterpret_cast<const char*>(buffer), static_cast<size_t>(end - buffer));
  out.append(value);
}

// Whether the message is well formed but for a field 1 that is not UTF-8.
bool HasBadText(std::string_view bytes) {
  google::protobuf::UnknownFieldSet fields;
  if (!fields.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return false;
  for (int i = 0; i < fields.field_count(); ++i) {
    const google::protobuf::UnknownField& field = fields.field(i);
    if (field.number() == 1 &&
        field.type() == google::protobuf::UnknownField::TYPE_LENGTH_DELIMITED &&
        !IsUtf8(field.length_delimited())) {
      return true;
    }
  }
  return false;
}

}  // namespace

absl::Status ParseRequest(std::string_view bytes, google::protobuf::MessageLite& request) {
  if (request.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) [[likely]] {
    return absl::OkStatus();
  }
  if (HasBadText(bytes)) {
    return InvalidArgument("key or prefix of {} is not valid UTF-8", request.GetTypeName());
  }
  return InvalidArgument("the message does not parse as {}", request.GetTypeName());
}

absl::Status CheckKey(std::string_view key) {
  if (key.empty()) return absl::InvalidArgumentError("key is empty");
  if (key.size() > kKeyBytesMax) {
    return InvalidArgument("key of {} bytes is over the limit of {}", key.size(), kKeyBytesMax);
  }
  return absl::OkStatus();
}

void AppendGetResponse(const store::ItemFields& item, std::string& out) {
  using Fields = api::GetResponse;
  out.reserve(out.size() + item.key.size() + item.value.size() + 5 * (kTagBytes + kVarintBytesMax));
  AppendBytes(Fields::kKeyFieldNumber, item.key, out);
  AppendBytes(Fields::kValueFieldNumber, item.value, out);
  AppendNumber(Fields::kCreateRevisionFieldNumber, item.create_revision.value(), out);
  AppendNumber(Fields::kModRevisionFieldNumber, item.mod_revision.value(), out);
  AppendNumber(Fields::kVersionFieldNumber, item.version, out);
}

void AppendSetResponse(Revision revision, std::string& out) {
  AppendNumber(api::SetResponse::kOkFieldNumber, 1, out);
  AppendNumber(api::SetResponse::kRevisionFieldNumber, revision.value(), out);
}

void AppendDeleteResponse(Revision revision, uint64_t deleted, std::string& out) {
  AppendNumber(api::DeleteResponse::kOkFieldNumber, 1, out);
  AppendNumber(api::DeleteResponse::kRevisionFieldNumber, revision.value(), out);
  AppendNumber(api::DeleteResponse::kDeletedFieldNumber, deleted, out);
}

}  // namespace mokv::service
