// The stream of frames: comes apart as it was put together, however it is cut, and not otherwise.
#include "peer/frame.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <utility>
#include <vector>

#include "base/status.h"

namespace mokv::peer {
namespace {

using testing::HasSubstr;
using Frames = std::vector<std::pair<std::string, std::string>>;

std::string StreamOf(const Frames& frames) {
  std::string stream(kMagic);
  for (const auto& [message, bytes] : frames) {
    Attachment attachment{.bytes = bytes};
    attachment.Seal();
    FrameBuilder builder(stream);
    stream += message;
    EXPECT_TRUE(builder.EndFrame(bytes.empty() ? nullptr : &attachment));
    stream += bytes;
  }
  return stream;
}

// The last error, if any, and what came before it.
std::pair<absl::Status, Frames> ReadAll(const std::vector<std::string_view>& pieces) {
  FrameReader reader;
  Frames frames;
  for (const std::string_view piece : pieces) {
    const absl::Status status =
        reader.Read(piece, [&](std::string_view message, std::string_view attachment) {
          frames.emplace_back(message, attachment);
          return absl::OkStatus();
        });
    if (!status.ok()) return {status, frames};
  }
  return {absl::OkStatus(), frames};
}

std::vector<std::string_view> Cut(std::string_view stream, const std::vector<size_t>& sizes) {
  std::vector<std::string_view> pieces;
  for (const size_t size : sizes) {
    pieces.push_back(stream.substr(0, size));
    stream.remove_prefix(pieces.back().size());
  }
  pieces.push_back(stream);
  return pieces;
}

RC_GTEST_PROP(Frame, ComesApartHoweverTheStreamIsCut, (const Frames& frames)) {
  const std::string stream = StreamOf(frames);
  const auto sizes = *rc::gen::container<std::vector<size_t>>(rc::gen::inRange<size_t>(0, 40));
  const auto [status, read] = ReadAll(Cut(stream, sizes));
  RC_ASSERT(status.ok());
  RC_ASSERT(read == frames);
}

TEST(Frame, ComesApartByteByByte) {
  const Frames frames = {{"one", ""}, {"", ""}, {"", "attached"}, {std::string(1000, 'x'), "y"}};
  const std::string stream = StreamOf(frames);
  std::vector<std::string_view> pieces;
  for (size_t i = 0; i < stream.size(); ++i)
    pieces.push_back(std::string_view(stream).substr(i, 1));
  EXPECT_EQ(ReadAll(pieces).second, frames);
}

TEST(Frame, EveryFlippedBitIsNoticed) {
  const Frames frames = {{"message", "attachment"}};
  const std::string stream = StreamOf(frames);
  for (size_t bit = 0; bit < stream.size() * 8; ++bit) {
    std::string wrong = stream;
    wrong[bit / 8] = static_cast<char>(wrong[bit / 8] ^ (1 << bit % 8));
    // A length that grew is only known to be wrong once so much has come.
    const auto [status, read] = ReadAll({wrong, std::string(16'384, '\0')});
    EXPECT_TRUE(read.empty()) << bit;
  }
}

TEST(Frame, RefusesAnotherProtocolAtItsFirstByte) {
  for (const std::string_view other : {"PRI * HTTP/2.0\r\n", "MOKVRAFT2\n", "\x16\x03\x01"}) {
    const absl::Status status = ReadAll({other}).first;
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  }
  EXPECT_FALSE(ReadAll({"X"}).first.ok());
  EXPECT_TRUE(ReadAll({"MOKV"}).first.ok());
}

TEST(Frame, RefusesLengthsOverTheLimitsBeforeTheirBytesCome) {
  std::string prefix(kPrefixBytes, '\0');
  prefix[2] = 0x10;  // 1 MiB: the limit itself.
  EXPECT_TRUE(ReadAll({std::string(kMagic) + prefix}).first.ok());
  prefix[0] = 1;
  EXPECT_THAT(std::string(MessageOf(ReadAll({std::string(kMagic) + prefix}).first)),
              HasSubstr("a message of 1048577 bytes"));
  prefix.assign(kPrefixBytes, '\0');
  prefix[7] = '\xff';
  EXPECT_THAT(std::string(MessageOf(ReadAll({std::string(kMagic) + prefix}).first)),
              HasSubstr("an attachment of 4278190080 bytes"));
}

TEST(Frame, SaysWhichChecksumDoesNotFit) {
  std::string stream = StreamOf({{"message", "attachment"}});
  stream.back() ^= 1;
  absl::Status status = ReadAll({stream}).first;
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(MessageOf(status)), HasSubstr("of an attachment"));
  stream[kMagic.size() + kPrefixBytes] ^= 1;
  status = ReadAll({stream}).first;
  EXPECT_THAT(std::string(MessageOf(status)), HasSubstr("of a message"));
}

TEST(Frame, IsNotMadeOfWhatIsTooLarge) {
  std::string out = "before";
  FrameBuilder builder(out);
  out.append(kMessageBytesMax + 1, 'x');
  EXPECT_FALSE(builder.EndFrame(nullptr));
  EXPECT_EQ(out, "before");
  Attachment attachment{.bytes = std::string(kAttachmentBytesMax + 1, 'x')};
  FrameBuilder second(out);
  EXPECT_FALSE(second.EndFrame(&attachment));
  EXPECT_EQ(out, "before");
  attachment.bytes.pop_back();
  FrameBuilder third(out);
  EXPECT_TRUE(third.EndFrame(&attachment));
}

TEST(Frame, StopsAtTheFirstErrorOfItsTaker) {
  const std::string stream = StreamOf({{"1", ""}, {"2", ""}, {"3", ""}});
  FrameReader reader;
  int taken = 0;
  const absl::Status status = reader.Read(stream, [&](std::string_view, std::string_view) {
    return ++taken == 2 ? absl::CancelledError("enough") : absl::OkStatus();
  });
  EXPECT_EQ(status.code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(taken, 2);
}

}  // namespace
}  // namespace mokv::peer
