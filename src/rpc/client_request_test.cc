#include "rpc/client_request.h"

#include <gtest/gtest.h>

#include <deque>
#include <string>

#include "rpc/compression.h"
#include "rpc/testing/raw_http2.h"

namespace mokv::rpc {
namespace {

constexpr uint64_t kMessageBytesMax = 10'000;

// Says what the test has put in: messages, and nullopt for kWait.
class Script final : public MessageSource {
 public:
  Next Produce(std::string* message) override {
    ++asked;
    if (steps.empty()) return Next::kEnd;
    const std::optional<std::string> step = steps.front();
    steps.pop_front();
    if (!step.has_value()) return Next::kWait;
    *message += *step;
    return Next::kMessage;
  }
  MessageCompression compression() const override { return how; }

  std::deque<std::optional<std::string>> steps;
  MessageCompression how = MessageCompression::kAuto;
  int asked = 0;
};

// All that comes until it ends or waits, read in pieces.
std::string ReadAll(ClientRequest& request, size_t piece_bytes, bool* ended = nullptr) {
  std::string all;
  for (;;) {
    std::string buffer(piece_bytes, '\0');
    const ClientRequest::Result read = request.Read(buffer.data(), buffer.size());
    EXPECT_TRUE(read.status.ok()) << read.status;
    all.append(buffer, 0, read.size_bytes);
    if (ended != nullptr) *ended = read.ended;
    if (read.ended || read.size_bytes == 0) return all;
  }
}

TEST(ClientRequest, OneMessageEndsWithItsLastByte) {
  for (size_t piece_bytes : {1, 3, 5, 10, 100}) {
    ClientRequest request;
    EXPECT_TRUE(request.SetMessage("hello", kMessageBytesMax).ok());
    EXPECT_EQ(ReadAll(request, piece_bytes), Message("hello")) << piece_bytes;
  }
  ClientRequest empty;
  EXPECT_TRUE(empty.SetMessage("", kMessageBytesMax).ok());
  EXPECT_EQ(ReadAll(empty, kMessagePrefixBytes), Message(""));
}

TEST(ClientRequest, ManySmallMessagesShareAFrame) {
  Script source;
  source.steps = {"a", "", "ccc"};
  ClientRequest request;
  request.SetSource(source, false, kMessageBytesMax);
  std::string buffer(100, '\0');
  const ClientRequest::Result read = request.Read(buffer.data(), buffer.size());
  EXPECT_TRUE(read.ended);
  EXPECT_EQ(buffer.substr(0, read.size_bytes), Message("a") + Message("") + Message("ccc"));
}

// Goal: nothing is made that has to wait in memory.
TEST(ClientRequest, AsksForAMessageOnlyWhenTheLastHasLeft) {
  Script source;
  source.steps = {std::string(100, 'a'), "b"};
  ClientRequest request;
  request.SetSource(source, false, kMessageBytesMax);
  std::string buffer(50, '\0');
  request.Read(buffer.data(), buffer.size());
  request.Read(buffer.data(), buffer.size());
  EXPECT_EQ(source.asked, 1);
}

TEST(ClientRequest, ASourceThatWaitsIsAskedAgainAfterWake) {
  Script source;
  source.steps = {"a", std::nullopt, "b"};
  ClientRequest request;
  request.SetSource(source, false, kMessageBytesMax);
  bool ended = false;
  EXPECT_EQ(ReadAll(request, 100, &ended), Message("a"));
  EXPECT_FALSE(ended);
  const int asked = source.asked;
  EXPECT_EQ(ReadAll(request, 100), "");
  EXPECT_EQ(source.asked, asked);
  EXPECT_TRUE(request.Wake());
  EXPECT_FALSE(request.Wake());
  EXPECT_EQ(ReadAll(request, 100, &ended), Message("b"));
  EXPECT_TRUE(ended);
}

TEST(ClientRequest, CompressesWhatIsWorthItAndMayBe) {
  const std::string large(5'000, 'x');
  const auto is_compressed = [](const std::string& message, bool compress, MessageCompression how) {
    Script source;
    source.steps = {message};
    source.how = how;
    ClientRequest request;
    request.SetSource(source, compress, kMessageBytesMax);
    const std::string bytes = ReadAll(request, 1'000);
    const MessagePrefix prefix = ParseMessagePrefix(bytes);
    EXPECT_EQ(prefix.size_bytes, bytes.size() - kMessagePrefixBytes);
    if (!prefix.compressed) {
      EXPECT_EQ(bytes, Message(message));
      return false;
    }
    std::string plain;
    UncompressedCost cost;
    EXPECT_TRUE(
        Gunzip(std::string_view(bytes).substr(kMessagePrefixBytes), 10'000, &plain, &cost).ok());
    EXPECT_EQ(plain, message);
    return true;
  };
  EXPECT_TRUE(is_compressed(large, true, MessageCompression::kAuto));
  EXPECT_FALSE(is_compressed("short", true, MessageCompression::kAuto));
  EXPECT_TRUE(is_compressed("short", true, MessageCompression::kAlways));
  EXPECT_FALSE(is_compressed(large, true, MessageCompression::kNever));
  // The server has not been told.
  EXPECT_FALSE(is_compressed(large, false, MessageCompression::kAlways));
}

TEST(ClientRequest, RefusesMessagesOverTheLimit) {
  ClientRequest whole;
  EXPECT_EQ(whole.SetMessage(std::string(kMessageBytesMax + 1, 'x'), kMessageBytesMax).code(),
            absl::StatusCode::kResourceExhausted);
  Script source;
  source.steps = {std::string(kMessageBytesMax + 1, 'x')};
  ClientRequest request;
  request.SetSource(source, true, kMessageBytesMax);
  std::string buffer(100, '\0');
  const ClientRequest::Result read = request.Read(buffer.data(), buffer.size());
  EXPECT_EQ(read.status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(read.size_bytes, 0u);
}

}  // namespace
}  // namespace mokv::rpc
