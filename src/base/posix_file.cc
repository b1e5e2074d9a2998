#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <utility>

#include "base/check.h"
#include "base/file.h"
#include "base/status.h"

namespace mokv {
namespace {

absl::Status OperationError(std::string_view operation, std::string_view path) {
  const int error = errno;
  return ErrnoStatus(error, fmt::format("{} {}", operation, path));
}

template <typename Call>
auto RetryOnInterrupt(Call call) {
  decltype(call()) result;
  do {
    result = call();
  } while (result == -1 && errno == EINTR);
  return result;
}

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    // Not retried on EINTR: by then Linux has freed the number, which another file may have.
    if (fd_ >= 0) close(fd_);
  }
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;

  bool valid() const { return fd_ >= 0; }
  int get() const { return fd_; }

 private:
  int fd_;
};

class PosixFile final : public File {
 public:
  PosixFile(Descriptor fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}

  absl::Status WriteAt(uint64_t offset, std::string_view bytes) override {
    while (!bytes.empty()) {
      const ssize_t written = pwrite(fd_.get(), bytes.data(), bytes.size(), ToOffset(offset));
      if (written < 0) {
        if (errno == EINTR) continue;
        return OperationError("write", path_);
      }
      // pwrite of one byte or more never returns 0 on a regular file; a loop must not hang on it.
      if (written == 0) return Unavailable("write {}: nothing was written", path_);
      bytes.remove_prefix(static_cast<size_t>(written));
      offset += static_cast<uint64_t>(written);
    }
    return absl::OkStatus();
  }

  absl::StatusOr<uint64_t> ReadInto(uint64_t offset, std::span<char> buffer) const override {
    size_t filled = 0;
    while (filled < buffer.size()) {
      const ssize_t got = pread(fd_.get(), buffer.data() + filled, buffer.size() - filled,
                                ToOffset(offset + filled));
      if (got < 0) {
        if (errno == EINTR) continue;
        return OperationError("read", path_);
      }
      if (got == 0) break;  // The file ends here.
      filled += static_cast<size_t>(got);
    }
    return filled;
  }

  absl::Status Sync() override {
    // Never retried, not even on EINTR: see File::Sync.
    if (fdatasync(fd_.get()) != 0) return OperationError("fdatasync", path_);
    return absl::OkStatus();
  }

  absl::StatusOr<uint64_t> Size() const override {
    struct stat info;
    if (fstat(fd_.get(), &info) != 0) return OperationError("stat", path_);
    return static_cast<uint64_t>(info.st_size);
  }

  absl::Status Truncate(uint64_t size_bytes) override {
    if (RetryOnInterrupt([&] { return ftruncate(fd_.get(), ToOffset(size_bytes)); }) != 0) {
      return OperationError("truncate", path_);
    }
    return absl::OkStatus();
  }

  absl::Status Preallocate(uint64_t size_bytes) override {
    if (size_bytes == 0) return absl::OkStatus();
    if (RetryOnInterrupt([&] { return fallocate(fd_.get(), 0, 0, ToOffset(size_bytes)); }) == 0) {
      return absl::OkStatus();
    }
    if (errno != EOPNOTSUPP && errno != ENOSYS) return OperationError("preallocate", path_);
    // The file system cannot reserve space: at least give the file its size, so that later writes
    // do not have to change it.
    MOKV_ASSIGN_OR_RETURN(const uint64_t current, Size());
    return current < size_bytes ? Truncate(size_bytes) : absl::OkStatus();
  }

 private:
  static off_t ToOffset(uint64_t value) {
    MOKV_CHECK_LE(value, static_cast<uint64_t>(INT64_MAX));
    return static_cast<off_t>(value);
  }

  const Descriptor fd_;
  const std::string path_;
};

class PosixDirectory final : public OpenedDirectory {
 public:
  PosixDirectory(Descriptor fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}

  absl::Status Sync() override {
    if (fsync(fd_.get()) != 0) return OperationError("fsync directory", path_);
    return absl::OkStatus();
  }

 private:
  const Descriptor fd_;
  const std::string path_;
};

class PosixFileLock final : public FileLock {
 public:
  explicit PosixFileLock(Descriptor fd) : fd_(std::move(fd)) {}

 private:
  const Descriptor fd_;  // Closing it ends the lock.
};

// The process id that the holder wrote into its lock file; empty when there is none to read.
std::string HolderOf(int fd) {
  char text[24];
  const ssize_t size = RetryOnInterrupt([&] { return pread(fd, text, sizeof(text), 0); });
  std::string digits;
  for (ssize_t i = 0; i < size && text[i] >= '0' && text[i] <= '9'; ++i) digits += text[i];
  return digits;
}

class RealFileSystem final : public FileSystem {
 public:
  absl::StatusOr<std::unique_ptr<File>> Open(const std::string& path, OpenMode mode) override {
    int flags = O_CLOEXEC;
    switch (mode) {
      case OpenMode::kRead:
        flags |= O_RDONLY;
        break;
      case OpenMode::kReadWrite:
        flags |= O_RDWR;
        break;
      case OpenMode::kCreateNew:
        flags |= O_RDWR | O_CREAT | O_EXCL;
        break;
    }
    Descriptor fd(RetryOnInterrupt([&] { return open(path.c_str(), flags, kFileMode); }));
    if (!fd.valid()) {
      return OperationError(mode == OpenMode::kCreateNew ? "create" : "open", path);
    }
    return std::make_unique<PosixFile>(std::move(fd), path);
  }

  absl::StatusOr<std::vector<std::string>> List(const std::string& directory) override {
    const std::unique_ptr<DIR, int (*)(DIR*)> stream(opendir(directory.c_str()), closedir);
    if (stream == nullptr) return OperationError("list", directory);
    std::vector<std::string> names;
    while (true) {
      errno = 0;  // The only way to tell the end from an error.
      const dirent* entry = readdir(stream.get());
      if (entry == nullptr) break;
      const std::string_view name = entry->d_name;
      if (name != "." && name != "..") names.emplace_back(name);
    }
    if (errno != 0) return OperationError("list", directory);
    std::sort(names.begin(), names.end());
    return names;
  }

  absl::Status CreateDirectories(const std::string& directory) override {
    for (size_t end = 0; end != std::string::npos;) {
      end = directory.find('/', end + 1);
      const std::string prefix = directory.substr(0, end);
      if (mkdir(prefix.c_str(), kDirectoryMode) == 0) continue;
      if (errno != EEXIST && errno != EISDIR) {
        // An ancestor that we may not write to does no harm; only a missing one matters.
        const absl::Status error = OperationError("create directory", prefix);
        if (access(prefix.c_str(), F_OK) != 0) return error;
      }
    }
    struct stat info;
    if (stat(directory.c_str(), &info) != 0) return OperationError("create directory", directory);
    if (!S_ISDIR(info.st_mode)) {
      errno = ENOTDIR;
      return OperationError("create directory", directory);
    }
    return absl::OkStatus();
  }

  absl::Status Rename(const std::string& from, const std::string& to) override {
    if (rename(from.c_str(), to.c_str()) != 0) {
      return OperationError("rename", fmt::format("{} to {}", from, to));
    }
    return absl::OkStatus();
  }

  absl::Status Remove(const std::string& path) override {
    if (unlink(path.c_str()) != 0) return OperationError("remove", path);
    return absl::OkStatus();
  }

  absl::Status SyncDirectory(const std::string& directory) override {
    MOKV_ASSIGN_OR_RETURN(const std::unique_ptr<OpenedDirectory> opened, OpenDirectory(directory));
    return opened->Sync();
  }

  absl::StatusOr<std::unique_ptr<OpenedDirectory>> OpenDirectory(
      const std::string& directory) override {
    Descriptor fd(RetryOnInterrupt(
        [&] { return open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); }));
    if (!fd.valid()) return OperationError("open directory", directory);
    return std::make_unique<PosixDirectory>(std::move(fd), directory);
  }

  absl::StatusOr<std::unique_ptr<FileLock>> Lock(const std::string& path) override {
    Descriptor fd(RetryOnInterrupt(
        [&] { return open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, kFileMode); }));
    if (!fd.valid()) return OperationError("open lock", path);
    if (RetryOnInterrupt([&] { return flock(fd.get(), LOCK_EX | LOCK_NB); }) != 0) {
      if (errno != EWOULDBLOCK) return OperationError("lock", path);
      const std::string holder = HolderOf(fd.get());
      if (holder.empty()) return FailedPrecondition("{} is locked by another process", path);
      return FailedPrecondition("{} is locked by another process (pid {})", path, holder);
    }
    // The id only helps people to find the holder, so failing to write it is not a failure to lock.
    const std::string holder = fmt::format("{}\n", getpid());
    if (ftruncate(fd.get(), 0) == 0) {
      [[maybe_unused]] const ssize_t written = pwrite(fd.get(), holder.data(), holder.size(), 0);
    }
    return std::make_unique<PosixFileLock>(std::move(fd));
  }

 private:
  // Data directories hold what clients stored: for the owner only.
  static constexpr mode_t kFileMode = 0600;
  static constexpr mode_t kDirectoryMode = 0700;
};

}  // namespace

FileSystem& PosixFileSystem() {
  static RealFileSystem file_system;
  return file_system;
}

}  // namespace mokv
