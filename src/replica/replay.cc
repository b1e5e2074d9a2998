#include "replica/replay.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/status.h"

namespace mokv::replica {

absl::Status Replay::OnEntry(const wal::EntryView& view) {
  if (view.index <= applied_) {
    return DataLoss("log entry {} replaces one that was known to be committed", view.index);
  }
  if (view.index <= log_.last().index) log_.TruncateFrom(view.index);
  Entry entry{.index = view.index, .term = view.term, .type = view.type, .payload = nullptr};
  if (!view.payload.empty()) entry.payload = std::make_shared<const std::string>(view.payload);
  return log_.Recover(entry);
}

absl::Status Replay::OnCommitted(Index index) {
  std::vector<machine::Result> results;  // Of interest to nobody any more.
  while (applied_ < index) {
    const Index through = std::min(index, Index(applied_.value() + kPublishedAtOnce));
    const std::vector<Entry> entries = log_.Slice(applied_.next(), through, kBytesAtOnce);
    MOKV_RETURN_IF_ERROR(machine_.Apply(entries, results));
    applied_ = entries.back().index;
    results.clear();
    unpublished_ += entries.size();
    if (unpublished_ < kPublishedAtOnce) continue;
    machine_.Publish();
    unpublished_ = 0;
  }
  log_.Trim(applied_, kCacheBytes);
  return absl::OkStatus();
}

absl::StatusOr<raft::InitialState> Replay::Finish(const HardState& hard_state, Index last_index) {
  // A truncation at the very end was not told by an entry.
  if (last_index < log_.last().index) log_.TruncateFrom(last_index.next());
  if (log_.last().index != last_index) {
    return DataLoss("the log ends with entry {}, but only {} was found", last_index,
                    log_.last().index);
  }
  MOKV_RETURN_IF_ERROR(OnCommitted(std::min(hard_state.commit, last_index)));
  machine_.Publish();
  return raft::InitialState{.log = std::move(log_), .hard_state = hard_state, .applied = applied_};
}

}  // namespace mokv::replica
