#include "replica/salvage.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/status.h"
#include "replica/replay.h"
#include "replica/snapshot_file.h"
#include "snapshot/directory.h"
#include "wal/log_scan.h"

namespace mokv::replica {
namespace {

// Applied at once, as in a replay.
constexpr uint64_t kBytesAtOnce = uint64_t{16} << 20;

SnapshotToLoad AlreadyLoaded(LoadedSnapshot loaded) {
  const auto state = std::make_shared<machine::LoadedState>(std::move(loaded.state));
  return {.meta = std::move(loaded.meta),
          .load = [state]() -> absl::StatusOr<machine::LoadedState> { return std::move(*state); }};
}

// What a start leaves to Raft to decide.
absl::Status ApplyTheRest(const raft::InitialState& initial, machine::Machine& machine) {
  std::vector<machine::Result> results;
  for (Index applied = initial.applied; applied < initial.log.last().index;) {
    const std::vector<Entry> entries =
        initial.log.Slice(applied.next(), initial.log.last().index, kBytesAtOnce);
    MOKV_RETURN_IF_ERROR(machine.Apply(entries, results));
    machine.Publish();
    results.clear();
    applied = entries.back().index;
  }
  return absl::OkStatus();
}

absl::StatusOr<SalvagedState> Replayed(FileSystem& files, const std::string& log_path,
                                       std::optional<LoadedSnapshot> snapshot) {
  SalvagedState state;
  state.machine = std::make_unique<machine::Machine>();
  std::optional<SnapshotToLoad> loading;
  if (snapshot.has_value()) {
    state.snapshot = snapshot->meta.last;
    loading = AlreadyLoaded(*std::move(snapshot));
  }
  Replay replay(*state.machine, std::move(loading), nullptr);
  wal::Log::OnEntry on_entry = [&](const wal::EntryView& view) { return replay.OnEntry(view); };
  wal::Log::OnCommitted on_committed = [&](Index index) { return replay.OnCommitted(index); };
  MOKV_ASSIGN_OR_RETURN(const wal::FoundLog found,
                        wal::ReadLog(files, log_path, on_entry, on_committed));
  MOKV_RETURN_IF_ERROR(replay.OnFound(found));
  const RecoveredState recovered = replay.Take();
  state.last = recovered.initial.log.last();
  state.committed = recovered.initial.applied;
  state.membership = recovered.initial.log.membership();
  state.cut_bytes = found.cut_bytes;
  MOKV_RETURN_IF_ERROR(ApplyTheRest(recovered.initial, *state.machine));
  return state;
}

}  // namespace

absl::StatusOr<std::vector<std::string>> ListSnapshots(FileSystem& files,
                                                       const std::string& directory) {
  const absl::StatusOr<std::vector<std::string>> names = files.List(directory);
  if (absl::IsNotFound(names.status())) return std::vector<std::string>();
  MOKV_RETURN_IF_ERROR(names.status());
  std::vector<std::string> paths;
  for (const std::string& name : *names) {
    if (!snapshot::ParseFileName(name).has_value()) continue;
    paths.push_back(fmt::format("{}/{}", directory, name));
  }
  // Names are sorted, and begin with the index in digits of one length.
  std::reverse(paths.begin(), paths.end());
  return paths;
}

absl::StatusOr<SalvagedState> Salvage(FileSystem& files, const StatePaths& paths) {
  MOKV_ASSIGN_OR_RETURN(const std::vector<std::string> snapshots,
                        ListSnapshots(files, paths.snapshots));
  std::vector<absl::Status> damaged;
  std::optional<LoadedSnapshot> newest;
  for (const std::string& path : snapshots) {
    absl::StatusOr<LoadedSnapshot> loaded = LoadSnapshot(files, path);
    if (loaded.ok()) {
      newest = *std::move(loaded);
      break;
    }
    // Written by a newer version, or a disk that cannot be read: no reason to begin with less.
    if (!absl::IsDataLoss(loaded.status())) return loaded.status();
    damaged.push_back(loaded.status());
  }
  absl::StatusOr<SalvagedState> state = Replayed(files, paths.log, std::move(newest));
  if (state.ok()) {
    state->damaged = std::move(damaged);
  } else if (!damaged.empty()) {
    return absl::Status(state.status().code(),
                        fmt::format("{} (the newest snapshot: {})", MessageOf(state.status()),
                                    MessageOf(damaged.front())));
  }
  return state;
}

}  // namespace mokv::replica
