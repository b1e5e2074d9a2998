// Directory: which snapshots a node has. Each is one file, named after the last entry in it. A file
// has its name only once all of it is on disk; until then it is called something else, and is
// removed when the node starts again, but for a transfer that goes on.
//
// Threads: confined to one at a time. Owner: borrows the file system.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "base/log_entry.h"

namespace mokv::snapshot {

// snapshot-<index>-<term>.snap, each number in 16 hex digits.
std::string FileName(EntryId last);
std::optional<EntryId> ParseFileName(std::string_view name);

class Directory {
 public:
  Directory(FileSystem& files, std::string path) : files_(files), path_(std::move(path)) {}

  // Makes the directory if need be, removes what was left unfinished, and lists the snapshots: the
  // newest first.
  absl::StatusOr<std::vector<EntryId>> Open() const;

  std::string PathOf(EntryId last) const;
  // Where it is written, or what has come of it is kept, until it is whole.
  std::string WrittenPathOf(EntryId last) const;
  std::string FetchedPathOf(EntryId last) const;

  // A new file at `path`, which may be there: then it is emptied.
  absl::StatusOr<std::unique_ptr<File>> Create(const std::string& path) const;
  // Opens the file that is fetched from elsewhere, as far as it has come; gives its size. What had
  // been begun of others is removed.
  absl::StatusOr<uint64_t> OpenFetched(EntryId last, std::unique_ptr<File>& file) const;
  // The file at `path` is whole and synced: it gets its name, for good.
  absl::Status Publish(const std::string& path, EntryId last) const;
  // It is damaged: from now on it is no snapshot, but it stays for whoever wants to look at it, in
  // the place of one that was set aside before.
  absl::Status SetAside(EntryId last) const;
  // OK also if it is not there.
  absl::Status Remove(const std::string& path) const;
  FileSystem& files() const { return files_; }
  const std::string& path() const { return path_; }

 private:
  FileSystem& files_;
  const std::string path_;
};

}  // namespace mokv::snapshot
