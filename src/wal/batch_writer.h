// BatchWriter: takes what has queued, writes it batch by batch, and tells of each that is durable.
//
// Threads: confined to the log thread. The constructor, Start and Finish run on the caller's,
//          before the log thread has anything to do, and after it has stopped.
// Owner:   borrows all but what it is constructed from by value.
// Errors:  no space is a state: what found none stays first in line. Any other error is final: it
//          is told once, and nothing is written any more.
#pragma once

#include <absl/status/status.h>

#include <cstddef>
#include <deque>

#include "base/clock.h"
#include "base/log_entry.h"
#include "wal/format.h"
#include "wal/head_sealer.h"
#include "wal/log.h"
#include "wal/queued_write.h"
#include "wal/segment_pool.h"
#include "wal/segment_writer.h"
#include "wal/space.h"
#include "wal/synced_log.h"
#include "wal/write_queue.h"

namespace mokv::wal {

class BatchWriter {
 public:
  struct Context {
    const Clock& clock;
    Space& space;
    WriteQueue& queue;
    SyncedLog& synced;
    SegmentPool& pool;
  };
  // The log as it is on disk.
  struct State {
    EntryId head;  // Cut off up to here.
    EntryId last;
    HardState hard_state;
  };

  BatchWriter(Context context, Log::Callbacks callbacks, State state, SegmentWriter writer,
              HeadSealer sealer);

  // Prepares the first segment of a new log: RESOURCE_EXHAUSTED when there is no space for it.
  absl::Status Start();
  // The task of the queue.
  void Drain();
  // Writes what is still queued, as far as there is space, and closes the files. False: not all of
  // it could be written.
  bool Finish();

 private:
  struct Batch;

  absl::Status WriteQueued();
  size_t EncodeBatch();
  absl::Status NextSegment(uint64_t bytes);
  void Publish(const Batch& batch);
  SyncedBatch Settle(const Batch& batch);
  void QueueSeal(Ticket ticket);
  void UpdateRoom();
  void UpdateFiles();
  void Fail(const absl::Status& status);

  const Context context_;
  Log::Callbacks callbacks_;
  State state_;
  SegmentWriter writer_;
  HeadSealer sealer_;
  std::deque<QueuedWrite> taken_;  // From the queue, not written yet.
  BatchBuilder builder_;
};

}  // namespace mokv::wal
