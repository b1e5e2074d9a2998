#include "cli/snapshot_files.h"

#include <filesystem>
#include <memory>
#include <optional>
#include <system_error>
#include <utility>
#include <vector>

#include "base/file.h"
#include "base/json.h"
#include "base/status.h"
#include "cli/ctl_answer.h"
#include "cli/stopped_node.h"
#include "node/data_directory.h"
#include "node/new_directory.h"
#include "node/node_name.h"
#include "replica/salvage.h"
#include "replica/snapshot_file.h"
#include "snapshot/format.h"
#include "store/store.h"

namespace mokv {
namespace {

std::vector<std::string> MembersOf(const raft::Membership& membership) {
  std::vector<std::string> names;
  for (const auto& [id, member] : membership.members()) {
    names.push_back(membership.IsVoter(id) ? member.name : member.name + " (learner)");
  }
  return names;
}

std::string JsonList(const std::vector<std::string>& texts) {
  std::string list;
  for (const std::string& text : texts) list += (list.empty() ? "" : ",") + JsonString(text);
  return fmt::format("[{}]", list);
}

void Print(CtlFormat format, const std::string& path, const replica::LoadedSnapshot& snapshot) {
  const raft::Membership& membership = *snapshot.meta.membership;
  const std::vector<std::string> members = MembersOf(membership);
  const store::Store& store = *snapshot.state.store;
  if (format == CtlFormat::kJson) {
    return PrintLine(fmt::format(
        R"({{"file":{},"format_version":{},"index":{},"term":{},"revision":{},"keys":{},"bytes":{},)"
        R"("cluster_id":{},"members":{}}})",
        JsonString(path), snapshot::kVersion, snapshot.meta.last.index, snapshot.meta.last.term,
        store.revision(), store.stats().keys, snapshot.file_bytes,
        JsonString(membership.cluster_id()), JsonList(members)));
  }
  std::string names;
  for (const std::string& name : members) names += (names.empty() ? "" : ", ") + name;
  PrintRaw(FormatTable({{"file", path},
                        {"format version", std::to_string(snapshot::kVersion)},
                        {"index", fmt::to_string(snapshot.meta.last.index)},
                        {"term", fmt::to_string(snapshot.meta.last.term)},
                        {"revision", fmt::to_string(store.revision())},
                        {"keys", std::to_string(store.stats().keys)},
                        {"bytes", std::to_string(snapshot.file_bytes)},
                        {"cluster", membership.cluster_id()},
                        {"members", names}}));
}

// What a new cluster begins with.
struct Beginning {
  std::unique_ptr<machine::Machine> machine;
  EntryId last;
  // For people: what is to be known of it.
  std::vector<std::string> notes;
};

absl::StatusOr<Beginning> FromFile(FileSystem& files, const std::string& path) {
  MOKV_ASSIGN_OR_RETURN(replica::LoadedSnapshot loaded, replica::LoadSnapshot(files, path));
  Beginning beginning{.machine = std::make_unique<machine::Machine>(), .last = loaded.meta.last};
  beginning.machine->Install(std::move(loaded.state));
  return beginning;
}

absl::StatusOr<Beginning> FromDirectory(FileSystem& files, const std::string& path) {
  MOKV_ASSIGN_OR_RETURN(const std::unique_ptr<FileLock> lock, LockStoppedNode(files, path));
  const DataDirectory directory(files, path);
  MOKV_ASSIGN_OR_RETURN(
      replica::SalvagedState state,
      replica::Salvage(files, {directory.snapshots_path(), directory.log_path()}));
  if (state.last == EntryId() || state.membership->empty()) {
    return FailedPrecondition("{} is of a node that was never part of a cluster", path);
  }
  Beginning beginning{.machine = std::move(state.machine), .last = state.last};
  for (const absl::Status& damage : state.damaged) {
    beginning.notes.push_back(fmt::format("left out: {}", MessageOf(damage)));
  }
  if (state.cut_bytes > 0) {
    beginning.notes.push_back(fmt::format(
        "left out: {} bytes at the end of the log, of a batch that was not written whole",
        state.cut_bytes));
  }
  beginning.notes.push_back(
      fmt::format("all of this node's log is taken, up to entry {}. It knew entries up to {} to be "
                  "committed; {}",
                  state.last.index, state.committed,
                  state.last.index == state.committed
                      ? "there are none behind that"
                      : fmt::format("the {} behind that may be writes that nobody was told of",
                                    state.last.index.value() - state.committed.value())));
  beginning.notes.push_back(fmt::format(
      "writes behind entry {} that other members have acknowledged are lost", state.last.index));
  return beginning;
}

// Of a directory that could not be made. It was empty, or not there. Errors are those of a disk that
// has failed already; what is left does not start.
void RemoveHalfMade(const std::string& data_dir, bool was_missing) {
  std::error_code ignored;
  for (const char* name : {"log", "snapshots", "identity.tmp", "identity", "lock"}) {
    std::filesystem::remove_all(data_dir + "/" + name, ignored);
  }
  if (was_missing) std::filesystem::remove(data_dir, ignored);
}

}  // namespace

int CtlSnapshotVerify(CtlFormat format, const std::string& path) {
  const absl::StatusOr<replica::LoadedSnapshot> snapshot =
      replica::LoadSnapshot(PosixFileSystem(), path);
  if (!snapshot.ok()) return CtlComplain(OfFile(snapshot.status()));
  Print(format, path, *snapshot);
  return kCtlDone;
}

int CtlSnapshotRestore(CtlFormat format, const std::string& source, const std::string& data_dir,
                       const std::string& node_name) {
  if (!IsNodeName(node_name)) {
    return ComplainOfUsage(InvalidArgument(
        "--node-name is {:?}, expected 1 to {} letters, digits, dots, dashes or underscores",
        node_name, kNodeNameBytesMax));
  }
  FileSystem& files = PosixFileSystem();
  // Before a large file is read in vain.
  if (const absl::Status empty = CheckEmpty(files, data_dir); !empty.ok()) {
    return CtlComplain(OfFile(empty));
  }
  const bool was_missing = absl::IsNotFound(files.List(data_dir).status());
  const bool is_directory = files.List(source).ok();
  absl::StatusOr<Beginning> beginning =
      is_directory ? FromDirectory(files, source) : FromFile(files, source);
  if (!beginning.ok()) return CtlComplain(OfFile(beginning.status()));
  const Revision revision = beginning->machine->revision();
  const uint64_t keys = beginning->machine->stats().keys;
  const auto claim = ClaimEmpty(files, data_dir);
  if (!claim.ok()) return CtlComplain(OfFile(claim.status()));
  const absl::StatusOr<Identity> made =
      MakeDataDirectory(files, data_dir, node_name, beginning->last, beginning->machine->Freeze());
  if (!made.ok()) {
    RemoveHalfMade(data_dir, was_missing);
    return CtlComplain(OfFile(made.status()));
  }
  if (format == CtlFormat::kJson) {
    PrintLine(fmt::format(
        R"({{"data_dir":{},"node_name":{},"cluster_id":{},"instance_id":{},"index":{},"term":{},)"
        R"("revision":{},"keys":{},"notes":{}}})",
        JsonString(data_dir), JsonString(node_name), JsonString(made->cluster_id),
        JsonString(made->instance_id), beginning->last.index, beginning->last.term, revision, keys,
        JsonList(beginning->notes)));
    return kCtlDone;
  }
  for (const std::string& note : beginning->notes) PrintLine(note);
  PrintLine(fmt::format("restored {} keys at revision {} into {}: new cluster {}, of node {} alone",
                        keys, revision, data_dir, made->cluster_id, node_name));
  return kCtlDone;
}

}  // namespace mokv
