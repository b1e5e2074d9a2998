// Frames: how messages lie in a connection's stream of bytes. docs/peer-protocol.md has the layout.
//
// Each direction begins with kMagic. Then frames: a prefix of fixed size, a protobuf message
// (proto::Frame), and an attachment, which may be empty. All numbers are little-endian.
//
//   u32 message bytes | u32 attachment bytes | u64 checksum of the message | u64 of the attachment
//
// The message's checksum is seeded with both lengths, so that it covers the whole prefix.
//
// Threads: plain functions and values.
// Bounds:  lengths are checked before anything else is looked at, and a buffer grows only with what
//          has arrived, not with what was announced.
#pragma once

#include <absl/functional/function_ref.h>
#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace mokv::peer {

// The digit is the version of the framing; the handshake agrees on the version of what is said in
// it. No other protocol of the port begins with these bytes.
inline constexpr std::string_view kMagic = "MOKVRAFT1\n";
inline constexpr std::string_view kAlpn = "mokv-raft/1";

inline constexpr size_t kPrefixBytes = 24;
// Numbers, names and texts; all that is large travels as an attachment.
inline constexpr size_t kMessageBytesMax = size_t{1} << 20;
// One value of the largest size that a node can be configured for (64 MiB) with its key, behind as
// many small entries as one append holds (1 MiB), and room for what surrounds them.
inline constexpr size_t kAttachmentBytesMax = size_t{72} << 20;

struct FrameLimits {
  size_t message_bytes_max = kMessageBytesMax;
  size_t attachment_bytes_max = kAttachmentBytesMax;
};
// For the handshake, before it is known who is there: a few names, each of at most a kilobyte.
inline constexpr FrameLimits kGreetingLimits = {.message_bytes_max = size_t{16} << 10,
                                                .attachment_bytes_max = 0};

// Bytes that several frames may carry, with their checksum, which is computed once.
struct Attachment {
  std::string bytes;
  uint64_t checksum = 0;

  // After `bytes` has been set.
  void Seal();
};

// Writes one frame: the constructor leaves room for the prefix, the caller appends the message, and
// EndFrame fills in the prefix.
class FrameBuilder {
 public:
  // Appends to `out`, which must not be touched otherwise until EndFrame.
  explicit FrameBuilder(std::string& out);
  // The message has been appended to `out`. `attachment` null: none. The caller appends its bytes,
  // or sends them behind `out`. False: too large, and `out` is as before.
  bool EndFrame(const Attachment* attachment);

 private:
  std::string& out_;
  const size_t begin_;
};

// Cuts a stream into frames. After an error it must not be used again.
class FrameReader {
 public:
  // Both are valid during the call only. An error that it returns ends Read.
  using OnFrame =
      absl::FunctionRef<absl::Status(std::string_view message, std::string_view attachment)>;

  explicit FrameReader(FrameLimits limits = FrameLimits()) : limits_(limits) {}

  // They hold from the next frame on. May be called from inside `on_frame`.
  void SetLimits(FrameLimits limits) { limits_ = limits; }

  // INVALID_ARGUMENT when the bytes are not ours, DATA_LOSS when a checksum does not fit.
  absl::Status Read(std::string_view bytes, OnFrame on_frame);

  // Whether the magic, and with it the right protocol, has been seen.
  bool magic_seen() const { return magic_seen_; }

 private:
  // The size of the magic or the frame that `bytes` begins with. While it cannot be told: how many
  // bytes it takes to tell.
  absl::StatusOr<size_t> SizeOf(std::string_view bytes) const;
  absl::Status Take(std::string_view unit, OnFrame on_frame);

  FrameLimits limits_;
  bool magic_seen_ = false;
  std::string buffer_;  // The beginning of what is not complete yet.
};

}  // namespace mokv::peer
