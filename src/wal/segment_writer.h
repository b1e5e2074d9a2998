// SegmentWriter: the end of the log: the segment that batches are written to, one after the other.
//
// Threads: confined to the log thread. Errors: RESOURCE_EXHAUSTED from Write and Extend means that
// nothing has happened and the same may be tried again; any other error is final.
#pragma once

#include <absl/status/status.h>

#include <memory>
#include <string>
#include <utility>

#include "base/clock.h"
#include "base/file.h"
#include "wal/format.h"
#include "wal/segment_pool.h"

namespace mokv::wal {

class SegmentWriter {
 public:
  // Goes on at `end` of `file`; both empty in a new log.
  SegmentWriter(std::unique_ptr<File> file, Position end, uint64_t capacity_bytes)
      : file_(std::move(file)), write_at_(end), durable_(end), capacity_bytes_(capacity_bytes) {}

  bool has_segment() const { return file_ != nullptr; }
  // Whether the segment is part of the log, which it is from its first batch on.
  bool started() const { return start_.empty(); }
  // Size of the segment's file.
  uint64_t capacity_bytes() const { return capacity_bytes_; }
  // For a batch with its header.
  uint64_t room_bytes() const;
  // The log is durable up to here.
  Position end() const { return durable_; }
  // Where the next batch goes.
  Position next_batch() const { return {write_at_.generation, write_at_.offset + start_.size()}; }

  // The next batch begins `segment`; it goes on after entry `previous`.
  void Use(SegmentPool::Segment segment, EntryId previous, EntryId head,
           const HardState& hard_state);
  // Gives up the segment, which is not started: the log goes on as if it had never been used.
  SegmentPool::UnusedFile Abandon();
  // Makes room in a segment that is not started for a batch of `bytes`.
  absl::Status Extend(uint64_t bytes);
  // Writes the batch, which there must be room for, and syncs. `sync_time` is set on success.
  absl::Status Write(BatchBuilder& batch, const Clock& clock, Duration& sync_time);
  void Close() { file_.reset(); }

 private:
  std::unique_ptr<File> file_;
  Position write_at_;
  Position durable_;
  uint64_t capacity_bytes_ = 0;
  std::string start_;  // First batch of a segment that is not started; else empty.
};

}  // namespace mokv::wal
