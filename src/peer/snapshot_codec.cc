#include "peer/snapshot_codec.h"

#include <limits>
#include <string>
#include <utility>

#include "base/check.h"
#include "base/status.h"
#include "peer/message_codec.h"

namespace mokv::peer {

using replica::kSnapshotChunkBytesMax;

void EncodeRead(const replica::SnapshotRead& read, proto::SnapshotRead& out) {
  MOKV_CHECK_GT(read.last.index, Index(0));
  MOKV_CHECK_LE(read.bytes_max, kSnapshotChunkBytesMax);
  EncodePosition(read.last, *out.mutable_last());
  out.set_offset(read.offset);
  out.set_bytes_max(read.bytes_max);
}

void EncodeChunk(replica::SnapshotChunk chunk, proto::SnapshotChunk& out, Attachment& attachment) {
  MOKV_CHECK_LE(chunk.bytes.size(), kSnapshotChunkBytesMax);
  if (chunk.offset > chunk.file_bytes) chunk.file_bytes = 0;
  if (!chunk.bytes.empty()) {
    MOKV_CHECK_LT(chunk.offset, chunk.file_bytes);
    MOKV_CHECK_LE(chunk.bytes.size(), chunk.file_bytes - chunk.offset);
  }
  EncodePosition(chunk.last, *out.mutable_last());
  out.set_offset(chunk.offset);
  out.set_file_bytes(chunk.file_bytes);
  attachment.bytes = std::move(chunk.bytes);
  attachment.Seal();
}

absl::StatusOr<replica::SnapshotRead> DecodeRead(const proto::SnapshotRead& read,
                                                 std::string_view attachment) {
  if (!attachment.empty()) return InvalidArgument("an attachment where none belongs");
  MOKV_ASSIGN_OR_RETURN(const raft::Position last, DecodeSnapshotEnd(read.last()));
  if (read.bytes_max() > kSnapshotChunkBytesMax) {
    return InvalidArgument("{} bytes of a snapshot are asked for at once; limit {}",
                           read.bytes_max(), kSnapshotChunkBytesMax);
  }
  if (read.offset() > std::numeric_limits<uint64_t>::max() - read.bytes_max()) {
    return InvalidArgument("no snapshot has bytes at {}", read.offset());
  }
  return replica::SnapshotRead{
      .last = last, .offset = read.offset(), .bytes_max = read.bytes_max()};
}

absl::StatusOr<replica::SnapshotChunk> DecodeChunk(const proto::SnapshotChunk& chunk,
                                                   std::string_view attachment) {
  MOKV_ASSIGN_OR_RETURN(const raft::Position last, DecodeSnapshotEnd(chunk.last()));
  if (attachment.size() > kSnapshotChunkBytesMax) {
    return InvalidArgument("a part of a snapshot has {} bytes; limit {}", attachment.size(),
                           kSnapshotChunkBytesMax);
  }
  // Who does not have it repeats the offset, and says no size.
  const bool is_missing = chunk.file_bytes() == 0 && attachment.empty();
  if (!is_missing && (chunk.offset() > chunk.file_bytes() ||
                      attachment.size() > chunk.file_bytes() - chunk.offset())) {
    return InvalidArgument("a snapshot of {} bytes has no {} at {}", chunk.file_bytes(),
                           attachment.size(), chunk.offset());
  }
  return replica::SnapshotChunk{.last = last,
                                .offset = chunk.offset(),
                                .file_bytes = chunk.file_bytes(),
                                .bytes = std::string(attachment)};
}

}  // namespace mokv::peer
