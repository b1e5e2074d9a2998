// A connection's bytes, cut anywhere: refused, or frames whose messages mean the same after they
// have been written again. The first byte says how the stream is cut; checksums and the magic are
// put right where there is room for them, since no fuzzer guesses them.
#include <google/protobuf/message_lite.h>

#include <cstdint>
#include <string>
#include <vector>

#include "base/check.h"
#include "peer/forward_codec.h"
#include "peer/frame.h"
#include "peer/handshake.h"
#include "peer/message_codec.h"
#include "peer/snapshot_codec.h"

namespace mokv::peer {
namespace {

// Maps keep no order here, and there are none: the same message gives the same bytes.
std::string BytesOf(const google::protobuf::MessageLite& message) {
  return message.SerializeAsString();
}

void CheckRaft(const proto::Raft& message, std::string_view attachment) {
  const auto decoded = DecodeMessage(message, attachment);
  if (!decoded.ok()) return;
  proto::Raft encoded;
  EncodeMessage(*decoded, encoded);
  Attachment entries;
  if (const auto* append = std::get_if<raft::Append>(&decoded->body);
      append != nullptr && append->entries != nullptr) {
    entries = EncodeEntries(*append->entries);
  }
  const auto again = DecodeMessage(encoded, entries.bytes);
  MOKV_CHECK(again.ok());
  proto::Raft encoded_again;
  EncodeMessage(*again, encoded_again);
  MOKV_CHECK(BytesOf(encoded_again) == BytesOf(encoded));
  if (entries.bytes.empty()) return;
  MOKV_CHECK(EncodeEntries(*std::get<raft::Append>(again->body).entries).bytes == entries.bytes);
}

void CheckForward(const proto::Forward& forward, std::string_view attachment) {
  const auto decoded = DecodeForward(forward, attachment);
  if (!decoded.ok()) return;
  proto::Forward encoded;
  Attachment writes;
  EncodeForward(*decoded, encoded, writes);
  const auto again = DecodeForward(encoded, writes.bytes);
  MOKV_CHECK(again.ok());
  proto::Forward encoded_again;
  Attachment writes_again;
  EncodeForward(*again, encoded_again, writes_again);
  MOKV_CHECK(BytesOf(encoded_again) == BytesOf(encoded));
  MOKV_CHECK(writes_again.bytes == writes.bytes);
}

void CheckAnswer(const proto::ForwardAnswer& answer, std::string_view attachment) {
  const auto decoded = DecodeAnswer(answer, attachment);
  if (!decoded.ok()) return;
  proto::ForwardAnswer encoded;
  Attachment results;
  EncodeAnswer(*decoded, encoded, results);
  const auto again = DecodeAnswer(encoded, results.bytes);
  MOKV_CHECK(again.ok());
  proto::ForwardAnswer encoded_again;
  Attachment results_again;
  EncodeAnswer(*again, encoded_again, results_again);
  MOKV_CHECK(BytesOf(encoded_again) == BytesOf(encoded));
  MOKV_CHECK(results_again.bytes == results.bytes);
}

void CheckRead(const proto::SnapshotRead& read, std::string_view attachment) {
  const auto decoded = DecodeRead(read, attachment);
  if (!decoded.ok()) return;
  proto::SnapshotRead encoded;
  EncodeRead(*decoded, encoded);
  const auto again = DecodeRead(encoded, "");
  MOKV_CHECK(again.ok());
  proto::SnapshotRead encoded_again;
  EncodeRead(*again, encoded_again);
  MOKV_CHECK(BytesOf(encoded_again) == BytesOf(encoded));
}

void CheckChunk(const proto::SnapshotChunk& chunk, std::string_view attachment) {
  const auto decoded = DecodeChunk(chunk, attachment);
  if (!decoded.ok()) return;
  proto::SnapshotChunk encoded;
  Attachment bytes;
  EncodeChunk(*decoded, encoded, bytes);
  MOKV_CHECK(bytes.bytes == attachment);
  const auto again = DecodeChunk(encoded, bytes.bytes);
  MOKV_CHECK(again.ok());
  MOKV_CHECK(again->offset == decoded->offset && again->file_bytes == decoded->file_bytes);
}

void CheckHello(const proto::Frame& frame) {
  LocalNode local{.name = "b", .instance_id = "i", .cluster_id = "c", .allowed_names = {"b"}};
  local.id = raft::NodeIdOf(local.name, local.instance_id);
  const proto::HelloReply reply = AnswerHello(local, frame.hello(), frame.group(), nullptr);
  MOKV_CHECK_LE(reply.refusal_text().size(), kTextBytesMax);
  // What we answer is what our own side takes, unless it was refused.
  const bool taken = CheckReply(local, Expected(), Purpose::kIdentify, reply).ok();
  MOKV_CHECK_EQ(taken, reply.refusal() == proto::HelloReply::NONE);
}

void CheckFrame(std::string_view message, std::string_view attachment) {
  proto::Frame frame;
  if (!frame.ParseFromArray(message.data(), static_cast<int>(message.size()))) return;
  if (frame.has_raft()) CheckRaft(frame.raft(), attachment);
  if (frame.has_forward()) CheckForward(frame.forward(), attachment);
  if (frame.has_forward_answer()) CheckAnswer(frame.forward_answer(), attachment);
  if (frame.has_snapshot_read()) CheckRead(frame.snapshot_read(), attachment);
  if (frame.has_snapshot_chunk()) CheckChunk(frame.snapshot_chunk(), attachment);
  if (frame.has_hello()) CheckHello(frame);
  if (frame.has_hello_reply()) {
    const LocalNode local;
    (void)CheckReply(local, Expected(), Purpose::kSnapshots, frame.hello_reply());
  }
}

struct Outcome {
  absl::Status status;
  std::vector<std::pair<std::string, std::string>> frames;
};

Outcome ReadInPieces(std::string_view stream, size_t piece) {
  Outcome outcome;
  FrameReader reader;
  while (!stream.empty() && outcome.status.ok()) {
    outcome.status = reader.Read(stream.substr(0, piece),
                                 [&](std::string_view message, std::string_view attachment) {
                                   outcome.frames.emplace_back(message, attachment);
                                   return absl::OkStatus();
                                 });
    stream.remove_prefix(std::min(piece, stream.size()));
  }
  return outcome;
}

// Frames of the input: a length of the message and one of the attachment, two bytes each, then
// both.
std::string StreamOf(std::string_view input) {
  std::string stream(kMagic);
  while (input.size() >= 4) {
    const auto byte = [&](size_t i) { return static_cast<unsigned char>(input[i]); };
    const size_t message_bytes = byte(0) + size_t{256} * byte(1);
    const size_t attachment_bytes = byte(2) + size_t{256} * byte(3);
    input.remove_prefix(4);
    FrameBuilder builder(stream);
    stream += input.substr(0, message_bytes);
    input.remove_prefix(std::min(message_bytes, input.size()));
    Attachment attachment;
    attachment.bytes = input.substr(0, attachment_bytes);
    input.remove_prefix(attachment.bytes.size());
    attachment.Seal();
    MOKV_CHECK(builder.EndFrame(&attachment));
    stream += attachment.bytes;
  }
  return stream;
}

void Check(std::string_view stream, size_t piece) {
  const Outcome whole = ReadInPieces(stream, stream.size());
  const Outcome pieces = ReadInPieces(stream, piece);
  MOKV_CHECK(whole.frames == pieces.frames);
  MOKV_CHECK_EQ(whole.status.ok(), pieces.status.ok());
  for (const auto& [message, attachment] : whole.frames) CheckFrame(message, attachment);
}

}  // namespace
}  // namespace mokv::peer

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace mokv::peer;
  if (size == 0) return 0;
  const std::string_view input(reinterpret_cast<const char*>(data) + 1, size - 1);
  const size_t piece = 1 + data[0] % 64;
  Check(input, piece);                                     // As it is: nearly always refused.
  Check(std::string(kMagic) + std::string(input), piece);  // Prefixes of any kind.
  Check(StreamOf(input), piece);                           // Frames that are whole.
  return 0;
}
