// The file interface: the lowest seam to disks, so that tests can lose, tear and flip bytes under
// the real log. Nothing else of ours touches files on a data path.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace mokv {

// One open file. Confined to one thread at a time. The destructor closes it, and ignores errors:
// what must last has been synced before.
class File {
 public:
  virtual ~File() = default;

  // Writes all of `bytes` at `offset`, or fails. RESOURCE_EXHAUSTED means that no space was left.
  virtual absl::Status WriteAt(uint64_t offset, std::string_view bytes) = 0;
  // Fills `buffer` from `offset` on; fewer bytes than it has room for mean that the file ends
  // there.
  virtual absl::StatusOr<uint64_t> ReadInto(uint64_t offset, std::span<char> buffer) const = 0;
  // The same into a string of at most `size_bytes`.
  absl::StatusOr<std::string> ReadAt(uint64_t offset, uint64_t size_bytes) const;
  // fdatasync: contents and the size needed to read them back. A failure is final for the caller:
  // the kernel may have dropped the pages that it failed to write.
  virtual absl::Status Sync() = 0;
  virtual absl::StatusOr<uint64_t> Size() const = 0;
  virtual absl::Status Truncate(uint64_t size_bytes) = 0;
  // Reserves space and grows the file to `size_bytes`, never shrinks it; bytes not yet written read
  // as zero. RESOURCE_EXHAUSTED means that no space was left.
  virtual absl::Status Preallocate(uint64_t size_bytes) = 0;
};

// A directory that is kept open. Thread-safe.
class OpenedDirectory {
 public:
  virtual ~OpenedDirectory() = default;

  // Makes creations, renames and removals in it last. A failure is final, as that of File::Sync.
  virtual absl::Status Sync() = 0;
};

// The lock is held while this lives.
class FileLock {
 public:
  virtual ~FileLock() = default;
};

// Thread-safe. Paths are as the operating system takes them.
class FileSystem {
 public:
  virtual ~FileSystem() = default;

  enum class OpenMode { kRead, kReadWrite, kCreateNew };
  virtual absl::StatusOr<std::unique_ptr<File>> Open(const std::string& path, OpenMode mode) = 0;
  // Names (not paths) in a directory, sorted.
  virtual absl::StatusOr<std::vector<std::string>> List(const std::string& directory) = 0;
  // Like mkdir -p.
  virtual absl::Status CreateDirectories(const std::string& directory) = 0;
  virtual absl::Status Rename(const std::string& from, const std::string& to) = 0;
  virtual absl::Status Remove(const std::string& path) = 0;
  // Makes creations, renames and removals in `directory` last. Like any open, this may fail only
  // because there is no descriptor left, and then nothing tells that from a failure to sync.
  virtual absl::Status SyncDirectory(const std::string& directory) = 0;
  // For who may not fail then. What this returns must not outlive the file system. By default its
  // Sync calls SyncDirectory.
  virtual absl::StatusOr<std::unique_ptr<OpenedDirectory>> OpenDirectory(
      const std::string& directory);
  // An exclusive lock on `path` (created if missing) that ends with the process.
  // FAILED_PRECONDITION when another process holds it.
  virtual absl::StatusOr<std::unique_ptr<FileLock>> Lock(const std::string& path) = 0;

  // Writes a whole small file so that after a crash it is either the old one or the new one:
  // temporary file, sync, rename, directory sync.
  absl::Status WriteFileAtomically(const std::string& path, std::string_view bytes);
  absl::StatusOr<std::string> ReadFile(const std::string& path);
};

// The machine's files. Lives for the whole process.
FileSystem& PosixFileSystem();

}  // namespace mokv
