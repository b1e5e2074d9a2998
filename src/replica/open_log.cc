#include "replica/open_log.h"

#include <utility>

#include "base/logging.h"
#include "base/status.h"
#include "replica/snapshot_file.h"
#include "snapshot/directory.h"

namespace mokv::replica {
namespace {

// Of a whole start, which may take several attempts.
class Opening {
 public:
  Opening(Replica& replica, wal::Options options, LogEnvironment environment)
      : replica_(replica),
        options_(std::move(options)),
        environment_(std::move(environment)),
        on_sync_(
            std::make_shared<absl::AnyInvocable<void(Duration)>>(std::move(environment_.on_sync))),
        watch_(std::make_shared<absl::AnyInvocable<void(const wal::Durable&)>>(
            std::move(environment_.on_durable))) {}

  absl::StatusOr<std::unique_ptr<wal::Log>> Run();

 private:
  // Nothing if the snapshot cannot be begun with; `damage` says why.
  std::optional<SnapshotToLoad> Find(const std::string& path, absl::Status& damage) const;
  absl::StatusOr<std::unique_ptr<wal::Log>> Open();
  wal::Log::Callbacks Callbacks();

  Replica& replica_;
  const wal::Options options_;
  LogEnvironment environment_;
  const std::shared_ptr<absl::AnyInvocable<void(Duration)>> on_sync_;
  const std::shared_ptr<absl::AnyInvocable<void(const wal::Durable&)>> watch_;
};

absl::StatusOr<std::unique_ptr<wal::Log>> Opening::Run() {
  const snapshot::Directory* directory = replica_.snapshots();
  std::vector<EntryId> found;
  if (directory != nullptr) {
    MOKV_ASSIGN_OR_RETURN(found, directory->Open());
  }
  absl::Status damage;
  for (; !found.empty(); found.erase(found.begin())) {
    const std::string path = directory->PathOf(found.front());
    absl::Status status;
    std::optional<SnapshotToLoad> snapshot = Find(path, status);
    if (snapshot.has_value()) {
      Replay& replay = replica_.BeginReplay(std::move(snapshot), environment_.applying_thread);
      auto log = Open();
      if (log.ok()) {
        replica_.OnSnapshotsFound(found);
        return log;
      }
      status = replay.snapshot_status();
      // Whatever else has failed is no reason to try again: a sync, say, may seem to succeed then.
      if (status.ok() || log.status() != status) {
        if (damage.ok()) return log;
        return absl::Status(log.status().code(),
                            fmt::format("{} (the newest snapshot: {})", MessageOf(log.status()),
                                        MessageOf(damage)));
      }
    }
    // Written by a newer version, or a disk that cannot be read just now: no reason to begin with
    // less.
    if (!absl::IsDataLoss(status)) return status;
    LogError(
        "a snapshot is damaged; it is set aside, and the start goes on with what was before it",
        {{"file", path}, {"reason", MessageOf(status)}});
    MOKV_RETURN_IF_ERROR(directory->SetAside(found.front()));
    if (damage.ok()) damage = status;
  }
  replica_.BeginReplay(std::nullopt, environment_.applying_thread);
  auto log = Open();
  if (log.ok() || damage.ok()) return log;
  return absl::Status(log.status().code(), fmt::format("{} (the newest snapshot: {})",
                                                       MessageOf(log.status()), MessageOf(damage)));
}

std::optional<SnapshotToLoad> Opening::Find(const std::string& path, absl::Status& damage) const {
  absl::StatusOr<raft::SnapshotMeta> meta = ReadSnapshotMeta(environment_.files, path);
  if (!meta.ok()) {
    damage = meta.status();
    return std::nullopt;
  }
  const auto load = [files = &environment_.files, path]() -> absl::StatusOr<machine::LoadedState> {
    MOKV_ASSIGN_OR_RETURN(LoadedSnapshot loaded, LoadSnapshot(*files, path));
    return std::move(loaded.state);
  };
  return SnapshotToLoad{*std::move(meta), load};
}

wal::Log::Callbacks Opening::Callbacks() {
  wal::Log::Callbacks callbacks;
  callbacks.on_durable = [&replica = replica_, watch = watch_](const wal::Durable& durable) {
    if (*watch) (*watch)(durable);
    replica.OnDurable(durable.ticket);
  };
  callbacks.on_failure = [&replica = replica_](absl::Status reason) {
    replica.OnLogFailure(std::move(reason));
  };
  if (*on_sync_) {
    callbacks.on_sync = [on_sync = on_sync_](Duration duration) { (*on_sync)(duration); };
  }
  return callbacks;
}

absl::StatusOr<std::unique_ptr<wal::Log>> Opening::Open() {
  return wal::Log::Open(
      environment_.files, environment_.clock, environment_.log_thread, environment_.space_thread,
      options_, Callbacks(),
      [this](const wal::EntryView& entry) { return replica_.replay().OnEntry(entry); },
      [this](Index index) { return replica_.replay().OnCommitted(index); },
      [this](const wal::FoundLog& found) { return replica_.replay().OnFound(found); });
}

}  // namespace

absl::StatusOr<std::unique_ptr<wal::Log>> OpenLog(Replica& replica, wal::Options options,
                                                  LogEnvironment environment) {
  return Opening(replica, std::move(options), std::move(environment)).Run();
}

}  // namespace mokv::replica
