#include "wal/batch_writer.h"

#include <utility>

#include "base/check.h"
#include "base/status.h"

namespace mokv::wal {
namespace {

// A batch stops growing here, so that a long queue is not one long silence: later appends wait, but
// the first ones are acknowledged after a few milliseconds of writing.
constexpr uint64_t kBatchBytesGoal = uint64_t{8} << 20;

}  // namespace

// The first `items` of taken_, which are durable.
struct BatchWriter::Batch {
  size_t items = 0;
  Position start;
  uint64_t end_offset = 0;  // As start.offset where there was nothing to write.
  bool starts_segment = false;
};

BatchWriter::BatchWriter(Context context, Log::Callbacks callbacks, State state,
                         SegmentWriter writer, HeadSealer sealer)
    : context_(context),
      callbacks_(std::move(callbacks)),
      state_(std::move(state)),
      writer_(std::move(writer)),
      sealer_(std::move(sealer)) {}

absl::Status BatchWriter::Start() {
  SegmentPool& pool = context_.pool;
  if (!writer_.has_segment() && pool.stats().ready_segments == 0) {
    pool.PrepareOne();
    MOKV_RETURN_IF_ERROR(pool.stats().ready_segments > 0 ? absl::OkStatus() : pool.status());
  }
  UpdateRoom();
  UpdateFiles();
  if (sealer_.has_superfluous()) QueueSeal(Ticket(0));
  return absl::OkStatus();
}

void BatchWriter::Drain() {
  context_.queue.TakeAll(taken_);
  if (context_.queue.failed()) return;
  absl::Status status = context_.pool.status();
  if (absl::IsResourceExhausted(status)) status = absl::OkStatus();
  UpdateRoom();
  while (status.ok() && !taken_.empty()) status = WriteQueued();
  // Space may come: the pool tells, or Log::Tick tries again.
  const bool waits = absl::IsResourceExhausted(status);
  context_.space.SetWaiting(waits);
  if (!status.ok() && !waits) Fail(status);
}

// Writes one batch, or starts the segment that it needs.
absl::Status BatchWriter::WriteQueued() {
  const size_t items = EncodeBatch();
  if (items == 0) return NextSegment(taken_.front().bytes_max);
  Batch batch{.items = items, .start = writer_.next_batch()};
  batch.end_offset = batch.start.offset;
  // What changes nothing is as durable as what came before it.
  if (builder_.record_count() == 0) {
    Publish(batch);
    return absl::OkStatus();
  }
  batch.starts_segment = !writer_.started();
  Duration sync_time{0};
  MOKV_RETURN_IF_ERROR(writer_.Write(builder_, context_.clock, sync_time));
  batch.end_offset = writer_.end().offset;
  if (batch.starts_segment) {
    sealer_.OnSegmentStarted(
        {batch.start.generation, state_.last.index.next(), writer_.capacity_bytes()});
  }
  Publish(batch);
  if (callbacks_.on_sync) callbacks_.on_sync(sync_time);
  return absl::OkStatus();
}

// Fills builder_ with as many items as fit, up to the goal, and returns how many. Of several hard
// states only the last one matters: the batch is there as a whole or not at all.
size_t BatchWriter::EncodeBatch() {
  const uint64_t room = writer_.room_bytes();
  const HardState* hard_state = nullptr;
  uint64_t used = kBatchHeaderBytes;
  size_t items = 0;
  builder_.Clear();
  for (; items < taken_.size(); ++items) {
    const QueuedWrite& item = taken_[items];
    used += item.bytes_max - kBatchHeaderBytes;
    if (used > room) break;
    if (items > 0 && (used > kBatchBytesGoal || item.begins_batch())) break;
    if (item.truncate_from.has_value()) builder_.AddTruncation(*item.truncate_from);
    if (item.reset.has_value()) builder_.AddReset(*item.reset);
    if (item.head.has_value()) builder_.AddHead(*item.head);
    for (size_t i = item.block.begin; i < item.block.end; ++i) {
      builder_.AddEntry((*item.block.entries)[i]);
    }
    if (item.hard_state.has_value()) hard_state = &*item.hard_state;
  }
  if (hard_state != nullptr) builder_.AddHardState(*hard_state);
  return items;
}

// One with room for `bytes`, if there is space for it.
absl::Status BatchWriter::NextSegment(uint64_t bytes) {
  // One that was taken and could not be extended is not all there is if others are ready by now.
  if (!writer_.started() && context_.pool.HasReadyFor(bytes)) {
    context_.pool.Retire({writer_.Abandon()});
  }
  if (writer_.started()) {
    std::optional<SegmentPool::Segment> segment = context_.pool.Take(bytes);
    if (!segment.has_value()) return ResourceExhausted("no segment is ready");
    writer_.Use(std::move(*segment), state_.last, state_.head, state_.hard_state);
  }
  // An item that nobody was asked for may be too large for any.
  absl::Status status;
  if (writer_.room_bytes() < bytes) status = writer_.Extend(bytes);
  UpdateRoom();
  UpdateFiles();
  return status;
}

void BatchWriter::Publish(const Batch& batch) {
  HeadSealer::Batch sealed{.head_before = state_.head, .starts_segment = batch.starts_segment};
  uint64_t bytes = 0;
  for (size_t i = 0; i < batch.items; ++i) {
    bytes += taken_[i].bytes_max;
    sealed.is_seal = sealed.is_seal || taken_[i].seals_head;
  }
  const SyncedBatch synced = Settle(batch);
  sealed.moves_head = synced.head.has_value();
  const Durable durable{taken_[batch.items - 1].ticket, state_.last.index, state_.last.term};
  taken_.erase(taken_.begin(), taken_.begin() + static_cast<std::ptrdiff_t>(batch.items));

  context_.synced.Add(synced);
  context_.queue.OnDurable(taken_.empty() ? std::nullopt : std::optional(taken_.front().since));
  // In this order, so that Space::Admit, which looks at both, never sees too much.
  UpdateRoom();
  context_.space.OnDurable(bytes);
  context_.synced.SetDurable(durable.ticket);
  if (sealer_.OnBatch(sealed)) QueueSeal(durable.ticket);
  UpdateFiles();
  callbacks_.on_durable(durable);
}

// Brings state_ to where the log is after the batch. Returns what the batch changed.
SyncedBatch BatchWriter::Settle(const Batch& batch) {
  SyncedBatch synced{.truncate_from = taken_.front().truncate_from,
                     .reset = taken_.front().reset.has_value(),
                     .start = batch.start,
                     .end_offset = batch.end_offset};
  for (size_t i = 0; i < batch.items; ++i) {
    QueuedWrite& item = taken_[i];
    MOKV_CHECK(i == 0 || !item.begins_batch());
    if (item.block.size() > 0 && synced.entries == 0) synced.first = item.block.front().index;
    synced.entries += item.block.size();
    if (item.hard_state.has_value()) state_.hard_state = std::move(*item.hard_state);
    if (item.head.has_value()) state_.head = *item.head;
    if (item.reset.has_value()) state_.head = *item.reset;
    if (item.head.has_value() || item.reset.has_value()) synced.head = state_.head.index;
  }
  state_.last = taken_[batch.items - 1].last;
  synced.last = state_.last.index;
  return synced;
}

// Puts the seal first in line. It changes nothing, so it has the ticket of what has just been
// written.
void BatchWriter::QueueSeal(Ticket ticket) {
  QueuedWrite seal = HeadSealer::Seal(ticket, state_.hard_state, state_.last, context_.clock.Now());
  context_.space.OnQueuedInside(seal.bytes_max);
  taken_.push_front(std::move(seal));
}

void BatchWriter::UpdateRoom() {
  context_.space.SetRoom(writer_.room_bytes(), context_.pool.stats(),
                         absl::IsResourceExhausted(context_.pool.status()));
}

void BatchWriter::UpdateFiles() {
  // A segment that is not started is neither the pool's any more nor the log's yet.
  const uint64_t between = writer_.started() ? 0 : writer_.capacity_bytes();
  context_.synced.SetFiles(sealer_.segment_count(), sealer_.disk_bytes() + between);
}

void BatchWriter::Fail(const absl::Status& status) {
  context_.queue.Fail();
  taken_.clear();
  context_.pool.Stop();
  writer_.Close();
  callbacks_.on_failure(status);
}

bool BatchWriter::Finish() {
  Drain();
  bool moves = true;
  // What the background executor would have done, as far as it is needed.
  while (moves && !context_.queue.failed() && !taken_.empty()) {
    const size_t before = taken_.size();
    context_.pool.PrepareOne();
    Drain();
    moves = taken_.size() != before;
  }
  context_.pool.Stop();
  writer_.Close();
  return moves;
}

}  // namespace mokv::wal
