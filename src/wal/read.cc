#include "wal/read.h"

#include <algorithm>

#include "base/check.h"
#include "base/status.h"
#include "wal/scanner.h"

namespace mokv::wal {

bool TakeBytes(uint64_t payload_bytes, bool is_first, uint64_t& payload_bytes_left) {
  if (payload_bytes > payload_bytes_left && !is_first) return false;
  payload_bytes_left -= std::min(payload_bytes, payload_bytes_left);
  return true;
}

absl::Status ReadExtent(FileSystem& files, const std::string& directory, const Extent& extent,
                        Index first, Index last, uint64_t& payload_bytes_left,
                        std::vector<Entry>& entries) {
  MOKV_CHECK_GE(first, extent.first);
  MOKV_CHECK_LE(last, extent.last);
  const std::string path = fmt::format("{}/{}", directory, SegmentName(extent.start.generation));
  MOKV_ASSIGN_OR_RETURN(const std::unique_ptr<File> file,
                        files.Open(path, FileSystem::OpenMode::kRead));
  SegmentScanner scanner;
  MOKV_RETURN_IF_ERROR(scanner.Open(*file, extent.start, extent.end_offset));
  Index next = extent.first;
  while (next <= last) {
    const uint64_t offset = scanner.offset();
    const auto damaged = [&] {
      return DataLoss("{}: damaged at offset {}: a batch that was durable does not verify", path,
                      offset);
    };
    MOKV_ASSIGN_OR_RETURN(const std::optional<Batch> batch, scanner.Next());
    if (!batch.has_value()) return damaged();
    Record record;
    for (RecordCursor cursor(batch->records); !cursor.done() && next <= last;) {
      if (!cursor.Next(record) || record.group != kGroup) return damaged();
      if (record.type != RecordType::kEntry) continue;
      if (Index(record.first) != next) return damaged();
      ++next;
      if (Index(record.first) < first) continue;
      if (!TakeBytes(record.body.size(), entries.empty(), payload_bytes_left)) {
        payload_bytes_left = 0;
        return absl::OkStatus();
      }
      Entry entry{.index = Index(record.first),
                  .term = Term(record.second),
                  .type = static_cast<EntryType>(record.subtype),
                  .payload = nullptr};
      if (!record.body.empty()) entry.payload = std::make_shared<const std::string>(record.body);
      entries.push_back(std::move(entry));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Entry>> ReadPlanned(FileSystem& files, const std::string& directory,
                                               const ReadPlan& plan) {
  std::vector<Entry> entries;
  uint64_t left = plan.payload_bytes_max;
  Index next = plan.first;
  for (const Extent& extent : plan.extents) {
    MOKV_RETURN_IF_ERROR(ReadExtent(files, directory, extent, next, extent.last, left, entries));
    next = plan.first + entries.size();
    if (next <= extent.last) return entries;
  }
  for (const Entry& entry : plan.unsynced) {
    if (!TakeBytes(entry.bytes().size(), entries.empty(), left)) break;
    entries.push_back(entry);
  }
  return entries;
}

}  // namespace mokv::wal
