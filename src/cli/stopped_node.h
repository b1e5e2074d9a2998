// The data directory of a node that is stopped, for looking at it.
#pragma once

#include <absl/status/statusor.h>

#include <memory>
#include <string>

#include "base/file.h"

namespace mokv {

// Keeps a node from starting on the directory while the lock lives. FAILED_PRECONDITION: one runs on
// it. Null, and nothing is made, where no node has ever run: there is no lock file.
absl::StatusOr<std::unique_ptr<FileLock>> LockStoppedNode(FileSystem& files,
                                                          const std::string& data_dir);

}  // namespace mokv
