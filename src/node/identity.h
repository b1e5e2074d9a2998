// Identity of a data directory: which node and which cluster it belongs to, and a random instance
// id, which tells a wiped disk under an old name from the old disk. A plain value.
//
// File:   `identity`, lines of `key: value` for people, the first naming format and version, the
//         last a checksum of those before it. Written atomically.
// Errors: FAILED_PRECONDITION for another node's directory or a newer format; DATA_LOSS for a file
//         that was damaged.
#pragma once

#include <absl/status/statusor.h>

#include <string>

#include "base/file.h"

namespace mokv {

struct Identity {
  std::string node_name;
  std::string instance_id;
  std::string cluster_id;  // Empty until the node is part of a cluster.

  bool operator==(const Identity&) const = default;
};

std::string EncodeIdentity(const Identity& identity);
absl::StatusOr<Identity> DecodeIdentity(const std::string& path, std::string_view text);

// Reads the identity of `data_dir`, or makes one for `node_name` if there is none yet.
absl::StatusOr<Identity> LoadOrMakeIdentity(FileSystem& files, const std::string& data_dir,
                                            const std::string& node_name);
absl::Status SaveIdentity(FileSystem& files, const std::string& data_dir, const Identity& identity);

}  // namespace mokv
