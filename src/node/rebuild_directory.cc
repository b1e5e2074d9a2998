#include "node/rebuild_directory.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <span>
#include <utility>

#include "base/random.h"
#include "base/status.h"
#include "node/new_directory.h"
#include "replica/peers.h"

namespace mokv {
namespace {

constexpr std::string_view kIdentity = "identity";
constexpr std::string_view kFenced = "fenced";
constexpr std::string_view kLock = "lock";
constexpr std::string_view kLostAndFound = "lost+found";
// What a node makes in its directory besides identity, fence and lock.
constexpr std::string_view kStateNames[] = {"log", "snapshots", "serf-peers"};
// What is left of writing a file is overwritten when that is written again.
constexpr std::string_view kUnfinishedNames[] = {"identity.tmp", "fenced.tmp", "serf-peers.tmp"};
// Far more tries than anybody makes before looking at why the node does not become a member. Each
// costs a line of text.
constexpr size_t kReplacesMax = 32;

bool IsOneOf(std::span<const std::string_view> names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

bool IsState(std::string_view name) { return IsOneOf(kStateNames, name); }

bool IsNodes(std::string_view name) {
  return IsState(name) || IsOneOf(kUnfinishedNames, name) || name == kIdentity || name == kFenced ||
         name == kLock || name == kLostAndFound || name.starts_with(kAsidePrefix);
}

class Rebuilding {
 public:
  Rebuilding(FileSystem& files, std::string data_dir)
      : files_(files), data_dir_(std::move(data_dir)) {}

  absl::StatusOr<RebuiltDirectory> Run(const std::string& node_name, const std::string& aside);

 private:
  std::string PathOf(std::string_view name) const { return fmt::format("{}/{}", data_dir_, name); }
  bool Has(std::string_view name) const {
    return std::find(names_.begin(), names_.end(), name) != names_.end();
  }
  // What is there, before anything is touched. Nullopt: no identity that can be read.
  absl::StatusOr<std::optional<Identity>> Look();
  absl::Status CheckThatItIsANodes() const;
  absl::StatusOr<Identity> NewIdentity(const std::optional<Identity>& old,
                                       const std::string& node_name) const;
  absl::Status MoveAside(const std::string& aside);

  FileSystem& files_;
  const std::string data_dir_;
  std::vector<std::string> names_;
};

absl::StatusOr<std::optional<Identity>> Rebuilding::Look() {
  absl::StatusOr<std::vector<std::string>> names = files_.List(data_dir_);
  if (absl::IsNotFound(names.status())) return std::nullopt;
  MOKV_RETURN_IF_ERROR(names.status());
  names_ = *std::move(names);
  if (!Has(kIdentity)) return std::nullopt;
  const std::string path = PathOf(kIdentity);
  const absl::StatusOr<std::string> text = files_.ReadFile(path);
  // A disk that cannot read it has damaged it.
  if (!text.ok()) {
    if (absl::IsPermissionDenied(text.status())) return text.status();
    return std::nullopt;
  }
  absl::StatusOr<Identity> identity = DecodeIdentity(path, *text);
  if (absl::IsDataLoss(identity.status())) return std::nullopt;
  MOKV_RETURN_IF_ERROR(identity.status());
  return *std::move(identity);
}

// Without an identity, only what no other program makes as well may be taken for a node's: /var has
// a `log` and a `lock`, too.
absl::Status Rebuilding::CheckThatItIsANodes() const {
  for (const std::string& name : names_) {
    if (IsNodes(name)) continue;
    return FailedPrecondition(
        "{} is not a node's data-dir: it has no identity that can be read, and has {}, which no "
        "node makes",
        data_dir_, PathOf(name));
  }
  return absl::OkStatus();
}

absl::StatusOr<Identity> Rebuilding::NewIdentity(const std::optional<Identity>& old,
                                                 const std::string& node_name) const {
  if (!old.has_value()) {
    if (node_name.empty()) {
      return InvalidArgument(
          "{} has no identity that can be read: say whose it is with --node-name", data_dir_);
    }
    return Identity{node_name, NewUniqueId(), "", {std::string(replica::kAnyInstance)}};
  }
  if (!node_name.empty() && node_name != old->node_name) {
    return FailedPrecondition("{} belongs to node {}, not to {}", data_dir_, old->node_name,
                              node_name);
  }
  Identity made{old->node_name, NewUniqueId(), old->cluster_id, old->replaces};
  // One that knows of no cluster is no member's, as far as it knows: a node was started on an empty
  // disk, and its name is that of a member which it does not know.
  made.replaces.push_back(old->cluster_id.empty() && old->replaces.empty()
                              ? std::string(replica::kAnyInstance)
                              : old->instance_id);
  if (made.replaces.size() > kReplacesMax) {
    return FailedPrecondition(
        "{} was rebuilt {} times, and the node has not become a member once: see what the leader's "
        "log says of {}",
        data_dir_, old->replaces.size(), old->node_name);
  }
  return made;
}

// In an order that may end anywhere: the fence is there first, and goes last. What is state goes
// before the identity that it belongs to.
absl::Status Rebuilding::MoveAside(const std::string& aside) {
  MOKV_RETURN_IF_ERROR(files_.CreateDirectories(aside));
  const auto copy = [&](std::string_view name) -> absl::Status {
    MOKV_ASSIGN_OR_RETURN(const std::string bytes, files_.ReadFile(PathOf(name)));
    return files_.WriteFileAtomically(fmt::format("{}/{}", aside, name), bytes);
  };
  if (Has(kFenced)) MOKV_RETURN_IF_ERROR(copy(kFenced));
  MOKV_RETURN_IF_ERROR(files_.WriteFileAtomically(
      PathOf(kFenced), "mokvctl rebuild of this directory was interrupted, it is to be run again"));
  for (const std::string& name : names_) {
    if (!IsState(name)) continue;
    MOKV_RETURN_IF_ERROR(files_.Rename(PathOf(name), fmt::format("{}/{}", aside, name)));
  }
  if (Has(kIdentity)) {
    // Moved if it cannot be read; else the new one takes its place, so that there always is one.
    if (!copy(kIdentity).ok()) {
      MOKV_RETURN_IF_ERROR(
          files_.Rename(PathOf(kIdentity), fmt::format("{}/{}", aside, kIdentity)));
    }
  }
  MOKV_RETURN_IF_ERROR(files_.SyncDirectory(aside));
  return files_.SyncDirectory(data_dir_);
}

absl::StatusOr<RebuiltDirectory> Rebuilding::Run(const std::string& node_name,
                                                 const std::string& aside) {
  MOKV_ASSIGN_OR_RETURN(std::optional<Identity> old, Look());
  if (!old.has_value()) MOKV_RETURN_IF_ERROR(CheckThatItIsANodes());
  MOKV_RETURN_IF_ERROR(NewIdentity(old, node_name).status());
  MOKV_RETURN_IF_ERROR(files_.CreateDirectories(data_dir_));
  const absl::StatusOr<std::unique_ptr<FileLock>> lock = files_.Lock(PathOf(kLock));
  if (absl::IsFailedPrecondition(lock.status())) {
    return FailedPrecondition("a node runs on {}: stop it first ({})", data_dir_,
                              MessageOf(lock.status()));
  }
  MOKV_RETURN_IF_ERROR(lock.status());
  // Who held it a moment ago may have changed something.
  MOKV_ASSIGN_OR_RETURN(old, Look());
  if (!old.has_value()) MOKV_RETURN_IF_ERROR(CheckThatItIsANodes());
  MOKV_ASSIGN_OR_RETURN(const Identity made, NewIdentity(old, node_name));
  RebuiltDirectory rebuilt{.identity = made};
  const bool has_any = std::any_of(names_.begin(), names_.end(), [](const std::string& name) {
    return IsState(name) || name == kIdentity || name == kFenced;
  });
  if (has_any) {
    rebuilt.aside = PathOf(aside);
    // More than one within a second.
    for (int i = 2; files_.List(rebuilt.aside).ok(); ++i) {
      rebuilt.aside = fmt::format("{}-{}", PathOf(aside), i);
    }
    MOKV_RETURN_IF_ERROR(MoveAside(rebuilt.aside));
  }
  for (const std::string& name : names_) {
    if (!IsNodes(name)) rebuilt.left.push_back(name);
  }
  MOKV_RETURN_IF_ERROR(SaveIdentity(files_, data_dir_, made));
  if (has_any) MOKV_RETURN_IF_ERROR(files_.Remove(PathOf(kFenced)));
  MOKV_RETURN_IF_ERROR(files_.SyncDirectory(data_dir_));
  MOKV_RETURN_IF_ERROR(files_.SyncDirectory(ParentOf(data_dir_)));
  return rebuilt;
}

}  // namespace

absl::StatusOr<RebuiltDirectory> RebuildDirectory(FileSystem& files, const std::string& data_dir,
                                                  const std::string& node_name,
                                                  const std::string& aside) {
  return Rebuilding(files, data_dir).Run(node_name, aside);
}

}  // namespace mokv
