#include "replica/snapshot_file.h"

#include <utility>

#include "base/status.h"
#include "snapshot/reader.h"

namespace mokv::replica {
namespace {

constexpr std::string_view kMembersSection = "members";

absl::StatusOr<raft::SnapshotMeta> TakeMeta(snapshot::Reader& reader) {
  MOKV_ASSIGN_OR_RETURN(const std::optional<snapshot::BlockView> block, reader.Next());
  if (!block.has_value() || block->section != kMembersSection) {
    return reader.Refuse(DataLoss("a snapshot begins with the section {:?}", kMembersSection));
  }
  absl::StatusOr<raft::Membership> membership = raft::Membership::Decode(block->payload);
  if (!membership.ok()) return reader.Refuse(membership.status());
  return raft::SnapshotMeta{
      .last = reader.last(),
      .membership = std::make_shared<const raft::Membership>(*std::move(membership))};
}

}  // namespace

SnapshotStream::SnapshotStream(const raft::SnapshotMeta& meta, machine::FrozenState state)
    : encoder_(meta.last), state_(std::move(state), snapshot::kBlockBytes) {
  encoder_.Add({.section = std::string(kMembersSection),
                .payload = meta.membership->Encode(),
                .records = 1});
}

std::string SnapshotStream::Next() {
  machine::SavedBlock block;
  if (!finished_ && state_.Next(block)) {
    encoder_.Add({.section = std::string(block.section),
                  .payload = std::move(block.payload),
                  .records = block.records});
  } else if (!std::exchange(finished_, true)) {
    encoder_.Finish();
  }
  return encoder_.Take();
}

absl::StatusOr<LoadedSnapshot> LoadSnapshot(const File& file, const std::string& path) {
  MOKV_ASSIGN_OR_RETURN(snapshot::Reader reader, snapshot::Reader::Open(file, path));
  LoadedSnapshot loaded;
  loaded.file_bytes = reader.file_bytes();
  MOKV_ASSIGN_OR_RETURN(loaded.meta, TakeMeta(reader));
  machine::StateLoader loader(reader.file_bytes());
  while (true) {
    MOKV_ASSIGN_OR_RETURN(const std::optional<snapshot::BlockView> block, reader.Next());
    if (!block.has_value()) break;
    const absl::Status added = loader.Add(block->section, block->payload, block->records);
    if (!added.ok()) return reader.Refuse(added);
  }
  absl::StatusOr<machine::LoadedState> state = loader.Finish();
  if (!state.ok()) return reader.Refuse(state.status());
  loaded.state = *std::move(state);
  return loaded;
}

absl::StatusOr<LoadedSnapshot> LoadSnapshot(FileSystem& files, const std::string& path) {
  MOKV_ASSIGN_OR_RETURN(const std::unique_ptr<File> file,
                        files.Open(path, FileSystem::OpenMode::kRead));
  return LoadSnapshot(*file, path);
}

absl::StatusOr<raft::SnapshotMeta> ReadSnapshotMeta(FileSystem& files, const std::string& path) {
  MOKV_ASSIGN_OR_RETURN(const std::unique_ptr<File> file,
                        files.Open(path, FileSystem::OpenMode::kRead));
  MOKV_ASSIGN_OR_RETURN(snapshot::Reader reader, snapshot::Reader::Open(*file, path));
  return TakeMeta(reader);
}

}  // namespace mokv::replica
