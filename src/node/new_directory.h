// A data directory that is made from a state: whoever starts a node on it has the only voter of a new
// cluster, with all of that state and its revisions.
//
// Half made it does not start, or starts with all of it: its identity says from the beginning that it
// is a member of a cluster; the log, without which no member starts, comes last. What is left of one
// that could not be finished is the caller's to remove.
//
// Threads: any one; it starts some of its own and waits for their end.
// Errors:  name the file. FAILED_PRECONDITION: the directory is not empty. RESOURCE_EXHAUSTED: no
//          space.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <memory>
#include <string>

#include "base/file.h"
#include "base/log_entry.h"
#include "machine/machine.h"
#include "node/identity.h"

namespace mokv {

// The directory that holds `path`: to be synced, so that a new `path` lasts.
std::string ParentOf(const std::string& path);
// OK if there is nothing in the directory, or no directory.
absl::Status CheckEmpty(FileSystem& files, const std::string& path);
// Makes the directory, if it is missing. While the lock lives, no node starts there, and nobody else
// claims it.
absl::StatusOr<std::unique_ptr<FileLock>> ClaimEmpty(FileSystem& files, const std::string& path);

// In a directory that was claimed. `state` is that of the log up to `last`, where the new one goes on. The ids are new. The node's
// address is not known here: the leader, which is the node itself, writes it into the configuration.
absl::StatusOr<Identity> MakeDataDirectory(FileSystem& files, const std::string& path,
                                           const std::string& node_name, EntryId last,
                                           machine::FrozenState state);

}  // namespace mokv
