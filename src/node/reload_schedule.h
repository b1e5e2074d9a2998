// ReloadSchedule: when files that belong together are to be read again, by how they look: a change
// is waited out until nothing changes any more, so that a certificate is not read without its key,
// and what could not be used is tried again from time to time, since a certificate may not be valid
// yet.
//
// Threads: a plain value, confined to one thread. Pure: time and looks come in.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/clock.h"

namespace mokv {

// How a file looks from outside. Another file of the same content in its place looks different.
struct FileLook {
  bool exists = false;
  bool is_regular = false;
  uint64_t device = 0;
  uint64_t inode = 0;
  uint64_t size_bytes = 0;
  int64_t modified_ns = 0;
  int64_t changed_ns = 0;

  bool operator==(const FileLook&) const = default;
};
using FileLooks = std::vector<FileLook>;

// Symbolic links are followed, as by whoever reads the file.
FileLooks LookAt(const std::vector<std::string>& paths);

class ReloadSchedule {
 public:
  static constexpr Duration kRetryInterval = std::chrono::seconds(10);

  // `in_use`: how the files looked before they were read.
  explicit ReloadSchedule(FileLooks in_use) : tried_(in_use), last_(std::move(in_use)) {}

  // `asked`: somebody wants them read now, however they look.
  bool IsTimeToLoad(const FileLooks& now_look, MonotonicTime now, bool asked);
  // They were read, as they looked before.
  void OnLoaded(FileLooks look, MonotonicTime now, bool ok);

 private:
  FileLooks tried_;  // When they were last read.
  FileLooks last_;   // At the last question.
  bool failed_ = false;
  MonotonicTime retry_at_;
};

}  // namespace mokv
