// CrashFileSystem: files in memory that lose what was not synced, for tests of what survives.
//
// Like a page cache over a disk: reads see every write at once; Sync moves a file's writes to the
// disk, SyncDirectory a directory's creations, renames and removals. Of the rest PowerLoss keeps
// any part: whole writes or none, a write torn at any byte, or any set of 512-byte sectors, each as
// it was after any of the writes that touched it; of directory changes those up to some point, or
// any set of them.
//
// Threads:   thread-safe, so that a log thread may write while a test looks.
// Ownership: must outlive the files and locks that it gave out. Files that were open before
//            PowerLoss or Restart fail from then on.
// Not here:  directories themselves are always durable.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
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

  // How many bytes all files together may have; what would grow them further fails with
  // RESOURCE_EXHAUSTED, a write after the part that fits. Bytes that a file has can be written
  // again on a full disk. Nothing: no limit.
  void SetCapacity(std::optional<uint64_t> bytes);
  uint64_t used_bytes() const;
  // While on, every Sync of a file waits, as on a disk that hangs. For tests with threads.
  void HangSyncs(bool hang);

  // Another disk with the same contents, synced; nothing is open or locked there.
  std::unique_ptr<CrashFileSystem> Clone() const;

  // The process dies and the machine stays: nothing is lost, locks end.
  void Restart();
  // The machine dies. What was not synced is decided by `random`.
  void PowerLoss(Random& random);
  // The same, and all of it is there, but for a few words at the end of each file's last write.
  void PowerLossNearEnd(Random& random);

  // Change what is on the disk and in the cache behind everybody's back. CHECK that it exists.
  void FlipBit(const std::string& path, uint64_t bit);
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

    uint64_t end() const { return is_write ? offset + bytes.size() : size; }

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
  static void KeepSomeChanges(Inode& inode, Random& random);
  static void KeepAllButAnEnd(Inode& inode, Random& random);
  static void KeepSomeSectors(Inode& inode, Random& random);
  void BeginAnew() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void KeepSomeNames(Random& random) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  uint64_t UsedBytes() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // How many more bytes `inode` may get.
  uint64_t RoomFor(const Inode& inode) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  absl::Status Begin(Operation operation, const std::string& path)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // `path` tells the directory whose sync makes the change last.
  void ChangeNames(const std::string& path, std::function<void(Directory&)> change)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  mutable Mutex mutex_;
  CondVar syncs_go_on_;
  bool syncs_hang_ ABSL_GUARDED_BY(mutex_) = false;
  std::optional<uint64_t> capacity_bytes_ ABSL_GUARDED_BY(mutex_);
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
