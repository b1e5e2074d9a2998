// CrashFileSystem: files in memory that lose what was not synced, for tests of what survives.
//
// Like a page cache over a disk: reads see every write at once; Sync moves a file's writes to the
// disk, SyncDirectory a directory's creations, renames and removals. PowerLoss keeps of the rest
// any part: each write is lost, kept, or torn at any byte or sector, whatever became of those
// before it; directory changes survive in order up to some point.
//
// Threads:   thread-safe, so that a log thread may write while a test looks.
// Ownership: must outlive the files and locks that it gave out. Files that were open before
// PowerLoss
//            or Restart fail from then on.
// Not here:  directories themselves are always durable.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/file.h"
#include "base/mutex.h"
#include "base/random.h"

namespace mokv {

class CrashFileSystem final : public FileSystem {
 public:
  enum class Operation {
    kCreate,
    kWrite,
    kSync,
    kTruncate,
    kPreallocate,
    kRename,
    kRemove,
    kSyncDirectory,
  };
  // Asked before each operation that changes something; an error is returned to the caller. A write
  // that fails leaves a torn part; a Sync that fails marks the pages clean, as Linux does: reads
  // still see the bytes, the disk never gets them.
  using Fault = std::function<absl::Status(Operation, const std::string& path)>;

  CrashFileSystem();
  ~CrashFileSystem() override;

  void SetFault(Fault fault);
  // The `n`-th change from now (0 is the next) is begun and not finished; all later ones fail.
  void StopAfter(uint64_t n);
  // Whether StopAfter's moment has come.
  bool stopped() const;

  // The process dies and the machine stays: nothing is lost, locks end.
  void Restart();
  // The machine dies. What was not synced is decided by `random`.
  void PowerLoss(Random& random);

  // Changes bytes on the disk and in the cache behind everybody's back. CHECKs that they exist.
  void Damage(const std::string& path, uint64_t offset, std::string_view bytes);
  std::string Contents(const std::string& path) const;

  uint64_t sync_count() const;
  uint64_t operation_count() const;

  absl::StatusOr<std::unique_ptr<File>> Open(const std::string& path, OpenMode mode) override;
  absl::StatusOr<std::vector<std::string>> List(const std::string& directory) override;
  absl::Status CreateDirectories(const std::string& directory) override;
  absl::Status Rename(const std::string& from, const std::string& to) override;
  absl::Status Remove(const std::string& path) override;
  absl::Status SyncDirectory(const std::string& directory) override;
  absl::StatusOr<std::unique_ptr<FileLock>> Lock(const std::string& path) override;

 private:
  class OpenFile;
  class HeldLock;

  struct Change {
    static Change Write(uint64_t offset, std::string bytes) {
      return {true, offset, std::move(bytes), 0, false};
    }
    static Change Resize(uint64_t size, bool grow_only) { return {false, 0, {}, size, grow_only}; }

    bool is_write = false;
    uint64_t offset = 0;
    std::string bytes;
    uint64_t size = 0;       // Of a change of size.
    bool grow_only = false;  // Preallocate.
  };
  struct Inode {
    std::string cache;
    std::string disk;
    std::vector<Change> unsynced;
  };
  using Directory = std::map<std::string, std::shared_ptr<Inode>>;  // By whole path.

  struct NameChange {
    std::string directory;
    std::function<void(Directory&)> apply;
  };

  static void Apply(const Change& change, std::string& contents);
  static void ApplyTorn(const Change& change, Random& random, std::string& contents);

  absl::Status Begin(Operation operation, const std::string& path)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // `path` tells the directory whose sync makes the change last.
  void ChangeNames(const std::string& path, std::function<void(Directory&)> change)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  mutable Mutex mutex_;
  Fault fault_ ABSL_GUARDED_BY(mutex_);
  bool stop_armed_ ABSL_GUARDED_BY(mutex_) = false;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  uint64_t stop_after_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t life_ ABSL_GUARDED_BY(mutex_) = 0;  // Grows with each death; files know theirs.
  uint64_t syncs_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t operations_ ABSL_GUARDED_BY(mutex_) = 0;
  std::set<std::string> directories_ ABSL_GUARDED_BY(mutex_);
  std::set<std::string> locks_ ABSL_GUARDED_BY(mutex_);
  Directory cache_ ABSL_GUARDED_BY(mutex_);
  Directory disk_ ABSL_GUARDED_BY(mutex_);
  std::vector<NameChange> unsynced_names_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace mokv
