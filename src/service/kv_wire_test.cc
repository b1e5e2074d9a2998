#include "service/kv_wire.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "api/kv.pb.h"
#include "base/status.h"

namespace mokv::service {
namespace {

// What we write by hand must be what protobuf itself would write.
RC_GTEST_PROP(GetResponse, IsWhatProtobufWrites,
              (const std::string& value, uint64_t create, uint64_t modified, uint64_t version)) {
  const auto key = *rc::gen::container<std::string>(rc::gen::inRange<char>(0, 127));
  store::ItemFields item;
  item.key = key;
  item.value = value;
  item.create_revision = Revision(create);
  item.mod_revision = Revision(modified);
  item.version = version;
  api::GetResponse expected;
  expected.set_key(key);
  expected.set_value(value);
  expected.set_create_revision(create);
  expected.set_mod_revision(modified);
  expected.set_version(version);
  std::string bytes;
  AppendGetResponse(item, bytes);
  RC_ASSERT(bytes == expected.SerializeAsString());
}

RC_GTEST_PROP(WriteResponses, AreWhatProtobufWrites, (uint64_t revision, bool deleted)) {
  std::string bytes;
  AppendSetResponse(Revision(revision), bytes);
  api::SetResponse set;
  set.set_ok(true);
  set.set_revision(revision);
  RC_ASSERT(bytes == set.SerializeAsString());

  bytes.clear();
  AppendDeleteResponse(Revision(revision), deleted ? 1 : 0, bytes);
  api::DeleteResponse del;
  del.set_ok(true);
  del.set_revision(revision);
  del.set_deleted(deleted ? 1 : 0);
  RC_ASSERT(bytes == del.SerializeAsString());
}

TEST(ParseRequest, SaysWhenTheKeyIsNotUtf8) {
  api::GetRequest request;
  const absl::Status status = ParseRequest(std::string("\x0a\x02\xff\xfe", 4), request);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(MessageOf(status).find("UTF-8"), std::string_view::npos) << status;
}

TEST(ParseRequest, SaysWhenTheMessageIsGarbage) {
  api::GetRequest request;
  const absl::Status status = ParseRequest("\xff\xff\xff\xff", request);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(MessageOf(status).find("does not parse as api.GetRequest"), std::string_view::npos);
}

TEST(CheckKey, KnowsItsLimits) {
  EXPECT_TRUE(CheckKey("k").ok());
  EXPECT_TRUE(CheckKey(std::string(kKeyBytesMax, 'k')).ok());
  EXPECT_FALSE(CheckKey("").ok());
  EXPECT_FALSE(CheckKey(std::string(kKeyBytesMax + 1, 'k')).ok());
}

}  // namespace
}  // namespace mokv::service
