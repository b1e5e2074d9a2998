// The smaller parts, each by itself.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "serf/broadcast_queue.h"
#include "serf/coordinate.h"
#include "serf/keyring.h"
#include "serf/keyring_file.h"
#include "serf/lamport_clock.h"
#include "serf/lzw.h"
#include "serf/msgpack.h"
#include "serf/peers_file.h"
#include "serf/suspicion.h"
#include "serf/testing/vectors.h"

namespace mokv::serf {
namespace {

using std::chrono::seconds;
using testing::ElementsAre;

// ---- MessagePack.

RC_GTEST_PROP(Msgpack, NumbersAreReadAsWritten, (uint64_t wide, int64_t number, double real)) {
  std::string bytes;
  MsgpackWriter writer(&bytes);
  writer.Uint(wide);
  writer.Int(number);
  writer.Double(real);
  MsgpackReader reader(bytes);
  uint64_t wide_read = 0;
  int64_t number_read = 0;
  double real_read = 0;
  RC_ASSERT(reader.Uint(&wide_read) && reader.Int(&number_read) && reader.Double(&real_read));
  RC_ASSERT(wide_read == wide && number_read == number && real_read == real);
  RC_ASSERT(reader.rest().empty());
}

TEST(Msgpack, ValuesThatDoNotFitAreErrors) {
  const std::string minus_one("\xff", 1);
  uint64_t unsigned_value = 0;
  EXPECT_FALSE(MsgpackReader(minus_one).Uint(&unsigned_value));
  const std::string large = FromHex("cd0100");
  uint8_t small = 0;
  EXPECT_FALSE(MsgpackReader(large).UintAs(&small));
  int64_t signed_value = 0;
  EXPECT_FALSE(MsgpackReader(FromHex("cfffffffffffffffff")).Int(&signed_value));
  std::string_view text;
  EXPECT_TRUE(MsgpackReader(FromHex("d90161")).Text(&text));
  EXPECT_FALSE(MsgpackReader(FromHex("c40161")).Text(&text)) << "bin is no text to old agents";
  EXPECT_TRUE(MsgpackReader(FromHex("c40161")).Raw(&text));
}

TEST(Msgpack, SkipsAnythingInBoundedStack) {
  std::string nest(100'000, '\x91');  // Arrays in arrays.
  nest.push_back('\xc0');
  MsgpackReader reader(nest);
  EXPECT_TRUE(reader.Skip());
  EXPECT_TRUE(reader.rest().empty());
  EXPECT_FALSE(MsgpackReader(std::string_view(nest).substr(1, 50'000)).Skip());
  EXPECT_FALSE(MsgpackReader(FromHex("ddffffffff")).Skip()) << "four billion nothings";
  EXPECT_FALSE(MsgpackReader(FromHex("c1")).Skip());
}

// ---- Compression.

RC_GTEST_PROP(Lzw, ExpandsToWhatWasCompressed, (const std::vector<uint8_t>& bytes)) {
  const std::string plain(bytes.begin(), bytes.end());
  std::string again;
  RC_ASSERT(LzwDecompress(LzwCompress(plain), plain.size(), &again) == LzwError::kNone);
  RC_ASSERT(again == plain);
}

TEST(Lzw, LongTextsGoThroughSeveralTables) {
  SeededRandom random(1);
  for (const uint64_t letters : {1u, 2u, 16u, 256u}) {
    std::string plain;
    while (plain.size() < 100'000) plain.push_back(static_cast<char>(random.Next() % letters));
    std::string again;
    ASSERT_EQ(LzwDecompress(LzwCompress(plain), plain.size(), &again), LzwError::kNone);
    EXPECT_TRUE(again == plain) << letters;
    EXPECT_EQ(LzwDecompress(LzwCompress(plain), plain.size() - 1, &again), LzwError::kTooLarge);
  }
}

TEST(Lzw, GarbageIsNoticed) {
  std::string plain;
  EXPECT_EQ(LzwDecompress("", 100, &plain), LzwError::kMalformed);
  EXPECT_EQ(LzwDecompress(std::string(3, '\xff'), 100, &plain), LzwError::kMalformed);
}

// ---- Keys.

TEST(Keyring, SealedBytesOpenWithAnyKeyOfTheRing) {
  SeededRandom random(7);
  Keyring old_ring = Keyring::Create({std::string(16, 'a')}).value();
  Keyring both = Keyring::Create({std::string(32, 'b'), std::string(16, 'a')}).value();
  std::string plain;
  EXPECT_TRUE(both.Open(old_ring.Seal("text", "aad", random), "aad", &plain));
  EXPECT_EQ(plain, "text");
  EXPECT_FALSE(both.Open(old_ring.Seal("text", "aad", random), "other", &plain));
  EXPECT_FALSE(old_ring.Open(both.Seal("text", "", random), "", &plain));
  std::string sealed = both.Seal("text", "", random);
  EXPECT_NE(sealed, both.Seal("text", "", random)) << "a nonce came twice";
  sealed[0] = 2;  // An unknown version.
  EXPECT_FALSE(both.Open(sealed, "", &plain));
  EXPECT_FALSE(both.Open("short", "", &plain));
}

// Old nodes pad to the cipher's blocks, and say so by the version, which is not authenticated.
TEST(Keyring, PaddedTextIsReadToo) {
  SeededRandom random(8);
  const Keyring ring = Keyring::Create({std::string(24, 'k')}).value();
  const auto sealed_as_padded = [&](const std::string& padded) {
    std::string sealed = ring.Seal(padded, "", random);
    sealed[0] = 0;
    return sealed;
  };
  std::string plain;
  EXPECT_TRUE(ring.Open(sealed_as_padded("text" + std::string(12, '\x0c')), "", &plain));
  EXPECT_EQ(plain, "text");
  EXPECT_TRUE(
      ring.Open(sealed_as_padded(std::string(16, 'x') + std::string(16, '\x10')), "", &plain));
  EXPECT_EQ(plain, std::string(16, 'x'));
  EXPECT_FALSE(ring.Open(sealed_as_padded("text"), "", &plain));
  EXPECT_FALSE(ring.Open(sealed_as_padded(std::string(16, '\x11')), "", &plain));
  EXPECT_FALSE(ring.Open(sealed_as_padded(std::string(16, '\0')), "", &plain));
}

TEST(Keyring, ChangesKeepItUsable) {
  Keyring ring = Keyring::Create({std::string(16, 'a')}).value();
  EXPECT_FALSE(ring.Install("short").ok());
  EXPECT_FALSE(ring.Use(std::string(16, 'b')).ok());
  EXPECT_FALSE(ring.Remove(std::string(16, 'a')).ok()) << "the primary one";
  EXPECT_TRUE(ring.Install(std::string(16, 'b')).ok());
  EXPECT_TRUE(ring.Install(std::string(16, 'b')).ok());
  EXPECT_TRUE(ring.Use(std::string(16, 'b')).ok());
  EXPECT_THAT(ring.keys(), ElementsAre(std::string(16, 'b'), std::string(16, 'a')));
  EXPECT_TRUE(ring.Remove(std::string(16, 'a')).ok());
  EXPECT_THAT(ring.keys(), ElementsAre(std::string(16, 'b')));
  for (char c = 'c'; ring.keys().size() < Keyring::kKeysMax; ++c) {
    EXPECT_TRUE(ring.Install(std::string(16, c)).ok());
  }
  EXPECT_FALSE(ring.Install(std::string(16, 'Z')).ok());
}

TEST(KeyringFile, IsReadAsWritten) {
  const std::vector<std::string> keys = {std::string(32, '\x80'), std::string(16, 'b')};
  EXPECT_EQ(ParseKeyringFile(FormatKeyringFile(keys)).value(), keys);
  for (const char* text : {"", "[]", "[\"\"]", "[\"AAAA\"]", "[\"not base64\"]", "{}", "[1]",
                           "[\"AAAAAAAAAAAAAAAAAAAAAA==\"] x", "[\"AAAAAAAAAAAAAAAAAAAAAA==\",]"}) {
    EXPECT_FALSE(ParseKeyringFile(text).ok()) << text;
  }
  EXPECT_TRUE(ParseKeyringFile(" [ \"AAAAAAAAAAAAAAAAAAAAAA==\" ]\n").ok());
}

// ---- What is remembered.

TEST(PeersFile, IsReadAsWritten) {
  const Remembered remembered{.peers = {{"a b", "10.0.0.1:1", true}, {"c", "[::1]:2", false}},
                              .clock = 7,
                              .event_clock = 8,
                              .query_clock = 9,
                              .left = true};
  const Remembered again = ParseRemembered(FormatRemembered(remembered));
  ASSERT_EQ(again.peers.size(), 2u);
  EXPECT_EQ(again.peers[0].name, "a b");
  EXPECT_EQ(again.peers[0].address, "10.0.0.1:1");
  EXPECT_TRUE(again.peers[0].alive);
  EXPECT_FALSE(again.peers[1].alive);
  EXPECT_EQ(again.clock, 7u);
  EXPECT_EQ(again.event_clock, 8u);
  EXPECT_EQ(again.query_clock, 9u);
  EXPECT_TRUE(again.left);
}

TEST(PeersFile, WhatCannotBeReadIsSkipped) {
  const Remembered remembered = ParseRemembered(
      "# comment\nalive: \nalive: x\nalive: a 1.2.3.4:5\nclock: 9x\ncoordinate: {}\n"
      "clock: 12\nevent-clock: 3");
  ASSERT_EQ(remembered.peers.size(), 1u);
  EXPECT_EQ(remembered.clock, 12u);
  EXPECT_EQ(remembered.event_clock, 0u) << "a line without its end";
}

// ---- Suspicion.

TEST(Suspicion, ShrinksWithConfirmations) {
  const Timing timing;
  const MonotonicTime start{seconds(100)};
  Suspicion suspicion("a", 10, timing, start);
  EXPECT_EQ(suspicion.deadline(), start + seconds(24));
  EXPECT_FALSE(suspicion.Confirm("a")) << "the accuser's own word again";
  EXPECT_TRUE(suspicion.Confirm("b"));
  EXPECT_LT(suspicion.deadline(), start + seconds(24));
  EXPECT_FALSE(suspicion.Confirm("b"));
  EXPECT_TRUE(suspicion.Confirm("c"));
  EXPECT_EQ(suspicion.deadline(), start + seconds(4));
  EXPECT_FALSE(suspicion.Confirm("d")) << "enough";
}

TEST(Suspicion, WithTooFewOthersIsShortFromTheBeginning) {
  const MonotonicTime start{seconds(1)};
  EXPECT_EQ(Suspicion("a", 3, Timing{}, start).deadline(), start + seconds(4));
  EXPECT_EQ(Suspicion::TimeoutMin(1000, Timing{}), seconds(12));
}

// ---- Broadcasts.

std::vector<std::string> TakeAll(BroadcastQueue& queue, size_t budget, int transmits_max) {
  std::vector<std::string> taken;
  queue.Take(budget, 2, 100, transmits_max, "", &taken);
  return taken;
}

TEST(BroadcastQueue, FreshThenLongThenNew) {
  BroadcastQueue queue;
  queue.Push("one");
  queue.Push("three");
  queue.Push("two");
  EXPECT_THAT(TakeAll(queue, 100, 5), ElementsAre("three", "two", "one"));
  queue.Push("4");
  EXPECT_THAT(TakeAll(queue, 3, 5), ElementsAre("4"));
  EXPECT_THAT(TakeAll(queue, 9, 5), ElementsAre("three")) << "what was sent least first";
}

TEST(BroadcastQueue, MessagesGoAfterTheirLastTime) {
  BroadcastQueue queue;
  const auto id = queue.Push("m");
  EXPECT_THAT(TakeAll(queue, 100, 2), ElementsAre("m"));
  EXPECT_TRUE(queue.Contains(id));
  EXPECT_THAT(TakeAll(queue, 100, 2), ElementsAre("m"));
  EXPECT_FALSE(queue.Contains(id));
  EXPECT_TRUE(queue.empty());
}

TEST(BroadcastQueue, NewsReplaceWhatTheyCorrect) {
  BroadcastQueue queue;
  const auto old_id = queue.Push("old", "node");
  queue.Push("other", "node2");
  queue.Push("new", "node");
  EXPECT_FALSE(queue.Contains(old_id));
  EXPECT_THAT(TakeAll(queue, 100, 5), ElementsAre("other", "new"));
}

TEST(BroadcastQueue, IsBounded) {
  BroadcastQueue queue;
  for (size_t i = 0; i < kQueueLengthMax + 10; ++i) queue.Push("m" + std::to_string(i));
  EXPECT_EQ(queue.size(), kQueueLengthMax);
  EXPECT_EQ(queue.Push(std::string(2000, 'x')), 0u) << "fits no packet";
  EXPECT_EQ(queue.dropped(), 11u);
}

// ---- Clocks and coordinates.

TEST(LamportClock, RunsAheadOfWhatItSaw) {
  LamportClock clock;
  EXPECT_EQ(clock.now(), 1u);
  EXPECT_TRUE(clock.Witness(5));
  EXPECT_EQ(clock.now(), 6u);
  EXPECT_TRUE(clock.Witness(2));
  EXPECT_EQ(clock.Tick(), 6u);
  EXPECT_FALSE(clock.Witness(~LamportTime{0}));
  EXPECT_EQ(clock.now(), 7u);
}

TEST(Coordinate, IsReadAsWrittenAndAsCaptured) {
  const std::string ack = ReadVector("udp-02-ack-coordinate.hex");
  const size_t begin = ack.find("\x01\x84\xaa");
  ASSERT_NE(begin, std::string::npos);
  const std::string payload = ack.substr(begin, ack.size() - begin - 7);  // SeqNo follows.
  const auto coordinate = DecodeCoordinate(payload);
  ASSERT_TRUE(coordinate.has_value());
  EXPECT_EQ(ToHex(EncodeCoordinate(*coordinate)), ToHex(payload));
  EXPECT_FALSE(DecodeCoordinate("").has_value());
  std::string wrong = payload;
  wrong[0] = 2;
  EXPECT_FALSE(DecodeCoordinate(wrong).has_value());
  Coordinate not_finite;
  not_finite.vec[3] = std::numeric_limits<double>::quiet_NaN();
  EXPECT_FALSE(DecodeCoordinate(EncodeCoordinate(not_finite)).has_value());
}

TEST(Coordinate, NonsenseMovesNothingForGood) {
  SeededRandom random(3);
  CoordinateClient client;
  Coordinate far;
  far.vec.fill(1e300);
  far.error = 1e-300;
  for (int i = 0; i < 100; ++i) client.Update("evil", far, std::chrono::milliseconds(1), random);
  EXPECT_TRUE(client.own().IsFinite());
  EXPECT_FALSE(client.Update("a", Coordinate(), seconds(11), random));
  EXPECT_FALSE(client.Update("a", Coordinate(), seconds(-1), random));
}

}  // namespace
}  // namespace mokv::serf
