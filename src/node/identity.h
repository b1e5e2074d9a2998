// Identity of a data directory: which node and which cluster it belongs to, and a random instance
// id, which tells a wiped disk under an old name from the old disk. A plain value.
//
// File:   `identity`, lines of `key: value` for people, the first naming format and version, the
//         last a checksum of those before it. Written atomically. Version 2 is one with `replaces`:
//         a program that does not know of it must not take the directory for a new node's.
// Errors: FAILED_PRECONDITION for another node's directory or a newer format; DATA_LOSS for a file
//         that was damaged.
#pragma once

#include <absl/status/statusor.h>

#include <string>
#include <vector>

#include "base/file.h"

namespace mokv {

struct Identity {
  std::string node_name;
  std::string instance_id;
  std::string cluster_id;  // Empty until the node is part of a cluster.
  // Not empty: the directory was made by `mokvctl rebuild`, and the node is not yet a member with
  // this instance id. The instances of its name whose place it takes, replica::kAnyInstance if that
  // is not known.
  std::vector<std::string> replaces = {};

  bool operator==(const Identity&) const = default;
};

std::string EncodeIdentity(const Identity& identity);
absl::StatusOr<Identity> DecodeIdentity(const std::string& path, std::string_view text);

// Reads the identity of `data_dir`, or makes one for `node_name` if there is none yet.
absl::StatusOr<Identity> LoadOrMakeIdentity(FileSystem& files, const std::string& data_dir,
                                            const std::string& node_name);
absl::Status SaveIdentity(FileSystem& files, const std::string& data_dir, const Identity& identity);

}  // namespace mokv
