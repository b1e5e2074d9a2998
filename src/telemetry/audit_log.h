// AuditLog: one JSON line for each thing that somebody did, or was not allowed to do. A file of its
// own, which the node appends to and never reads.
//
// {"time":…,"subject":…,"peer":…,"method":…,"object":…,"action":…,"decision":"allow","rule":…,
//  "line":3,"status":"OK","forwarded_by":…}; docs/reference.md says what each is.
//
// Threads: Record and the counts are thread-safe; Record never waits for the file. DrainOnce is for
//          one thread, which node/ owns: `while (log.DrainOnce(1s)) {}`. Reopen and Close are
//          thread-safe.
// Bounds:  LineQueue's for what waits; beyond that lines are dropped and counted. Denials, which
//          whoever may nothing can make as many of as he likes, get half of that room. A line has
//          every text cut at kTextBytesMax, a denial's at kDeniedTextBytesMax. The file is rotated when it has grown to its limit: the old
//          one becomes FILE.1, of which one is kept.
// Errors:  a line that cannot be written is counted as dropped, and told once in the process's log
//          until one can be written again. A file that cannot be rotated grows on, which is told
//          once, too. One that somebody has moved or removed is made anew with the next lines.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/line_queue.h"

namespace mokv::telemetry {

// The values of the configuration key `audit`, and none for a node without the log.
enum class AuditScope {
  kNone,
  kWrites,  // What changes something, and what is denied.
  kAll,
};

// Borrows its texts during the call of Record.
struct AuditRecord {
  std::string_view subject;       // Common name of the client's certificate.
  std::string_view peer;          // Address of the client; of a forwarded call empty.
  std::string_view forwarded_by;  // Name of the node where the client came in; empty: here.
  std::string_view method;        // As in "/api.KV/Set".
  std::string_view object;
  std::string_view action;
  bool allowed = false;
  std::string_view rule;    // Or why there is none.
  std::optional<int> line;  // Of the policy file.
  absl::StatusCode code = absl::StatusCode::kOk;
};

class AuditLog {
 public:
  struct Options {
    std::string path;
    uint64_t bytes_max = uint64_t{100} << 20;
  };
  // Longer than any key, so that what an object was can always be told.
  static constexpr size_t kTextBytesMax = 4096 + 256;
  static constexpr size_t kDeniedTextBytesMax = 512;

  // Opens the file, or makes it, readable by its owner and group. Errors name it.
  static absl::StatusOr<std::unique_ptr<AuditLog>> Open(Options options);
  // Whether that would work, as far as can be told without making the file.
  static absl::Status CheckPath(const std::string& path);
  ~AuditLog();
  AuditLog(const AuditLog&) = delete;
  AuditLog& operator=(const AuditLog&) = delete;

  void Record(const AuditRecord& record);

  // Waits up to `wait_max` for lines and writes all that wait. False once the log is closed and
  // everything is written.
  bool DrainOnce(Duration wait_max);
  // Opens the file anew, at once: somebody has moved the old one away and looks for a new one.
  void Reopen() { reopen_ = true; }
  void Close() { queue_.Close(); }

  uint64_t written() const { return written_.load(std::memory_order_relaxed); }
  uint64_t dropped() const { return queue_.dropped() + failed_.load(std::memory_order_relaxed); }

 private:
  explicit AuditLog(Options options);

  absl::Status OpenFile();
  void CloseFile();
  // Sees to it that the file at the path is open, and knows its size.
  absl::Status FindFile();
  absl::Status Rotate();
  // Lines that came together, into one file or several.
  absl::Status Write(std::string_view lines);
  // To the end of the file.
  absl::Status Append(std::string_view lines);
  // If lines have been dropped for want of room since the last call, but not twice in a short time.
  void TellDropped();

  const Options options_;
  LineQueue queue_;
  std::atomic<bool> reopen_{false};
  std::atomic<uint64_t> written_{0};  // Lines.
  std::atomic<uint64_t> failed_{0};   // Lines that could not be written.
  // Of the draining thread.
  int fd_ = -1;
  uint64_t size_bytes_ = 0;
  bool failing_ = false;  // To write.
  bool cannot_rotate_ = false;
  uint64_t dropped_told_ = 0;
  MonotonicTime next_told_;
};

// Without the line's end. `time` is when it came to its end.
std::string AuditLine(const AuditRecord& record, std::string_view time);

}  // namespace mokv::telemetry
