#include "node/data_directory.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/logging.h"
#include "base/status.h"

namespace mokv {

absl::Status DataDirectory::Open(const std::string& node_name) {
  const auto named = [&](const absl::Status& status) {
    return absl::Status(status.code(), fmt::format("data-dir {}: {}", path_, MessageOf(status)));
  };
  if (const absl::Status status = files_.CreateDirectories(path_); !status.ok()) {
    return named(status);
  }
  absl::StatusOr<std::unique_ptr<FileLock>> lock = files_.Lock(path_ + "/lock");
  if (!lock.ok()) return named(lock.status());
  lock_ = *std::move(lock);
  MOKV_ASSIGN_OR_RETURN(identity_, LoadOrMakeIdentity(files_, path_, node_name));
  MOKV_RETURN_IF_ERROR(CheckThatItIsNotFenced());
  return CheckThatLogIsThere();
}

absl::Status DataDirectory::CheckThatItIsNotFenced() const {
  const absl::StatusOr<std::string> reason = files_.ReadFile(fence_path());
  if (absl::IsNotFound(reason.status())) return absl::OkStatus();
  MOKV_RETURN_IF_ERROR(reason.status());
  return FailedPrecondition(
      "data-dir {}: this node was fenced: {}. Keep a copy of the directory for whoever looks for "
      "the "
      "reason, remove the member (mokvctl member remove {}) and the directory, then start it again "
      "and add it anew",
      path_, *reason, identity_.node_name);
}

void DataDirectory::KeepFence(const std::string& reason, Executor& background) const {
  background.Post([this, reason] {
    const absl::Status kept = files_.WriteFileAtomically(fence_path(), reason);
    if (!kept.ok()) LogWarn("cannot keep that this node is fenced", {{"reason", MessageOf(kept)}});
  });
}

// A node that has lost its log has forgotten its votes and what it acknowledged. The others count
// on both, so it must not go on under its old identity.
absl::Status DataDirectory::CheckThatLogIsThere() const {
  if (identity_.cluster_id.empty()) return absl::OkStatus();
  const auto names = files_.List(log_path());
  if (names.ok() && std::any_of(names->begin(), names->end(),
                                [](const std::string& name) { return name.ends_with(".seg"); })) {
    return absl::OkStatus();
  }
  return FailedPrecondition(
      "data-dir {} belongs to a member of cluster {}, but its log is gone. Remove the member ("
      "mokvctl member remove {}) and the directory, then start and add it anew",
      path_, identity_.cluster_id, identity_.node_name);
}

void DataDirectory::KeepClusterId(const std::string& cluster_id, Executor& background) const {
  if (!identity_.cluster_id.empty()) return;
  Identity identity = identity_;
  identity.cluster_id = cluster_id;
  background.Post([this, identity = std::move(identity)] {
    const absl::Status saved = SaveIdentity(files_, path_, identity);
    if (!saved.ok()) LogWarn("cannot keep the cluster's id", {{"reason", MessageOf(saved)}});
  });
}

}  // namespace mokv
