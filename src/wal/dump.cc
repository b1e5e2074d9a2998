#include "wal/dump.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/status.h"
#include "wal/scanner.h"

namespace mokv::wal {
namespace {

// More of a payload is not shown.
constexpr size_t kShownBytesMax = 48;

// Printable ASCII as it is, the rest as \xNN.
std::string Quoted(std::string_view bytes) {
  std::string text = "\"";
  for (const char c : bytes.substr(0, kShownBytesMax)) {
    if (c == '"' || c == '\\') {
      text += '\\';
      text += c;
    } else if (c >= ' ' && c <= '~') {
      text += c;
    } else {
      text += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    }
  }
  text += bytes.size() > kShownBytesMax ? "\".." : "\"";
  return text;
}

std::string TypeName(uint8_t type) {
  switch (static_cast<EntryType>(type)) {
    case EntryType::kNoOp:
      return "no-op";
    case EntryType::kConfiguration:
      return "configuration";
    case EntryType::kCommand:
      return "command";
  }
  return fmt::format("type {}", type);
}

std::string TextOf(const Record& record) {
  switch (record.type) {
    case RecordType::kEntry:
      return fmt::format("entry {} term {} {} {} bytes {}", record.first, record.second,
                         TypeName(record.subtype), record.body.size(), Quoted(record.body));
    case RecordType::kHardState:
      return fmt::format("hard state term {} vote {} commit {}", record.first, Quoted(record.body),
                         record.second);
    case RecordType::kTruncation:
      return fmt::format("truncate from {}", record.first);
    case RecordType::kStart: {
      const SegmentStart start = ToStart(record);
      return fmt::format(
          "start after entry {} term {}, segment {:016x} ends at {:#x}, head {} term {}",
          start.previous.index, start.previous.term, start.previous_end.generation,
          start.previous_end.offset, start.head.index, start.head.term);
    }
    case RecordType::kHead:
      return fmt::format("cut head up to {} term {}", record.first, record.second);
    case RecordType::kReset:
      return fmt::format("reset to {} term {}", record.first, record.second);
  }
  return "unknown record";
}

// The group is shown only if it is not the usual one.
std::string Text(const Record& record) {
  if (record.group == kGroup) return TextOf(record);
  return fmt::format("group {}: {}", record.group, TextOf(record));
}

class Dumper {
 public:
  Dumper(FileSystem& files, absl::AnyInvocable<void(std::string_view)>& print)
      : files_(files), print_(print) {}

  absl::Status Dump(const std::string& path, uint64_t generation) {
    ++summary_.segments;
    MOKV_ASSIGN_OR_RETURN(const std::unique_ptr<File> file,
                          files_.Open(path, FileSystem::OpenMode::kRead));
    MOKV_ASSIGN_OR_RETURN(const uint64_t size, file->Size());
    MOKV_ASSIGN_OR_RETURN(const std::string header, file->ReadAt(0, kSegmentHeaderBytes));
    const absl::StatusOr<SegmentHeader> decoded = DecodeSegmentHeader(header, path);
    if (!decoded.ok()) {
      ++summary_.damages;
      Line("{}  {} bytes", path, size);
      Line("  {}", MessageOf(decoded.status()));
      if (absl::IsFailedPrecondition(decoded.status())) return absl::OkStatus();
    } else {
      Line("{}  {} bytes, version {}", path, size, decoded->version);
      if (decoded->generation != generation) {
        ++summary_.damages;
        Line("  its header says generation {:016x}", decoded->generation);
      }
    }
    version_ = decoded.ok() ? decoded->version : kFormatVersion;
    MOKV_RETURN_IF_ERROR(scanner_.Open(*file, {generation, kSegmentHeaderBytes}, size));
    return DumpBatches();
  }

  const DumpSummary& summary() const { return summary_; }

 private:
  absl::Status DumpBatches() {
    bool any = false;
    while (true) {
      const uint64_t expected = scanner_.offset();
      MOKV_ASSIGN_OR_RETURN(std::optional<Batch> batch, scanner_.Next());
      if (!batch.has_value()) {
        MOKV_ASSIGN_OR_RETURN(const std::string_view rest, scanner_.Peek(kBatchHeaderBytes));
        const bool blank = rest.find_first_not_of('\0') == std::string_view::npos;
        MOKV_ASSIGN_OR_RETURN(batch, scanner_.Search());
        if (!batch.has_value()) {
          Line("  {:#x} {}", expected,
               !blank ? "end; what is here does not verify: cut short, damaged, or being written"
               : any  ? "end"
                      : "ready, not used yet");
          return absl::OkStatus();
        }
        ++summary_.damages;
        Line("  {:#x} damaged: nothing that verifies up to {:#x}", expected, batch->offset);
      }
      any = true;
      DumpBatch(*batch);
    }
  }

  void DumpBatch(const Batch& batch) {
    ++summary_.batches;
    Line("  {:#x} batch of {} bytes, {} records, durable up to {:016x} {:#x}", batch.offset,
         batch.end_offset - batch.offset, batch.record_count, batch.durable.generation,
         batch.durable.offset);
    Record record;
    for (RecordCursor cursor(batch.records); !cursor.done();) {
      if (!cursor.Next(record) || (version_ < kGroupsSinceVersion && record.group != kGroup)) {
        ++summary_.damages;
        Line("    malformed record");
        return;
      }
      if (record.type == RecordType::kEntry) ++summary_.entries;
      Line("    {}", Text(record));
    }
  }

  template <typename... Args>
  void Line(fmt::format_string<Args...> format, Args&&... args) {
    print_(fmt::format(format, std::forward<Args>(args)...));
  }

  FileSystem& files_;
  absl::AnyInvocable<void(std::string_view)>& print_;
  SegmentScanner scanner_;
  uint32_t version_ = 0;  // Of the segment.
  DumpSummary summary_;
};

}  // namespace

absl::StatusOr<DumpSummary> DumpLog(FileSystem& files, const std::string& directory,
                                    absl::AnyInvocable<void(std::string_view line)> print) {
  MOKV_ASSIGN_OR_RETURN(std::vector<std::string> names, files.List(directory));
  Dumper dumper(files, print);
  for (const std::string& name : names) {
    const std::string path = fmt::format("{}/{}", directory, name);
    if (ParseSpareName(name).has_value()) {
      print(fmt::format("{}  spare, not part of the log", path));
    } else if (const std::optional<uint64_t> generation = ParseSegmentName(name)) {
      // One that cannot be read, or was just removed, does not hide the others.
      const absl::Status status = dumper.Dump(path, *generation);
      if (!status.ok()) print(fmt::format("{}  {}", path, MessageOf(status)));
    }
  }
  return dumper.summary();
}

}  // namespace mokv::wal
