// A snapshot as a file: where it stands in the log, the cluster's members there (section "members",
// encoded as in a configuration entry), and the state (machine/saved_state.h).
//
// Threads: SnapshotStream is confined to one thread, which need not be the replica's.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <memory>
#include <string>

#include "base/file.h"
#include "machine/saved_state.h"
#include "raft/messages.h"
#include "snapshot/encoder.h"

namespace mokv::replica {

// Whoever writes such a file syncs it each time that so much has been written, so that the last sync
// does not come with all of it at once, while the log on the same disk wants to be synced, too.
inline constexpr uint64_t kSnapshotSyncBytes = uint64_t{8} << 20;

// A state and its place in the log.
struct FrozenSnapshot {
  raft::SnapshotMeta meta;
  machine::FrozenState state;
};

// The bytes of the file, made as they are asked for.
class SnapshotStream {
 public:
  SnapshotStream(const raft::SnapshotMeta& meta, machine::FrozenState state);

  // The next bytes, about a block; empty when there are no more.
  std::string Next();

 private:
  snapshot::Encoder encoder_;
  machine::StateWriter state_;
  bool finished_ = false;
};

struct LoadedSnapshot {
  raft::SnapshotMeta meta;
  machine::LoadedState state;
  uint64_t file_bytes = 0;
};

// Reads and verifies all of it. DATA_LOSS names the file, block and offset. `path` is for messages.
absl::StatusOr<LoadedSnapshot> LoadSnapshot(const File& file, const std::string& path);
absl::StatusOr<LoadedSnapshot> LoadSnapshot(FileSystem& files, const std::string& path);
// What it stands for, from its beginning; the rest is not looked at.
absl::StatusOr<raft::SnapshotMeta> ReadSnapshotMeta(FileSystem& files, const std::string& path);

}  // namespace mokv::replica
