#include "node/data_directory.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/logging.h"
#include "base/status.h"

namespace mokv {

std::string RebuildAdvice(const std::string& data_dir) {
  return fmt::format(
      "If other members have the node's data: mokvctl rebuild {}, then start it again", data_dir);
}

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
  // First, so that nothing is made in a directory that is being rebuilt.
  MOKV_RETURN_IF_ERROR(CheckThatItIsNotFenced());
  MOKV_ASSIGN_OR_RETURN(identity_, LoadOrMakeIdentity(files_, path_, node_name));
  is_rebuilt_ = !identity_.replaces.empty();
  return CheckThatLogIsThere();
}

absl::Status DataDirectory::CheckThatItIsNotFenced() const {
  const absl::StatusOr<std::string> reason = files_.ReadFile(fence_path());
  if (absl::IsNotFound(reason.status())) return absl::OkStatus();
  MOKV_RETURN_IF_ERROR(reason.status());
  return FailedPrecondition("data-dir {0}: this node was fenced: {1}. {2}", path_, *reason,
                            RebuildAdvice(path_));
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
  if (identity_.cluster_id.empty() || is_rebuilt()) return absl::OkStatus();
  const auto names = files_.List(log_path());
  if (names.ok() && std::any_of(names->begin(), names->end(),
                                [](const std::string& name) { return name.ends_with(".seg"); })) {
    return absl::OkStatus();
  }
  return FailedPrecondition(
      "data-dir {} belongs to a member of cluster {}, but its log is gone. {}", path_,
      identity_.cluster_id, RebuildAdvice(path_));
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

void DataDirectory::KeepMembership(const std::string& cluster_id, Executor& background) {
  is_rebuilt_ = false;
  identity_.replaces.clear();
  identity_.cluster_id = cluster_id;
  background.Post([this, identity = identity_] {
    const absl::Status saved = SaveIdentity(files_, path_, identity);
    if (!saved.ok()) {
      LogWarn("cannot keep that the rebuilt node is a member; a start will ask for that again",
              {{"reason", MessageOf(saved)}});
    }
  });
}

}  // namespace mokv
