#include "replica/snapshot_fetch.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/logging.h"
#include "base/status.h"

namespace mokv::replica {

struct SnapshotFetch::Job {
  raft::NodeId source;
  raft::SnapshotMeta snapshot;
  std::string path;
  Step step = Step::kOpening;
  uint64_t file_bytes = 0;  // 0: not known yet.
  uint64_t asked = 0;       // Up to here.
  uint64_t received = 0;
  uint64_t written = 0;
  MonotonicTime asked_at;
  MonotonicTime moved_at;  // When the last part came.
  // Background executor only.
  std::unique_ptr<File> file;
  uint64_t unsynced = 0;
};

absl::Status SnapshotFetch::Write(Job& job, const SnapshotChunk& chunk, bool& is_spoilt) {
  MOKV_RETURN_IF_ERROR(job.file->WriteAt(chunk.offset, chunk.bytes));
  job.unsynced += chunk.bytes.size();
  if (job.unsynced < kSnapshotSyncBytes) return absl::OkStatus();
  job.unsynced = 0;
  absl::Status synced = job.file->Sync();
  // Another sync may say that all is well, and what this one should have written is lost.
  is_spoilt = !synced.ok();
  return synced;
}

SnapshotFetch::SnapshotFetch(snapshot::Directory directory, Executor& background, Executor& loader,
                             OnReplicaThread on_replica, Fetched fetched)
    : directory_(std::make_shared<snapshot::Directory>(std::move(directory))),
      background_(background),
      loader_(loader),
      on_replica_(std::move(on_replica)),
      fetched_(std::move(fetched)) {}

SnapshotFetch::~SnapshotFetch() = default;

void SnapshotFetch::OnTold(Peers& peers, raft::NodeId leader, const raft::SnapshotMeta& snapshot,
                           MonotonicTime now) {
  now_ = now;
  if (job_ == nullptr) return Begin(leader, snapshot, now);
  const bool is_same = job_->snapshot.last == snapshot.last;
  if (job_->source == leader && is_same) return;
  const bool reads = job_->step == Step::kReading || job_->step == Step::kOpening;
  if (!reads || now - job_->moved_at < kGiveUpAfter) return;
  if (!is_same) {
    Fail(Unavailable("whoever had it does not answer"), /*remove=*/true);
    return Begin(leader, snapshot, now);
  }
  // The same state has the same bytes everywhere.
  job_->source = leader;
  job_->moved_at = now;
  job_->asked = job_->received;
  Ask(peers, now);
}

void SnapshotFetch::Begin(raft::NodeId source, const raft::SnapshotMeta& snapshot,
                          MonotonicTime now) {
  job_ = std::make_shared<Job>();
  job_->source = source;
  job_->snapshot = snapshot;
  job_->path = directory_->FetchedPathOf(snapshot.last);
  job_->moved_at = now;
  stats_.bytes = 0;
  stats_.bytes_total = 0;
  background_.Post([this, job = job_, directory = directory_, on_replica = on_replica_] {
    absl::StatusOr<uint64_t> bytes = directory->OpenFetched(job->snapshot.last, job->file);
    on_replica([this, job, bytes = std::move(bytes)] { OnOpened(job, bytes); });
  });
}

void SnapshotFetch::OnOpened(const std::shared_ptr<Job>& job, absl::StatusOr<uint64_t> bytes) {
  if (job != job_) return;
  if (!bytes.ok()) return Fail(bytes.status(), /*remove=*/true);
  job_->asked = job_->received = job_->written = *bytes;
  job_->step = Step::kReading;
  LogInfo("this node fetches a snapshot",
          {{"snapshot", snapshot::FileName(job_->snapshot.last)}, {"from_offset", *bytes}});
}

void SnapshotFetch::Ask(Peers& peers, MonotonicTime now) {
  while (job_->asked < job_->written + kWindowBytes &&
         (job_->file_bytes == 0 || job_->asked < job_->file_bytes)) {
    const SnapshotRead read{
        .last = job_->snapshot.last, .offset = job_->asked, .bytes_max = kSnapshotChunkBytesMax};
    if (!peers.SendSnapshotRead(job_->source, read)) break;
    job_->asked_at = now;
    job_->asked += kSnapshotChunkBytesMax;
    // Not before it is known that there is anything.
    if (job_->file_bytes == 0) break;
  }
}

void SnapshotFetch::OnChunk(Peers& peers, raft::NodeId from, SnapshotChunk chunk,
                            MonotonicTime now) {
  now_ = now;
  if (job_ == nullptr || job_->step != Step::kReading || from != job_->source ||
      chunk.last != job_->snapshot.last) {
    return;
  }
  if (chunk.file_bytes == 0) {
    return Fail(Unavailable("whoever had it does not have it any more"), /*remove=*/true);
  }
  if (job_->file_bytes == 0) job_->file_bytes = chunk.file_bytes;
  if (job_->file_bytes != chunk.file_bytes || job_->received > chunk.file_bytes) {
    return Fail(DataLoss("it had {} bytes and has {}", job_->file_bytes, chunk.file_bytes),
                /*remove=*/true);
  }
  stats_.bytes_total = chunk.file_bytes;
  // One that was asked for twice, or behind one that was lost: asked for again when it is due.
  if (chunk.offset != job_->received) return;
  job_->moved_at = now;
  job_->received += chunk.bytes.size();
  stats_.bytes = job_->received;
  const uint64_t through = job_->received;
  background_.Post(
      [this, &peers, job = job_, chunk = std::move(chunk), through, on_replica = on_replica_] {
        bool is_spoilt = false;
        const absl::Status status = Write(*job, chunk, is_spoilt);
        on_replica([this, &peers, job, status, is_spoilt, through] {
          OnWrote(peers, job, status, is_spoilt, through);
        });
      });
  Ask(peers, now);
}

void SnapshotFetch::OnWrote(Peers& peers, const std::shared_ptr<Job>& job,
                            const absl::Status& status, bool is_spoilt, uint64_t bytes) {
  if (job != job_ || job_->step != Step::kReading) return;
  // No space, say. What is there is kept for the next attempt.
  if (!status.ok()) return Fail(status, /*remove=*/is_spoilt);
  job_->written = bytes;
  if (job_->written == job_->file_bytes) return Finish();
  Ask(peers, now_);
}

void SnapshotFetch::Finish() {
  job_->step = Step::kSyncing;
  background_.Post([this, job = job_, on_replica = on_replica_] {
    const absl::Status status = job->file->Sync();
    job->file.reset();
    on_replica([this, job, status] {
      if (job != job_) return;
      if (!status.ok()) return Fail(status, /*remove=*/true);
      Load(job);
    });
  });
}

void SnapshotFetch::Load(const std::shared_ptr<Job>& job) {
  job->step = Step::kLoading;
  loader_.Post([this, job, directory = directory_, on_replica = on_replica_] {
    absl::StatusOr<LoadedSnapshot> loaded = LoadSnapshot(directory->files(), job->path);
    if (loaded.ok() && loaded->meta.last != job->snapshot.last) {
      loaded = DataLoss("{}: it is {}", job->path, snapshot::FileName(loaded->meta.last));
    }
    if (loaded.ok()) {
      const absl::Status published = directory->Publish(job->path, job->snapshot.last);
      if (!published.ok()) loaded = published;
    }
    const auto shared = std::make_shared<absl::StatusOr<LoadedSnapshot>>(std::move(loaded));
    on_replica([this, job, shared] {
      if (job != job_) return;
      if (!shared->ok()) return Fail(shared->status(), /*remove=*/true);
      job_.reset();
      stats_.bytes_total = 0;
      stats_.last_error.clear();
      fetched_(*std::move(*shared));
    });
  });
}

void SnapshotFetch::Fail(const absl::Status& reason, bool remove) {
  LogWarn("a snapshot could not be fetched",
          {{"snapshot", snapshot::FileName(job_->snapshot.last)}, {"reason", MessageOf(reason)}});
  ++stats_.failed;
  stats_.last_error = MessageOf(reason);
  stats_.bytes_total = 0;
  background_.Post([job = std::move(job_), directory = directory_, remove] {
    job->file.reset();
    if (remove) static_cast<void>(directory->Remove(job->path));
  });
  job_ = nullptr;
}

void SnapshotFetch::Tick(Peers& peers, MonotonicTime now) {
  now_ = now;
  if (job_ == nullptr) return;
  if (job_->step != Step::kReading) {
    // A long load must not look like silence.
    static_cast<void>(
        peers.SendSnapshotRead(job_->source, {.last = job_->snapshot.last, .offset = 0}));
    return;
  }
  if (job_->asked > job_->received && now - job_->asked_at < kAskAgainAfter) return;
  job_->asked = job_->received;
  Ask(peers, now);
}

void SnapshotFetch::OnApplied(Index applied) {
  // The log goes on, so none is needed, whatever became of the last one.
  if (job_ == nullptr) return stats_.last_error.clear();
  if (job_->snapshot.last.index > applied) return;
  if (job_->step == Step::kLoading) return;  // Its end is near, and it does no harm.
  Fail(absl::CancelledError("the log has all of it by now"), /*remove=*/true);
  stats_.last_error.clear();
}

}  // namespace mokv::replica
