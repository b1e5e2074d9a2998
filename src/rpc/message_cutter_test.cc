#include "rpc/message_cutter.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <cstddef>
#include <vector>

#include "rpc/receive_window.h"
#include "rpc/testing/raw_http2.h"

namespace mokv::rpc {
namespace {

class Collected final : public MessageSink {
 public:
  bool HasRoom() const override { return room > 0; }
  void Take(const ReceivedMessage& message) override {
    --room;
    messages.emplace_back(message.bytes);
    were_compressed.push_back(message.was_compressed);
  }
  size_t room = 1000;
  std::vector<std::string> messages;
  std::vector<bool> were_compressed;
};

std::string Compressed(std::string_view text) {
  std::string packed;
  Gzip(text, &packed);
  return Message(packed, /*compressed=*/true);
}

class MessageCutterTest : public testing::Test {
 protected:
  MessageCutter::Result Take(std::string_view bytes) { return cutter_.Take(bytes, rules_, sink_); }

  MessageCutter::Rules rules_{.encoding = Encoding::kIdentity, .message_bytes_max = 1000};
  Collected sink_;
  MessageCutter cutter_;
};

TEST_F(MessageCutterTest, ReleasesWhatItsSinkHasTaken) {
  const std::string two = Message("one") + Message("");
  const auto result = Take(two);
  EXPECT_EQ(result.released_bytes, two.size());
  EXPECT_EQ(result.message_bytes, size_t{3});
  EXPECT_EQ(sink_.messages, (std::vector<std::string>{"one", ""}));
  EXPECT_TRUE(cutter_.empty());
}

TEST_F(MessageCutterTest, HoldsWhatThereIsNoRoomFor) {
  sink_.room = 1;
  EXPECT_EQ(Take(Message("one") + Message("two")).released_bytes, Message("one").size());
  EXPECT_TRUE(cutter_.blocked());
  EXPECT_EQ(Take(Message("three")).released_bytes, size_t{0});
  sink_.room = 1;
  EXPECT_EQ(Take("").released_bytes, Message("two").size());
  EXPECT_TRUE(cutter_.blocked());
  sink_.room = 1;
  EXPECT_EQ(Take("").released_bytes, Message("three").size());
  EXPECT_FALSE(cutter_.blocked());
  EXPECT_EQ(sink_.messages, (std::vector<std::string>{"one", "two", "three"}));
}

// Or a message that is larger than the window would never come.
TEST_F(MessageCutterTest, ReleasesTheBeginningOfTheMessageThatIsNext) {
  const std::string message = Message(std::string(100, 'x'));
  EXPECT_EQ(Take(message.substr(0, 3)).released_bytes, size_t{3});
  EXPECT_EQ(Take(message.substr(3, 50)).released_bytes, size_t{50});
  EXPECT_EQ(Take(message.substr(53)).released_bytes, message.size() - 53);
  sink_.room = 0;
  EXPECT_EQ(Take(message.substr(0, 50)).released_bytes, size_t{0}) << "nobody wants the next one";
  EXPECT_TRUE(cutter_.blocked());
  EXPECT_EQ(cutter_.Drop(), size_t{50});
  EXPECT_TRUE(cutter_.empty());
}

// A stream of small messages comes in pieces that end anywhere: to copy each piece costs more than all
// the rest of the cutting.
TEST_F(MessageCutterTest, CopiesOnlyTheMessageThatComesInTwoPieces) {
  class Addresses final : public MessageSink {
   public:
    void Take(const ReceivedMessage& message) override { taken.push_back(message.bytes.data()); }
    std::vector<const char*> taken;
  } sink;
  const std::string three = Message("one") + Message("two") + Message("three");
  cutter_.Take(std::string_view(three).substr(0, 3), rules_, sink);
  cutter_.Take(std::string_view(three).substr(3), rules_, sink);
  ASSERT_EQ(sink.taken.size(), size_t{3});
  EXPECT_EQ(sink.taken[1] - three.data(), std::ptrdiff_t{2 * 5 + 3});
  EXPECT_EQ(sink.taken[2] - three.data(), std::ptrdiff_t{3 * 5 + 2 * 3});
}

TEST_F(MessageCutterTest, RefusesMessagesOverTheLimit) {
  const auto result = Take(Message(std::string(1001, 'x')).substr(0, 5));
  EXPECT_EQ(result.status.code(), absl::StatusCode::kResourceExhausted);
}

TEST_F(MessageCutterTest, UncompressesWhatSaysThatItIs) {
  EXPECT_EQ(Take(Compressed("small")).status.code(), absl::StatusCode::kInternal)
      << "the call names no encoding";
  cutter_.Drop();
  rules_.encoding = Encoding::kGzip;
  EXPECT_TRUE(Take(Compressed("small") + Message("plain")).status.ok());
  EXPECT_EQ(sink_.messages, (std::vector<std::string>{"small", "plain"}));
  EXPECT_EQ(sink_.were_compressed, (std::vector<bool>{true, false}));
  EXPECT_EQ(Take(Compressed(std::string(1001, 'x'))).status.code(),
            absl::StatusCode::kResourceExhausted);
}

// However a stream is cut into pieces, and whenever there is room: the messages come whole, once and
// in order, and all that came is released in the end.
RC_GTEST_PROP(MessageCutterProperty, AnyPiecesMakeTheSameMessages,
              (const std::vector<std::string>& messages)) {
  std::string bytes;
  for (const std::string& message : messages) bytes += Message(message);
  const MessageCutter::Rules rules{.encoding = Encoding::kIdentity,
                                   .message_bytes_max = UINT32_MAX};
  Collected sink;
  sink.room = 0;
  MessageCutter cutter;
  ReceiveWindow window(20);
  size_t released = 0;
  size_t grown = 0;
  size_t at = 0;
  const auto take = [&](std::string_view piece) {
    grown += window.OnReceived(piece.size());
    const auto result = cutter.Take(piece, rules, sink);
    RC_ASSERT(result.status.ok());
    released += result.released_bytes;
    grown += window.OnReleased(result.released_bytes);
  };
  while (at < bytes.size()) {
    const size_t size = *rc::gen::inRange<size_t>(1, std::min<size_t>(bytes.size() - at, 40) + 1);
    sink.room = *rc::gen::inRange<size_t>(0, 3);
    take(std::string_view(bytes).substr(at, size));
    at += size;
    RC_ASSERT(grown + 20 + size >= at || !cutter.empty());
  }
  sink.room = messages.size();
  take("");
  RC_ASSERT(sink.messages == messages);
  RC_ASSERT(released == bytes.size());
  RC_ASSERT(grown == bytes.size());
  RC_ASSERT(cutter.empty());
}

}  // namespace
}  // namespace mokv::rpc
