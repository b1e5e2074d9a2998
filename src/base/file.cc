#include "base/file.h"

#include <algorithm>
#include <utility>

#include "base/status.h"

namespace mokv {
namespace {

std::string DirectoryOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

class NamedDirectory final : public OpenedDirectory {
 public:
  NamedDirectory(FileSystem& files, std::string path) : files_(files), path_(std::move(path)) {}
  absl::Status Sync() override { return files_.SyncDirectory(path_); }

 private:
  FileSystem& files_;
  const std::string path_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<OpenedDirectory>> FileSystem::OpenDirectory(
    const std::string& directory) {
  return std::make_unique<NamedDirectory>(*this, directory);
}

absl::StatusOr<std::string> File::ReadAt(uint64_t offset, uint64_t size_bytes) const {
  // At most what the file has: a caller may ask for everything with a huge size.
  MOKV_ASSIGN_OR_RETURN(const uint64_t file_bytes, Size());
  const uint64_t available = offset < file_bytes ? file_bytes - offset : 0;
  std::string bytes(std::min(size_bytes, available), '\0');
  MOKV_ASSIGN_OR_RETURN(const uint64_t filled, ReadInto(offset, bytes));
  bytes.resize(filled);
  return bytes;
}

absl::Status FileSystem::WriteFileAtomically(const std::string& path, std::string_view bytes) {
  const std::string temporary = path + ".tmp";
  // A crash between creation and rename may have left one.
  absl::Status removed = Remove(temporary);
  if (!removed.ok() && !absl::IsNotFound(removed)) return removed;
  {
    MOKV_ASSIGN_OR_RETURN(std::unique_ptr<File> file, Open(temporary, OpenMode::kCreateNew));
    MOKV_RETURN_IF_ERROR(file->WriteAt(0, bytes));
    // Before the rename: otherwise the new name may stand for an empty file after a crash.
    MOKV_RETURN_IF_ERROR(file->Sync());
  }
  MOKV_RETURN_IF_ERROR(Rename(temporary, path));
  return SyncDirectory(DirectoryOf(path));
}

absl::StatusOr<std::string> FileSystem::ReadFile(const std::string& path) {
  MOKV_ASSIGN_OR_RETURN(std::unique_ptr<File> file, Open(path, OpenMode::kRead));
  MOKV_ASSIGN_OR_RETURN(const uint64_t size_bytes, file->Size());
  return file->ReadAt(0, size_bytes);
}

}  // namespace mokv
