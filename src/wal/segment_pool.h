// SegmentPool: keeps segment files ready before the log needs them. So starting one costs the log
// thread nothing, and the log knows before it accepts a write that there is space for it. Files cut
// off at the head of the log are used again.
//
// A ready segment has its name and header, all its space, and contents that were written before
// (zero bytes, or an old segment's): overwriting them is what makes fdatasync cheap
// (docs/decisions/0006-log-segments.md).
//
// Threads: thread-safe. The work is done in tasks of the background executor, one at a time; the
//          pool must outlive them. `on_change` is called from there after a segment has become
//          ready, space has run out, or something has failed.
// Errors:  no space, or no descriptor, is a state that ends by itself: see Retry. Any other error is final, since a
//          disk that fails here will not spare the log.
#pragma once

#include <absl/functional/any_invocable.h>
#include <absl/status/status.h>

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/executor.h"
#include "base/file.h"
#include "base/mutex.h"

namespace mokv::wal {

// For an operation that may not be tried again, whatever its status (every kind of fsync): a lack
// of space, which elsewhere passes, becomes an ordinary error.
absl::Status FinalError(absl::Status status);

class SegmentPool {
 public:
  struct Segment {
    uint64_t generation = 0;
    std::unique_ptr<File> file;
    uint64_t capacity_bytes = 0;
  };
  // A segment file that is no part of the log any more, or not yet.
  struct UnusedFile {
    uint64_t generation = 0;
    uint64_t size_bytes = 0;
  };
  struct Options {
    std::string directory;
    uint64_t segment_bytes = 0;
    size_t ready_goal = 2;
  };
  // What a start found in the directory.
  struct Contents {
    std::vector<Segment> ready;       // By generation.
    std::vector<UnusedFile> retired;  // Under the names of segments.
    std::vector<UnusedFile> spares;
    uint64_t next_generation = 1;
  };
  struct Stats {
    uint64_t ready_segments = 0;
    uint64_t ready_bytes = 0;
    uint64_t largest_ready_bytes = 0;
    uint64_t disk_bytes = 0;    // Of all files that are the pool's.
    uint64_t made = 0;          // Files that were created.
    uint64_t reused = 0;        // Files that were used again.
    uint64_t filled_bytes = 0;  // Zero bytes written into new files.
  };

  // `directory` is that of the options. It stays open, since a sync that failed only because there
  // was no descriptor for it would be as final as any.
  SegmentPool(FileSystem& files, std::unique_ptr<OpenedDirectory> directory, Executor& background,
              Options options, Contents contents, absl::AnyInvocable<void()> on_change);

  // Begins to work; before it nothing is posted.
  void Start() { Schedule(); }
  // Does nothing more.
  void Stop();
  // The ready segment of the lowest generation that has room for a batch of `bytes`, or of the
  // lowest if none has. Those passed over are prepared anew, since generations only grow.
  std::optional<Segment> Take(uint64_t bytes);
  bool HasReadyFor(uint64_t bytes) const;
  // A ready segment with room for a batch of `bytes` is to be there besides those of the goal. Asked
  // again as long as it is not, since it is taken like any other, and there may be no space for it.
  void Want(uint64_t bytes);
  // Segment files that the log does not need any more; from now on they are the pool's.
  void Retire(const std::vector<UnusedFile>& files);
  // After a lack of space: tries again.
  void Retry();
  // On the calling thread, does what it takes to have one segment ready, also after a lack of space.
  void PrepareOne();

  // OK, RESOURCE_EXHAUSTED while there is no space for as many ready segments as there should be,
  // or an error that is final.
  absl::Status status() const;
  Stats stats() const;

 private:
  void Schedule();
  void Work();
  // One thing to do; false when there is none.
  bool WorkOnce();
  // How many ready segments of the usual size are missing.
  uint64_t Missing() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool IsReadyFor(uint64_t bytes) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Settle(const absl::Status& status);
  absl::Status MoveRetired(const std::vector<UnusedFile>& retired);
  absl::Status MoveOne(const UnusedFile& retired, std::vector<UnusedFile>& kept);
  absl::Status PrepareSpare(const UnusedFile& spare, uint64_t generation);
  absl::Status UseSpare(const UnusedFile& spare, uint64_t generation);
  absl::Status PrepareNew(uint64_t generation, uint64_t size_bytes);
  absl::Status PrepareWanted(uint64_t generation, uint64_t size_bytes);
  absl::Status FillWithZeros(File& file, uint64_t size_bytes);
  absl::Status Finish(std::unique_ptr<File> file, const std::string& path, uint64_t generation);
  std::string PathOf(const std::string& name) const;

  FileSystem& files_;
  const std::unique_ptr<OpenedDirectory> directory_;
  Executor& background_;
  const Options options_;
  absl::AnyInvocable<void()> on_change_;
  Mutex work_mutex_;  // Held by whoever works.

  mutable Mutex mutex_;
  std::deque<Segment> ready_ ABSL_GUARDED_BY(mutex_);
  std::vector<UnusedFile> retired_ ABSL_GUARDED_BY(mutex_);  // Still under their names.
  std::vector<UnusedFile> spares_ ABSL_GUARDED_BY(mutex_);
  uint64_t work_bytes_ ABSL_GUARDED_BY(mutex_) = 0;    // Of files in the hands of WorkOnce.
  uint64_t wanted_bytes_ ABSL_GUARDED_BY(mutex_) = 0;  // See Want; 0: nothing.
  uint64_t next_generation_ ABSL_GUARDED_BY(mutex_);
  absl::Status status_ ABSL_GUARDED_BY(mutex_);
  bool scheduled_ ABSL_GUARDED_BY(mutex_) = false;
  bool told_no_space_ ABSL_GUARDED_BY(mutex_) = false;
  Stats stats_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace mokv::wal
