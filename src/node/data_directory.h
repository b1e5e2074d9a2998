// DataDirectory: a node's directory, locked against other processes, with the identity that is kept
// in it.
//
// Threads: confined to the thread that starts the node, but for KeepClusterId and KeepMembership.
// Errors:  name the setting `data-dir` and what to do.
#pragma once

#include <absl/status/status.h>

#include <atomic>
#include <memory>
#include <string>

#include "base/executor.h"
#include "base/file.h"
#include "node/identity.h"

namespace mokv {

// For errors about a directory that no node can go on with: a sentence that says what to do.
std::string RebuildAdvice(const std::string& data_dir);

class DataDirectory {
 public:
  // Borrows `files`.
  DataDirectory(FileSystem& files, std::string path) : files_(files), path_(std::move(path)) {}

  // Makes the directory if need be, locks it, and finds or makes the identity. FAILED_PRECONDITION:
  // another process has it, it is another node's, the log of a member is gone, or its state was
  // found to differ from the others'. Where the way out is to rebuild it, the error says so.
  absl::Status Open(const std::string& node_name);

  std::string log_path() const { return path_ + "/log"; }
  std::string snapshots_path() const { return path_ + "/snapshots"; }
  // After Open. The cluster's id is that of the start.
  const Identity& identity() const { return identity_; }
  // Keeps the id of the cluster that the node has become part of, if it was part of none. Writes on
  // `background`. To be called on one thread, whichever that is.
  void KeepClusterId(const std::string& cluster_id, Executor& background) const;
  // Made by `mokvctl rebuild`, and the node is not yet a member with what is in here now.
  // Thread-safe.
  bool is_rebuilt() const { return is_rebuilt_; }
  // It is one now, of this cluster, and its log says so. Writes on `background`. On the same thread
  // as KeepClusterId.
  void KeepMembership(const std::string& cluster_id, Executor& background);
  // The state in here is not that of the others: Open refuses it from now on. Writes on
  // `background`.
  void KeepFence(const std::string& reason, Executor& background) const;

 private:
  absl::Status CheckThatLogIsThere() const;
  absl::Status CheckThatItIsNotFenced() const;
  std::string fence_path() const { return path_ + "/fenced"; }

  FileSystem& files_;
  const std::string path_;
  std::unique_ptr<FileLock> lock_;
  Identity identity_;
  std::atomic<bool> is_rebuilt_{false};
};

}  // namespace mokv
