#include "replica/replay.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/status.h"

namespace mokv::replica {
namespace {

raft::SnapshotMeta MetaOf(const std::optional<SnapshotToLoad>& snapshot) {
  return snapshot.has_value() ? snapshot->meta : raft::SnapshotMeta();
}

}  // namespace

Replay::Replay(machine::Machine& machine, std::optional<SnapshotToLoad> snapshot, Executor* thread)
    : base_(MetaOf(snapshot)),
      applying_(machine, thread),
      log_(snapshot.has_value() ? raft::LogView(base_) : raft::LogView()),
      applied_(base_.last.index) {
  if (snapshot.has_value()) applying_.Begin(std::move(snapshot->load));
}

absl::Status Replay::OnEntry(const wal::EntryView& view) {
  if (view.index <= base_.last.index) {
    if (view.index == base_.last.index) term_at_base_ = view.term;
    return absl::OkStatus();
  }
  if (view.index <= applied_) {
    return DataLoss("log entry {} replaces one that was known to be committed", view.index);
  }
  if (view.index <= log_.last().index) log_.TruncateFrom(view.index);
  const raft::Position last = log_.last();
  if (base_.last.index == Index() && last.index == Index() && view.index > Index(1)) {
    return DataLoss("the log begins with entry {}, and there is no snapshot of what was before",
                    view.index);
  }
  if (base_.last.index > Index() && (view.index > last.index.next() || view.term < last.term)) {
    // It is of the log from before the snapshot was installed; then it is all replaced further on.
    log_ = raft::LogView(base_);
    return absl::OkStatus();
  }
  Entry entry{.index = view.index, .term = view.term, .type = view.type, .payload = nullptr};
  if (!view.payload.empty()) entry.payload = std::make_shared<const std::string>(view.payload);
  return log_.Recover(entry);
}

absl::Status Replay::OnCommitted(Index index) {
  // Where the snapshot that the log begins behind is gone, what was before it is not here: OnFound
  // says so.
  index = std::min(index, log_.last().index);
  if (index <= applied_) return absl::OkStatus();
  return ApplyThrough(index);
}

absl::Status Replay::ApplyThrough(Index index) {
  while (applied_ < index) {
    const std::vector<Entry> entries = log_.Slice(applied_.next(), index, kBytesAtOnce);
    MOKV_RETURN_IF_ERROR(applying_.Apply(entries));
    applied_ = entries.back().index;
    for (const Entry& entry : entries) recovered_.bytes_since_snapshot += raft::EntryBytes(entry);
  }
  log_.Trim(applied_, kCacheBytes);
  return absl::OkStatus();
}

// A log that was there when a snapshot came from another node, and has not been reset for it yet,
// may end before it, or have other entries, of which none was committed.
bool Replay::LogFits(const wal::FoundLog& found) const {
  if (found.last_index < base_.last.index) return false;
  return found.first_index > base_.last.index || term_at_base_ == base_.last.term;
}

absl::Status Replay::OnFound(const wal::FoundLog& found) {
  if (found.first_index > base_.last.index.next()) {
    if (base_.last.index == Index()) {
      return DataLoss("the log begins with entry {}, and there is no snapshot of what was before",
                      found.first_index);
    }
    return DataLoss("the log begins with entry {}, and the snapshot ends with {}",
                    found.first_index, base_.last.index);
  }
  HardState hard_state = found.hard_state;
  if (!LogFits(found)) {
    log_ = raft::LogView(base_);
    recovered_.reset_log = true;
  }
  // A truncation at the very end was not told by an entry.
  const Index last = std::max(found.last_index, base_.last.index);
  if (!recovered_.reset_log && last < log_.last().index) log_.TruncateFrom(last.next());
  if (!recovered_.reset_log && log_.last().index != last) {
    return DataLoss("the log ends with entry {}, but only {} was found", last, log_.last().index);
  }
  // All that a snapshot has is committed. A term that this node has not heard of may be in it: it has
  // given no vote in that.
  if (hard_state.term < base_.last.term) hard_state = {.term = base_.last.term};
  hard_state.commit = std::max(hard_state.commit, base_.last.index);
  MOKV_RETURN_IF_ERROR(ApplyThrough(std::min(hard_state.commit, log_.last().index)));
  MOKV_RETURN_IF_ERROR(applying_.Finish());
  recovered_.initial.log = std::move(log_);
  recovered_.initial.hard_state = std::move(hard_state);
  recovered_.initial.applied = applied_;
  if (base_.membership != nullptr) recovered_.initial.snapshot = base_;
  return absl::OkStatus();
}

}  // namespace mokv::replica
