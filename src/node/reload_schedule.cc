#include "node/reload_schedule.h"

#include <sys/stat.h>

#include <utility>

namespace mokv {
namespace {

int64_t Nanoseconds(const timespec& time) {
  return int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

}  // namespace

FileLooks LookAt(const std::vector<std::string>& paths) {
  FileLooks looks;
  for (const std::string& path : paths) {
    struct stat found {};
    FileLook look;
    if (stat(path.c_str(), &found) == 0) {
      look = {.exists = true,
              .is_regular = S_ISREG(found.st_mode),
              .device = found.st_dev,
              .inode = found.st_ino,
              .size_bytes = static_cast<uint64_t>(found.st_size),
              .modified_ns = Nanoseconds(found.st_mtim),
              .changed_ns = Nanoseconds(found.st_ctim)};
    }
    looks.push_back(look);
  }
  return looks;
}

bool ReloadSchedule::IsTimeToLoad(const FileLooks& now_look, MonotonicTime now, bool asked) {
  const bool is_still = std::exchange(last_, now_look) == now_look;
  if (asked) return true;
  if (now_look != tried_) return is_still;
  return failed_ && now >= retry_at_;
}

void ReloadSchedule::OnLoaded(FileLooks look, MonotonicTime now, bool ok) {
  tried_ = std::move(look);
  failed_ = !ok;
  retry_at_ = now + kRetryInterval;
}

}  // namespace mokv
