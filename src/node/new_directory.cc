#include "node/new_directory.h"

#include <filesystem>
#include <memory>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/random.h"
#include "base/status.h"
#include "net/worker.h"
#include "node/data_directory.h"
#include "raft/membership.h"
#include "replica/snapshot_file.h"
#include "snapshot/directory.h"
#include "wal/log.h"
#include "wal/log_scan.h"

namespace mokv {
namespace {

// Not ours: it is on every fresh disk. And what claims the directory.
constexpr std::string_view kLostAndFound = "lost+found";
constexpr std::string_view kLock = "lock";
// One batch is to have room; the node makes the segments that it wants.
constexpr uint64_t kSegmentBytes = uint64_t{64} << 10;

raft::SnapshotMeta MetaOf(const Identity& identity, EntryId last) {
  raft::Member member{.id = raft::NodeIdOf(identity.node_name, identity.instance_id),
                      .name = identity.node_name,
                      .instance_id = identity.instance_id};
  return {.last = last,
          .membership = std::make_shared<const raft::Membership>(
              identity.cluster_id, std::vector<raft::Member>{std::move(member)})};
}

absl::Status WriteSnapshot(FileSystem& files, const std::string& path,
                           const raft::SnapshotMeta& meta, machine::FrozenState state) {
  const snapshot::Directory directory(files, path);
  MOKV_RETURN_IF_ERROR(directory.Open().status());
  const std::string written = directory.WrittenPathOf(meta.last);
  {
    MOKV_ASSIGN_OR_RETURN(const std::unique_ptr<File> file, directory.Create(written));
    replica::SnapshotStream stream(meta, std::move(state));
    uint64_t offset = 0;
    for (std::string bytes = stream.Next(); !bytes.empty(); bytes = stream.Next()) {
      MOKV_RETURN_IF_ERROR(file->WriteAt(offset, bytes));
      offset += bytes.size();
    }
    MOKV_RETURN_IF_ERROR(file->Sync());
  }
  return directory.Publish(written, meta.last);
}

// What a start would find of it.
absl::Status CheckLog(FileSystem& files, const std::string& path, EntryId last) {
  wal::Log::OnEntry on_entry = [&](const wal::EntryView& view) {
    return DataLoss("{} has an entry, {}, and was made without any", path, view.index);
  };
  wal::Log::OnCommitted on_committed;
  MOKV_ASSIGN_OR_RETURN(const wal::FoundLog found,
                        wal::ReadLog(files, path, on_entry, on_committed));
  if (found.last_index == last.index && found.last_term == last.term &&
      found.hard_state.term == last.term && found.cut_bytes == 0) {
    return absl::OkStatus();
  }
  return DataLoss("{}: the new log is not what was written", path);
}

// An empty one that goes on behind `last`.
absl::Status WriteLog(FileSystem& files, const std::string& path, EntryId last) {
  absl::Status failure;  // The log thread's, until that has ended.
  wal::Log::Callbacks callbacks;
  callbacks.on_durable = [](const wal::Durable&) {};
  callbacks.on_failure = [&](absl::Status reason) { failure = std::move(reason); };
  net::Worker log_thread("log");
  net::Worker space_thread("log-space");
  MOKV_ASSIGN_OR_RETURN(
      const std::unique_ptr<wal::Log> log,
      wal::Log::Open(
          files, SystemClock(), log_thread, space_thread,
          {.directory = path, .segment_bytes = kSegmentBytes}, std::move(callbacks),
          [](const wal::EntryView&) { return absl::OkStatus(); }, nullptr, nullptr));
  log->ResetTo(wal::Ticket(1), last.index, last.term);
  log->Append(wal::Ticket(2),
              {.hard_state = HardState{.term = last.term, .vote = {}, .commit = last.index}});
  log_thread.Stop();
  space_thread.Stop();
  const bool out_of_space = log->stats().out_of_space;
  log->Close();
  MOKV_RETURN_IF_ERROR(failure);
  if (out_of_space) return ResourceExhausted("{}: no space for the log", path);
  return CheckLog(files, path, last);
}

absl::Status Fill(FileSystem& files, const std::string& path, const Identity& identity,
                  EntryId last, machine::FrozenState state) {
  const DataDirectory directory(files, path);
  // In this order: with the identity of a member it does not start before there is a log, and with the
  // snapshot it starts with any beginning of one: a log that ends before the snapshot is begun anew.
  MOKV_RETURN_IF_ERROR(SaveIdentity(files, path, identity));
  MOKV_RETURN_IF_ERROR(
      WriteSnapshot(files, directory.snapshots_path(), MetaOf(identity, last), std::move(state)));
  MOKV_RETURN_IF_ERROR(WriteLog(files, directory.log_path(), last));
  MOKV_RETURN_IF_ERROR(files.SyncDirectory(path));
  return files.SyncDirectory(ParentOf(path));
}

}  // namespace

std::string ParentOf(const std::string& path) {
  // With and without a slash at its end.
  const std::filesystem::path inside = std::filesystem::absolute(path) / "";
  return inside.lexically_normal().parent_path().parent_path().string();
}

absl::Status CheckEmpty(FileSystem& files, const std::string& path) {
  const absl::StatusOr<std::vector<std::string>> names = files.List(path);
  if (absl::IsNotFound(names.status())) return absl::OkStatus();
  MOKV_RETURN_IF_ERROR(names.status());
  for (const std::string& name : *names) {
    if (name == kLostAndFound || name == kLock) continue;
    return FailedPrecondition("{} is not empty: it has {}", path, name);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<FileLock>> ClaimEmpty(FileSystem& files, const std::string& path) {
  MOKV_RETURN_IF_ERROR(CheckEmpty(files, path));
  MOKV_RETURN_IF_ERROR(files.CreateDirectories(path));
  MOKV_ASSIGN_OR_RETURN(std::unique_ptr<FileLock> lock,
                        files.Lock(fmt::format("{}/{}", path, kLock)));
  // Who held it a moment ago may have left something.
  MOKV_RETURN_IF_ERROR(CheckEmpty(files, path));
  return lock;
}

absl::StatusOr<Identity> MakeDataDirectory(FileSystem& files, const std::string& path,
                                           const std::string& node_name, EntryId last,
                                           machine::FrozenState state) {
  Identity identity{node_name, NewUniqueId(), NewUniqueId()};
  MOKV_RETURN_IF_ERROR(Fill(files, path, identity, last, std::move(state)));
  return identity;
}

}  // namespace mokv
