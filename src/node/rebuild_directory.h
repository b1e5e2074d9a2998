// A data directory whose content is damaged or lost becomes that of a node that the cluster fills
// again. Nothing is deleted: what is there is moved aside. The new identity has another instance id,
// so that the node never votes as who it was, and says whose place it takes (Identity::replaces).
//
// It may be interrupted anywhere: from the first change to the last the directory is fenced, with a
// reason that says to do it again.
//
// Threads: any one.
#pragma once

#include <absl/status/statusor.h>

#include <string>
#include <vector>

#include "base/file.h"
#include "node/identity.h"

namespace mokv {

struct RebuiltDirectory {
  Identity identity;
  std::string aside;              // Where all went that was there; empty: there was nothing.
  std::vector<std::string> left;  // Names in the directory that no node makes: they stay.
};

// `node_name` may be empty if the directory has an identity that can be read. `aside`: the name of the
// directory to be made for what is there, which begins with kAsidePrefix. INVALID_ARGUMENT: a name is
// needed. FAILED_PRECONDITION: a node runs on it, it is another node's, or no node's at all.
absl::StatusOr<RebuiltDirectory> RebuildDirectory(FileSystem& files, const std::string& data_dir,
                                                  const std::string& node_name,
                                                  const std::string& aside);

inline constexpr std::string_view kAsidePrefix = "replaced-";

}  // namespace mokv
