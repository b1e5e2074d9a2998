// Arbitrary bytes as the files of a log: opening it, reading it back, going on
// with it and printing it never crash, hang or take memory without bound,
// whatever the files hold. The input is cut into files at every kSeparator.
// Checksums of headers and batches are mended first, so that what lies behind
// them is reached: the first byte of the input says whether.
#include <cstdint>
#include <cstring>

#include "base/check.h"
#include "base/checksum.h"
#include "base/logging.h"
#include "base/status.h"
#include "base/testing/crash_file_system.h"
#include "base/testing/manual_executor.h"
#include "wal/dump.h"
#include "wal/format.h"
#include "wal/log.h"

namespace mokv::wal {
namespace {

constexpr std::string_view kSeparator = "####";
constexpr size_t kFilesMax = 8;
constexpr std::string_view kDirectory = "/log";

// Gives the batch at `offset` its place and its checksum. Returns where the next one would be.
size_t MendBatch(std::string& bytes, size_t offset, uint64_t generation) {
  const uint64_t place = offset;
  std::memcpy(&bytes[offset + 16], &generation, sizeof(generation));
  std::memcpy(&bytes[offset + 24], &place, sizeof(place));
  uint32_t length = 0;
  std::memcpy(&length, &bytes[offset + 8], sizeof(length));
  const size_t room = bytes.size() - offset - kBatchHeaderBytes;
  length = static_cast<uint32_t>(std::min<size_t>(length, room) / kAlignment * kAlignment);
  std::memcpy(&bytes[offset + 8], &length, sizeof(length));
  const size_t size = kBatchHeaderBytes + length;
  const uint64_t checksum =
      Checksum64(std::string_view(bytes).substr(offset + 8, size - 8), generation);
  std::memcpy(&bytes[offset], &checksum, sizeof(checksum));
  return offset + size;
}

std::string Mended(std::string_view input, uint64_t generation) {
  std::string bytes = EncodeSegmentHeader(generation).substr(0, kSegmentHeaderBytes);
  bytes += input;
  for (size_t offset = kSegmentHeaderBytes; offset + kBatchHeaderBytes <= bytes.size();) {
    offset = MendBatch(bytes, offset, generation);
  }
  return bytes;
}

void WriteFiles(CrashFileSystem& files, std::string_view input, bool mend) {
  MOKV_CHECK(files.CreateDirectories(std::string(kDirectory)).ok());
  for (uint64_t generation = 1; generation <= kFilesMax; ++generation) {
    const size_t end = input.find(kSeparator);
    const std::string_view part = input.substr(0, end);
    const auto file = files.Open(fmt::format("{}/{}", kDirectory, SegmentName(generation)),
                                 FileSystem::OpenMode::kCreateNew);
    MOKV_CHECK(file.ok());
    const std::string bytes = mend ? Mended(part, generation) : std::string(part);
    MOKV_CHECK((*file)->WriteAt(0, bytes).ok() && (*file)->Sync().ok());
    if (end == std::string_view::npos) return;
    input.remove_prefix(end + kSeparator.size());
  }
}

void Use(CrashFileSystem& files) {
  ManualExecutor executor;
  Options options;
  options.directory = kDirectory;
  options.segment_bytes = 4096;
  Log::Callbacks callbacks;
  callbacks.on_durable = [](const Durable&) {};
  callbacks.on_failure = [](const absl::Status& status) {
    CheckFailed(__FILE__, __LINE__, std::string(MessageOf(status)));
  };
  auto log = Log::Open(files, SystemClock(), executor, executor, options, std::move(callbacks),
                       [](const EntryView&) { return absl::OkStatus(); });
  if (!log.ok()) return;
  const FoundLog& found = (*log)->found();
  if (found.last_index >= found.first_index) {
    MOKV_CHECK((*log)->Read(found.first_index, UINT64_MAX).ok());
  }
  // Close to the greatest possible index, the log cannot go on.
  if (found.last_index < Index(UINT64_MAX / 2)) {
    AppendRequest request;
    request.entries.push_back(
        {found.last_index.next(), found.last_term, EntryType::kNoOp, nullptr});
    (*log)->Append(Ticket(1), std::move(request));
    executor.RunAll();
  }
  (*log)->Close();
}

}  // namespace
}  // namespace mokv::wal

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace mokv;
  SetLogLevel(LogLevel::kError);
  if (size == 0) return 0;
  const std::string_view input(reinterpret_cast<const char*>(data + 1), size - 1);
  CrashFileSystem files;
  wal::WriteFiles(files, input, data[0] % 2 == 0);
  (void)wal::DumpLog(files, "/log", [](std::string_view) {});
  wal::Use(files);
  // The log can read what it has mended.
  files.Restart();
  wal::Use(files);
  return 0;
}
