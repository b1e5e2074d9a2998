#include "cli/stopped_node.h"

#include "base/status.h"

namespace mokv {

absl::StatusOr<std::unique_ptr<FileLock>> LockStoppedNode(FileSystem& files,
                                                          const std::string& data_dir) {
  const std::string path = data_dir + "/lock";
  const absl::Status opened = files.Open(path, FileSystem::OpenMode::kRead).status();
  if (absl::IsNotFound(opened)) return nullptr;
  MOKV_RETURN_IF_ERROR(opened);
  absl::StatusOr<std::unique_ptr<FileLock>> lock = files.Lock(path);
  if (absl::IsFailedPrecondition(lock.status())) {
    return FailedPrecondition("a node runs on {}: stop it first ({})", data_dir,
                              MessageOf(lock.status()));
  }
  return lock;
}

}  // namespace mokv
