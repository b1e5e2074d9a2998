#include "telemetry/audit_log.h"

#include <fcntl.h>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <utility>

#include "base/json.h"
#include "base/logging.h"
#include "base/status.h"
#include "telemetry/call_metrics.h"

namespace mokv::telemetry {
namespace {

constexpr mode_t kFileMode = 0640;

absl::Status Unusable(int error, const std::string& path) {
  return ErrnoStatus(error, fmt::format("audit-log-file {}", path));
}

absl::Status NotRegular(const std::string& path) {
  return InvalidArgument("audit-log-file {} is not a regular file", path);
}

// How often it is told that lines are dropped.
constexpr Duration kDroppedInterval = std::chrono::minutes(1);

void AppendMember(std::string& line, std::string_view name, std::string_view text) {
  if (line.size() > 1) line += ',';
  line += '"';
  line += name;
  line += "\":";
  line += JsonString(text);
}

void Count(std::string_view lines, std::atomic<uint64_t>& counter) {
  counter.fetch_add(static_cast<uint64_t>(std::count(lines.begin(), lines.end(), '\n')),
                    std::memory_order_relaxed);
}

std::string Now() {
  const auto now = std::chrono::system_clock::now();
  const auto seconds = std::chrono::floor<std::chrono::seconds>(now);
  const auto us = std::chrono::duration_cast<std::chrono::microseconds>(now - seconds).count();
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:06}Z",
                     fmt::gmtime(std::chrono::system_clock::to_time_t(seconds)), us);
}

}  // namespace

std::string AuditLine(const AuditRecord& record, std::string_view time) {
  const size_t bytes_max = record.allowed ? AuditLog::kTextBytesMax : AuditLog::kDeniedTextBytesMax;
  const auto cut = [bytes_max](std::string_view text) { return text.substr(0, bytes_max); };
  std::string line = "{";
  AppendMember(line, "time", time);
  AppendMember(line, "subject", cut(record.subject));
  if (!record.peer.empty()) AppendMember(line, "peer", cut(record.peer));
  if (!record.forwarded_by.empty()) AppendMember(line, "forwarded_by", cut(record.forwarded_by));
  AppendMember(line, "method", cut(record.method));
  AppendMember(line, "object", cut(record.object));
  AppendMember(line, "action", cut(record.action));
  AppendMember(line, "decision", record.allowed ? "allow" : "deny");
  AppendMember(line, "rule", cut(record.rule));
  if (record.line.has_value()) line += fmt::format(R"(,"line":{})", *record.line);
  AppendMember(line, "status", StatusCodeName(record.code));
  line += '}';
  return line;
}

AuditLog::AuditLog(Options options) : options_(std::move(options)) {}

AuditLog::~AuditLog() { CloseFile(); }

absl::StatusOr<std::unique_ptr<AuditLog>> AuditLog::Open(Options options) {
  std::unique_ptr<AuditLog> log(new AuditLog(std::move(options)));
  MOKV_RETURN_IF_ERROR(log->OpenFile());
  return log;
}

absl::Status AuditLog::CheckPath(const std::string& path) {
  struct stat found {};
  const bool exists = stat(path.c_str(), &found) == 0;
  if (!exists && errno != ENOENT) return Unusable(errno, path);
  if (exists && !S_ISREG(found.st_mode)) return NotRegular(path);
  if (exists && access(path.c_str(), W_OK) != 0) return Unusable(errno, path);
  // Also of a file that is there: it will be rotated.
  const size_t slash = path.rfind('/');
  const std::string directory = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  return access(directory.c_str(), W_OK | X_OK) == 0 ? absl::OkStatus() : Unusable(errno, path);
}

void AuditLog::Record(const AuditRecord& record) {
  const std::string line = AuditLine(record, Now()) + '\n';
  if (record.allowed) {
    queue_.Push(line);
  } else {
    queue_.PushBulk(line, Duration::zero());
  }
}

bool AuditLog::DrainOnce(Duration wait_max) {
  const bool is_last = queue_.closed();  // Before the look: what comes later is written, too.
  const std::string lines = queue_.Take(wait_max);
  if (!lines.empty() || reopen_) {
    const absl::Status status = Write(lines);
    if (!status.ok() && !failing_) {
      LogError("the audit log cannot be written; its lines are dropped and counted",
               {{"reason", MessageOf(status)}});
    } else if (status.ok() && failing_) {
      LogInfo("the audit log is written again", {{"file", options_.path}});
    }
    failing_ = !status.ok();
  }
  queue_.Written();
  TellDropped();
  return !is_last;
}

void AuditLog::TellDropped() {
  const uint64_t dropped = queue_.dropped();
  const MonotonicTime now = SystemClock().Now();
  if (dropped == dropped_told_ || now < next_told_) return;
  LogWarn("lines of the audit log were dropped: they come faster than the disk takes them",
          {{"dropped", dropped - dropped_told_}});
  dropped_told_ = dropped;
  next_told_ = now + kDroppedInterval;
}

absl::Status AuditLog::OpenFile() {
  const int fd = open(options_.path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK,
                      kFileMode);
  if (fd < 0) return errno == EISDIR ? NotRegular(options_.path) : Unusable(errno, options_.path);
  struct stat found {};
  if (fstat(fd, &found) != 0 || !S_ISREG(found.st_mode)) {
    close(fd);
    return NotRegular(options_.path);
  }
  fd_ = fd;
  size_bytes_ = static_cast<uint64_t>(found.st_size);
  return absl::OkStatus();
}

void AuditLog::CloseFile() {
  if (fd_ >= 0) close(std::exchange(fd_, -1));
}

absl::Status AuditLog::FindFile() {
  struct stat at_path {};
  struct stat open_one {};
  const bool is_there = fd_ >= 0 && !reopen_.exchange(false) &&
                        stat(options_.path.c_str(), &at_path) == 0 && fstat(fd_, &open_one) == 0 &&
                        at_path.st_ino == open_one.st_ino && at_path.st_dev == open_one.st_dev;
  if (is_there) {
    size_bytes_ = static_cast<uint64_t>(open_one.st_size);
    return absl::OkStatus();
  }
  CloseFile();
  return OpenFile();
}

absl::Status AuditLog::Rotate() {
  const std::string old = options_.path + ".1";
  if (std::rename(options_.path.c_str(), old.c_str()) != 0) {
    const absl::Status status =
        ErrnoStatus(errno, fmt::format("cannot rename {} to {}", options_.path, old));
    if (!std::exchange(cannot_rotate_, true)) {
      LogError("the audit log cannot be rotated; it grows on", {{"reason", MessageOf(status)}});
    }
    return absl::OkStatus();
  }
  cannot_rotate_ = false;
  CloseFile();
  return OpenFile();
}

absl::Status AuditLog::Write(std::string_view lines) {
  absl::Status status = FindFile();
  while (!lines.empty()) {
    // As many whole lines as the file has room for; the first in any case.
    size_t size = lines.find('\n') + 1;
    if (status.ok() && size_bytes_ > 0 && size_bytes_ + size > options_.bytes_max) {
      status = Rotate();
    }
    const uint64_t room = options_.bytes_max - std::min(size_bytes_, options_.bytes_max);
    if (size <= room) size = lines.rfind('\n', std::min<uint64_t>(room, lines.size()) - 1) + 1;
    if (status.ok()) {
      status = Append(lines.substr(0, size));
    } else {
      Count(lines.substr(0, size), failed_);
    }
    lines.remove_prefix(size);
  }
  return status;
}

absl::Status AuditLog::Append(std::string_view lines) {
  size_t done = 0;
  while (done < lines.size()) {
    const ssize_t size = write(fd_, lines.data() + done, lines.size() - done);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) {
      const absl::Status status = ErrnoStatus(errno, fmt::format("cannot write {}", options_.path));
      // Whole lines stay; no half one is left for the next to stand behind.
      const size_t whole = lines.substr(0, done).rfind('\n') + 1;
      size_bytes_ += whole;
      if (done > whole && ftruncate(fd_, static_cast<off_t>(size_bytes_)) != 0) CloseFile();
      Count(lines.substr(0, whole), written_);
      Count(lines.substr(whole), failed_);
      return status;
    }
    done += static_cast<size_t>(size);
  }
  size_bytes_ += lines.size();
  Count(lines, written_);
  return absl::OkStatus();
}

}  // namespace mokv::telemetry
