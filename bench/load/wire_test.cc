#include "load/wire.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

#include "api/kv.pb.h"

namespace mokv::load {
namespace {

std::string Whole(const Request& request, uint64_t key) {
  KeyDigits digits;
  FormatDigits(key, request.digits_size, digits);
  std::string out(request.message.size(), '\0');
  CopyMessage(request, digits, 0, out.size(), out.data());
  return out;
}

std::string Framed(const std::string& message) {
  std::string out(5, '\0');
  for (int i = 0; i < 4; ++i) out[4 - i] = static_cast<char>(message.size() >> (8 * i));
  return out + message;
}

template <typename Message>
Message Parse(const std::string& framed) {
  Message message;
  EXPECT_EQ(framed[0], 0);
  EXPECT_EQ(Framed(framed.substr(5)), framed) << "wrong length prefix";
  EXPECT_TRUE(message.ParseFromString(framed.substr(5)));
  return message;
}

TEST(Wire, GetIsWhatProtobufWouldSend) {
  LoadOptions options;
  const Request request = MakeRead(options);
  EXPECT_EQ(request.path, "/api.KV/Get");
  const std::string framed = Whole(request, 1234);
  const auto message = Parse<api::GetRequest>(framed);
  EXPECT_EQ(message.key(), "key:000000001234");
  EXPECT_EQ(message.consistency(), api::LINEARIZABLE);
  EXPECT_EQ(framed, Framed(message.SerializeAsString()));
}

TEST(Wire, StaleGetSaysSo) {
  LoadOptions options;
  options.stale = true;
  const std::string framed = Whole(MakeRead(options), 7);
  const auto message = Parse<api::GetRequest>(framed);
  EXPECT_EQ(message.key(), "key:000000000007");
  EXPECT_EQ(message.consistency(), api::STALE);
  EXPECT_EQ(framed, Framed(message.SerializeAsString()));
}

TEST(Wire, SetIsWhatProtobufWouldSend) {
  for (const uint32_t value_bytes : {0u, 1u, 64u, 300u, 100'000u}) {
    for (const uint32_t key_bytes : {kKeyBytesMin, 16u, 22u, 23u, 500u, kKeyBytesMax}) {
      LoadOptions options;
      options.value_bytes = value_bytes;
      options.key_bytes = key_bytes;
      const Request request = MakeWrite(options);
      EXPECT_EQ(request.path, "/api.KV/Set");
      const std::string framed = Whole(request, 9876);
      const auto message = Parse<api::SetRequest>(framed);
      EXPECT_EQ(message.key().size(), key_bytes);
      EXPECT_TRUE(message.key().starts_with("key:"));
      EXPECT_TRUE(message.key().ends_with("9876"));
      EXPECT_EQ(message.value().size(), value_bytes);
      EXPECT_FALSE(message.has_expected_revision());
      EXPECT_EQ(framed, Framed(message.SerializeAsString()));
    }
  }
}

TEST(Wire, KeysDiffer) {
  LoadOptions options;
  options.key_bytes = kKeyBytesMin;
  EXPECT_EQ(KeyCountMax(kKeyBytesMin), 10'000u);
  const Request request = MakeRead(options);
  std::set<std::string> seen;
  for (uint64_t key = 0; key < KeyCountMax(kKeyBytesMin); ++key) seen.insert(Whole(request, key));
  EXPECT_EQ(seen.size(), KeyCountMax(kKeyBytesMin));
}

TEST(Wire, MessageCanBeCopiedInPiecesOfAnySize) {
  LoadOptions options;
  const Request request = MakeWrite(options);
  const std::string whole = Whole(request, 123456789012);
  KeyDigits digits;
  FormatDigits(123456789012, request.digits_size, digits);
  for (size_t piece = 1; piece <= whole.size(); ++piece) {
    std::string out(whole.size(), '?');
    for (size_t at = 0; at < out.size(); at += piece) {
      CopyMessage(request, digits, at, std::min(piece, out.size() - at), out.data() + at);
    }
    ASSERT_EQ(out, whole) << "pieces of " << piece;
  }
}

TEST(Wire, EtcdRequestsHaveEtcdsFields) {
  LoadOptions options;
  options.target = Target::kEtcd;
  options.stale = true;
  options.value_bytes = 3;
  const Request range = MakeRead(options);
  EXPECT_EQ(range.path, "/etcdserverpb.KV/Range");
  // key = 1, serializable = 7.
  EXPECT_EQ(Whole(range, 5), Framed(std::string("\x0a\x10key:000000000005\x38\x01", 20)));
  const Request put = MakeWrite(options);
  EXPECT_EQ(put.path, "/etcdserverpb.KV/Put");
  // key = 1, value = 2.
  const std::string framed = Whole(put, 5);
  EXPECT_EQ(framed.substr(5, 20), std::string("\x0a\x10key:000000000005\x12\x03", 20));
  EXPECT_EQ(framed.size(), 28u);
}

TEST(Wire, EmptyRequestIsOnlyThePrefix) {
  LoadOptions options;
  options.target = Target::kEmpty;
  const Request request = MakeRead(options);
  EXPECT_EQ(request.path, "/bench.Echo/Empty");
  EXPECT_EQ(request.message, std::string(5, '\0'));
  EXPECT_EQ(request.digits_size, 0u);
}

TEST(CheckAnswer, TakesTheValueOfTheRightSize) {
  LoadOptions options;
  api::GetResponse response;
  response.set_key("key:000000000005");
  response.set_value(std::string(64, 'v'));
  response.set_create_revision(1);
  response.set_mod_revision(1ULL << 60);
  response.set_version(3);
  EXPECT_EQ(CheckAnswer(options, OpKind::kRead, Framed(response.SerializeAsString())),
            Verdict::kMatches);
  response.set_value(std::string(63, 'v'));
  EXPECT_EQ(CheckAnswer(options, OpKind::kRead, Framed(response.SerializeAsString())),
            Verdict::kMismatch);
  response.clear_value();
  options.value_bytes = 0;
  EXPECT_EQ(CheckAnswer(options, OpKind::kRead, Framed(response.SerializeAsString())),
            Verdict::kMatches);
}

TEST(CheckAnswer, WantsOneWholeUncompressedMessage) {
  LoadOptions options;
  options.target = Target::kGrpc;
  const std::string good = Framed("abc");
  EXPECT_EQ(CheckAnswer(options, OpKind::kRead, good), Verdict::kMatches);
  EXPECT_EQ(CheckAnswer(options, OpKind::kRead, ""), Verdict::kMismatch);
  EXPECT_EQ(CheckAnswer(options, OpKind::kRead, good.substr(0, 4)), Verdict::kMismatch);
  EXPECT_EQ(CheckAnswer(options, OpKind::kRead, good.substr(0, 7)), Verdict::kMismatch);
  EXPECT_EQ(CheckAnswer(options, OpKind::kRead, good + good), Verdict::kMismatch);
  EXPECT_EQ(CheckAnswer(options, OpKind::kRead, '\1' + good.substr(1)), Verdict::kMismatch);
}

TEST(CheckAnswer, EmptyMustBeEmpty) {
  LoadOptions options;
  options.target = Target::kEmpty;
  EXPECT_EQ(CheckAnswer(options, OpKind::kRead, Framed("")), Verdict::kMatches);
  EXPECT_EQ(CheckAnswer(options, OpKind::kRead, Framed("x")), Verdict::kMismatch);
}

TEST(CheckAnswer, SetMustBeConfirmed) {
  const LoadOptions options;
  api::SetResponse response;
  response.set_revision(12);
  EXPECT_EQ(CheckAnswer(options, OpKind::kWrite, Framed(response.SerializeAsString())),
            Verdict::kMismatch);
  response.set_ok(true);
  EXPECT_EQ(CheckAnswer(options, OpKind::kWrite, Framed(response.SerializeAsString())),
            Verdict::kMatches);
}

TEST(CheckAnswer, KnowsEtcdsAnswers) {
  LoadOptions options;
  options.target = Target::kEtcd;
  options.value_bytes = 2;
  const std::string header("\x0a\x02\x18\x05", 4);
  const std::string item("\x12\x07\x0a\x01k\x2a\x02vv", 9);
  EXPECT_EQ(CheckAnswer(options, OpKind::kRead, Framed(header + item)), Verdict::kMatches);
  EXPECT_EQ(CheckAnswer(options, OpKind::kRead, Framed(header)), Verdict::kMissing);
  EXPECT_EQ(CheckAnswer(options, OpKind::kRead, Framed(header + item + item)), Verdict::kMismatch);
  EXPECT_EQ(CheckAnswer(options, OpKind::kWrite, Framed(header)), Verdict::kMatches);
  EXPECT_EQ(CheckAnswer(options, OpKind::kWrite, Framed("")), Verdict::kMismatch);
}

TEST(CheckAnswer, MalformedIsNoMatch) {
  LoadOptions options;
  options.value_bytes = 0;
  const std::string malformed[] = {"\x12", "\x12\x05vv", "\x80", "\x0d\x01\x02\x03\x04",
                                   std::string(12, '\xff')};
  for (const std::string& message : malformed) {
    EXPECT_EQ(CheckAnswer(options, OpKind::kRead, Framed(message)), Verdict::kMismatch);
  }
}

}  // namespace
}  // namespace mokv::load
