#include "cli/verify_directory.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "base/file.h"
#include "base/status.h"
#include "cli/ctl_answer.h"
#include "cli/ctl_output.h"
#include "cli/stopped_node.h"
#include "node/data_directory.h"
#include "node/identity.h"
#include "replica/replay.h"
#include "replica/salvage.h"
#include "replica/snapshot_file.h"
#include "snapshot/directory.h"
#include "store/store.h"
#include "wal/log_scan.h"

namespace mokv {
namespace {

class Verification {
 public:
  Verification(FileSystem& files, std::string data_dir)
      : files_(files), data_dir_(std::move(data_dir)), directory_(files, data_dir_) {}

  int Run() {
    Identify();
    CheckSnapshots();
    CheckLog();
    if (all_ok_) CheckTogether();
    return all_ok_ ? kCtlDone : kCtlRefused;
  }

 private:
  template <typename... Args>
  void Ok(const std::string& path, fmt::format_string<Args...> format, Args&&... args) {
    PrintLine(fmt::format("OK  {}: {}", path, fmt::format(format, std::forward<Args>(args)...)));
  }
  void Mention(const std::string& path, std::string_view what) {
    PrintLine(fmt::format("--  {}: {}", path, what));
  }
  // `status` names the file.
  void Wrong(const absl::Status& status) {
    all_ok_ = false;
    PrintLine(fmt::format("BAD {}", MessageOf(status)));
  }

  void Identify() {
    const std::string path = data_dir_ + "/identity";
    const absl::StatusOr<std::string> text = files_.ReadFile(path);
    if (!text.ok()) return Wrong(text.status());
    const absl::StatusOr<Identity> identity = DecodeIdentity(path, *text);
    if (!identity.ok()) return Wrong(identity.status());
    cluster_id_ = identity->cluster_id;
    Ok(path, "node {}, instance {}, {}", identity->node_name, identity->instance_id,
       cluster_id_.empty() ? "of no cluster yet" : "cluster " + cluster_id_);
  }

  void CheckSnapshots() {
    const std::string path = directory_.snapshots_path();
    const absl::StatusOr<std::vector<std::string>> names = files_.List(path);
    if (absl::IsNotFound(names.status())) return;
    if (!names.ok()) return Wrong(names.status());
    for (const std::string& name : *names) {
      const std::string file = fmt::format("{}/{}", path, name);
      if (snapshot::ParseFileName(name).has_value()) {
        CheckSnapshot(file);
      } else {
        // Such names, and no others, are made beside the snapshots' own.
        Mention(file, name.ends_with(".damaged")
                          ? "was set aside by a start that found it damaged; may be removed"
                          : "not part of the state: unfinished, or not ours");
      }
    }
  }

  void CheckSnapshot(const std::string& path) {
    const absl::StatusOr<replica::LoadedSnapshot> loaded = replica::LoadSnapshot(files_, path);
    if (!loaded.ok()) return Wrong(loaded.status());
    const raft::SnapshotMeta& meta = loaded->meta;
    if (!path.ends_with("/" + snapshot::FileName(meta.last))) {
      return Wrong(DataLoss("{}: it is of entry {}, term {}, which its name does not say", path,
                            meta.last.index, meta.last.term));
    }
    if (meta.membership->cluster_id() != cluster_id_ && !cluster_id_.empty()) {
      return Wrong(DataLoss("{}: it is of cluster {}, the identity of {}", path,
                            meta.membership->cluster_id(), cluster_id_));
    }
    Ok(path, "snapshot of entry {}, term {}: revision {}, {} keys, {} bytes", meta.last.index,
       meta.last.term, loaded->state.store->revision(), loaded->state.store->stats().keys,
       loaded->file_bytes);
  }

  void CheckLog() {
    const std::string path = directory_.log_path();
    wal::Log::OnEntry on_entry = [](const wal::EntryView&) { return absl::OkStatus(); };
    wal::Log::OnCommitted on_committed;
    const absl::StatusOr<wal::FoundLog> found = wal::ReadLog(files_, path, on_entry, on_committed);
    if (absl::IsNotFound(found.status()) && cluster_id_.empty()) {
      return Mention(path, "missing; the node has not been part of a cluster");
    }
    if (!found.ok()) return Wrong(found.status());
    Ok(path, "entries {} to {}, the last of term {}; {} segments; known to be committed up to {}",
       found->first_index, found->last_index, found->last_term, found->segments,
       found->hard_state.commit);
    if (found->cut_bytes > 0) {
      Mention(path, fmt::format("its last batch was not written whole: a start cuts off {} bytes, "
                                "of which nobody was told",
                                found->cut_bytes));
    }
  }

  // Each part is whole; a start needs them to fit.
  void CheckTogether() {
    if (cluster_id_.empty()) return;
    const absl::StatusOr<replica::SalvagedState> state =
        replica::Salvage(files_, {directory_.snapshots_path(), directory_.log_path()});
    if (!state.ok()) {
      return Wrong(absl::Status(state.status().code(),
                                fmt::format("{}: {}", data_dir_, MessageOf(state.status()))));
    }
    if (state->membership->cluster_id() != cluster_id_) {
      return Wrong(FailedPrecondition("{}: the identity is of cluster {}, the log of {}", data_dir_,
                                      cluster_id_, state->membership->cluster_id()));
    }
    Ok(data_dir_, "a start finds revision {}, {} keys, all up to entry {}",
       state->machine->revision(), state->machine->stats().keys, state->last.index);
  }

  FileSystem& files_;
  const std::string data_dir_;
  const DataDirectory directory_;
  std::string cluster_id_;  // Of the identity.
  bool all_ok_ = true;
};

}  // namespace

int CtlVerify(const std::string& data_dir) {
  FileSystem& files = PosixFileSystem();
  if (const absl::Status listed = files.List(data_dir).status(); !listed.ok()) {
    return CtlComplain(OfFile(listed));
  }
  const absl::StatusOr<std::unique_ptr<FileLock>> lock = LockStoppedNode(files, data_dir);
  if (!lock.ok()) return CtlComplain(OfFile(lock.status()));
  return Verification(files, data_dir).Run();
}

}  // namespace mokv
