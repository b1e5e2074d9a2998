#include "snapshot/reader.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/status.h"

namespace mokv::snapshot {
namespace {

// Read at a time: many blocks.
constexpr size_t kReadBytes = size_t{1} << 20;

}  // namespace

Reader::Reader(const File& file, std::string path, EntryId last, uint64_t file_bytes)
    : file_(&file),
      path_(std::move(path)),
      last_(last),
      seed_(SeedOf(last)),
      file_bytes_(file_bytes) {}

absl::StatusOr<Reader> Reader::Open(const File& file, std::string path) {
  MOKV_ASSIGN_OR_RETURN(const uint64_t file_bytes, file.Size());
  MOKV_ASSIGN_OR_RETURN(const std::string header, file.ReadAt(0, kHeaderBytes));
  if (header.size() < kHeaderBytes) {
    return DataLoss("{}: {} bytes are no snapshot", path, file_bytes);
  }
  const absl::StatusOr<EntryId> last = DecodeHeader(header);
  if (!last.ok()) {
    return absl::Status(last.status().code(),
                        fmt::format("{}: {}", path, MessageOf(last.status())));
  }
  return Reader(file, std::move(path), *last, file_bytes);
}

absl::Status Reader::Damage(std::string_view what) const {
  return DataLoss("{}: block {}, at offset {}, {}", path_, seen_.blocks, offset_, what);
}

absl::Status Reader::Refuse(const absl::Status& reason) const {
  return absl::Status(reason.code(),
                      fmt::format("{}: block {}, at offset {}: {}", path_, seen_.blocks - 1,
                                  block_offset_, MessageOf(reason)));
}

absl::Status Reader::Fill(size_t bytes) {
  if (buffer_.size() - begin_ >= bytes) return absl::OkStatus();
  if (file_bytes_ - offset_ < bytes) return Damage("is cut off: the file ends within it");
  buffer_.erase(0, std::exchange(begin_, 0));
  const size_t have = buffer_.size();
  const uint64_t left = file_bytes_ - offset_ - have;
  const auto more =
      static_cast<size_t>(std::min<uint64_t>(left, std::max(bytes - have, kReadBytes)));
  buffer_.resize(have + more);
  MOKV_ASSIGN_OR_RETURN(const uint64_t got,
                        file_->ReadInto(offset_ + have, {buffer_.data() + have, more}));
  if (got < more) return Damage("is cut off: the file has become shorter");
  return absl::OkStatus();
}

absl::StatusOr<std::optional<BlockView>> Reader::Next() {
  MOKV_RETURN_IF_ERROR(Fill(kBlockHeaderBytes));
  const auto rest = [this] { return std::string_view(buffer_).substr(begin_); };
  absl::StatusOr<BlockHeader> header = DecodeBlockHeader(rest(), offset_);
  if (!header.ok()) return Damage("has a header that is none");
  const size_t size = kBlockHeaderBytes + header->payload_bytes;
  MOKV_RETURN_IF_ERROR(Fill(size));
  if (!Verifies(rest().substr(0, size), header->checksum, seed_)) return Damage("does not verify");
  const std::string_view payload = rest().substr(kBlockHeaderBytes, header->payload_bytes);
  if (header->section == kEndSection) return End(payload);
  section_ = std::move(header->section);
  block_offset_ = offset_;
  ++seen_.blocks;
  seen_.records += header->records;
  offset_ += size;
  begin_ += size;
  return BlockView{section_, payload, header->records};
}

absl::StatusOr<std::optional<BlockView>> Reader::End(std::string_view payload) {
  const std::optional<EndRecord> end = DecodeEnd(payload);
  if (!end.has_value() || end->blocks != seen_.blocks || end->records != seen_.records) {
    return Damage(fmt::format("ends a file of {} blocks and {} records, and {} and {} were there",
                              end.value_or(EndRecord()).blocks, end.value_or(EndRecord()).records,
                              seen_.blocks, seen_.records));
  }
  if (offset_ + kBlockHeaderBytes + payload.size() != file_bytes_) {
    return Damage("is the last one, but the file goes on behind it");
  }
  return std::nullopt;
}

}  // namespace mokv::snapshot
