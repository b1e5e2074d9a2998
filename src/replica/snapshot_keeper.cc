#include "replica/snapshot_keeper.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/logging.h"
#include "base/status.h"
#include "snapshot/format.h"

namespace mokv::replica {
namespace {

// Written in one step, that is one block: whoever runs the steps may rest between them (net::Worker),
// and then the processor is taken for a third of a millisecond at a time.
constexpr size_t kStepBytes = snapshot::kBlockBytes;

}  // namespace

// Until it is whole, it belongs to the executor's tasks alone.
struct SnapshotKeeper::Writing {
  Writing(SnapshotKeeper& the_keeper, const raft::SnapshotMeta& the_meta,
          machine::FrozenState state)
      : keeper(the_keeper),
        directory(the_keeper.directory_),
        path(directory->WrittenPathOf(the_meta.last)),
        meta(the_meta),
        stream(std::make_unique<SnapshotStream>(the_meta, std::move(state))) {}

  // Whether there is more to do.
  absl::StatusOr<bool> WriteSome();

  SnapshotKeeper& keeper;  // Only for what runs on the replica thread.
  const std::shared_ptr<snapshot::Directory> directory;
  const std::string path;
  const raft::SnapshotMeta meta;
  std::unique_ptr<SnapshotStream> stream;
  std::unique_ptr<File> file;
  std::string buffer;
  uint64_t offset = 0;
  uint64_t unsynced = 0;
};

absl::StatusOr<bool> SnapshotKeeper::Writing::WriteSome() {
  if (file == nullptr) {
    MOKV_ASSIGN_OR_RETURN(file, directory->Create(path));
  }
  bool more = true;
  while (more && buffer.size() < kStepBytes) {
    const std::string next = stream->Next();
    more = !next.empty();
    buffer += next;
  }
  MOKV_RETURN_IF_ERROR(file->WriteAt(offset, buffer));
  offset += buffer.size();
  unsynced += buffer.size();
  buffer.clear();
  if (!more || unsynced >= kSnapshotSyncBytes) {
    MOKV_RETURN_IF_ERROR(file->Sync());
    unsynced = 0;
  }
  return more;
}

SnapshotKeeper::SnapshotKeeper(snapshot::Directory directory, Executor& executor,
                               OnReplicaThread on_replica, Taken taken)
    : directory_(std::make_shared<snapshot::Directory>(std::move(directory))),
      executor_(executor),
      on_replica_(std::move(on_replica)),
      taken_(std::move(taken)) {}

SnapshotKeeper::~SnapshotKeeper() = default;

void SnapshotKeeper::OnFound(const std::vector<EntryId>& found) {
  MOKV_CHECK(kept_.empty());
  for (const EntryId& last : found) {
    (kept_.size() < kKept ? kept_ : old_).push_back(last);
  }
  if (kept_.empty()) return;
  stats_.last = kept_.front().index;
  const auto file = files().Open(directory_->PathOf(kept_.front()), FileSystem::OpenMode::kRead);
  if (file.ok()) stats_.bytes = (*file)->Size().value_or(0);
  RemoveOld();
}

void SnapshotKeeper::OnInstalled(EntryId last, uint64_t bytes) {
  Keep(last);
  stats_.bytes = bytes;
}

void SnapshotKeeper::Take(raft::SnapshotMeta meta, machine::FrozenState state) {
  MOKV_CHECK(writing_ == nullptr);
  MOKV_CHECK(meta.membership != nullptr);
  writing_ = std::make_shared<Writing>(*this, meta, std::move(state));
  written_ = false;
  Step(writing_);
}

// Each step is a task of its own: what else the executor has to do comes in between.
void SnapshotKeeper::Step(std::shared_ptr<Writing> writing) {
  Executor& executor = writing->keeper.executor_;
  executor.Post([writing = std::move(writing)]() mutable {
    const absl::StatusOr<bool> more = writing->WriteSome();
    if (more.ok() && *more) return Step(std::move(writing));
    // The state is let go of here, and the file closed: a snapshot may be large.
    writing->stream.reset();
    writing->file.reset();
    if (!more.ok()) static_cast<void>(writing->directory->Remove(writing->path));
    SnapshotKeeper& keeper = writing->keeper;
    keeper.on_replica_(
        [&keeper, writing, status = more.status()] { keeper.OnWritten(writing, status); });
  });
}

void SnapshotKeeper::OnWritten(const std::shared_ptr<Writing>& writing,
                               const absl::Status& status) {
  MOKV_CHECK(writing == writing_);
  if (!status.ok()) return Fail(status);
  written_ = true;
  Publish();
}

void SnapshotKeeper::OnStable(Index stable) {
  stable_ = stable;
  Publish();
}

void SnapshotKeeper::Publish() {
  if (!written_ || publishing_ || stable_ < writing_->meta.last.index) return;
  publishing_ = true;
  executor_.Post([this, writing = writing_] {
    const absl::Status status = writing->directory->Publish(writing->path, writing->meta.last);
    on_replica_([this, writing, status] { OnPublished(writing, status); });
  });
}

void SnapshotKeeper::OnPublished(const std::shared_ptr<Writing>& writing,
                                 const absl::Status& status) {
  publishing_ = false;
  if (!status.ok()) return Fail(status);
  const raft::SnapshotMeta meta = writing->meta;
  writing_.reset();
  written_ = false;
  ++stats_.taken;
  stats_.last_error.clear();
  // One that was installed meanwhile may be newer.
  if (kept_.empty() || kept_.front().index < meta.last.index) stats_.bytes = writing->offset;
  Keep(meta.last);
  taken_(meta);
}

void SnapshotKeeper::Fail(const absl::Status& reason) {
  LogWarn("a snapshot could not be written; the log is kept, and it is tried again",
          {{"snapshot", snapshot::FileName(writing_->meta.last)}, {"reason", MessageOf(reason)}});
  ++stats_.failed;
  stats_.last_error = MessageOf(reason);
  writing_.reset();
  written_ = false;
  retry_at_ = now_ + kRetryAfter;
}

void SnapshotKeeper::Keep(EntryId last) {
  if (Has(last)) return;
  const auto is_older = [&](const EntryId& other) { return other.index < last.index; };
  kept_.insert(std::find_if(kept_.begin(), kept_.end(), is_older), last);
  while (kept_.size() > kKept) {
    old_.push_back(kept_.back());
    kept_.pop_back();
  }
  stats_.last = kept_.front().index;
  RemoveOld();
}

bool SnapshotKeeper::Has(EntryId last) const {
  return std::find(kept_.begin(), kept_.end(), last) != kept_.end() ||
         std::find(old_.begin(), old_.end(), last) != old_.end();
}

void SnapshotKeeper::SetInUse(std::set<uint64_t> indexes) {
  if (indexes == in_use_) return;
  in_use_ = std::move(indexes);
  RemoveOld();
}

void SnapshotKeeper::RemoveOld() {
  const auto is_free = [this](const EntryId& last) {
    return !in_use_.contains(last.index.value());
  };
  for (const EntryId& last : old_) {
    if (!is_free(last)) continue;
    // One that cannot be removed now is found, and removed, by the next start.
    executor_.Post([directory = directory_, path = directory_->PathOf(last)] {
      static_cast<void>(directory->Remove(path));
    });
  }
  std::erase_if(old_, is_free);
}

}  // namespace mokv::replica
