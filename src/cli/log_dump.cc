#include "cli/log_dump.h"

#include <cstdio>

#include "base/file.h"
#include "base/status.h"
#include "cli/ctl_commands.h"
#include "wal/dump.h"

namespace mokv {
namespace {

// `directory`, or the log of the node whose data directory it is.
std::string LogDirectory(FileSystem& files, const std::string& directory) {
  const std::string below = directory + "/log";
  return files.List(below).ok() ? below : directory;
}

}  // namespace

int CtlLogDump(const std::string& directory) {
  FileSystem& files = PosixFileSystem();
  const std::string log = LogDirectory(files, directory);
  const absl::StatusOr<wal::DumpSummary> summary =
      wal::DumpLog(files, log, [](std::string_view line) {
        std::fwrite(line.data(), 1, line.size(), stdout);
        std::fputc('\n', stdout);
      });
  if (!summary.ok()) {
    fmt::print(stderr, "{}\n", MessageOf(summary.status()));
    return kCtlRefused;
  }
  if (summary->segments == 0) {
    fmt::print(stderr, "{}: no log segments\n", log);
    return kCtlRefused;
  }
  fmt::print("{} segments, {} batches, {} entries, {} damaged places\n", summary->segments,
             summary->batches, summary->entries, summary->damages);
  return summary->damages == 0 ? kCtlDone : kCtlRefused;
}

}  // namespace mokv
