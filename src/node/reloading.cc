#include "node/reloading.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/logging.h"
#include "base/status.h"

namespace mokv {

void Reloading::Watch(std::string what, std::vector<std::string> files) {
  std::erase(files, "");
  if (files.empty()) return;
  FileLooks looks = LookAt(files);
  const MutexLock lock(mutex_);
  counts_.emplace(what, Counts());
  watched_.push_back({.what = std::move(what),
                      .files = std::move(files),
                      .schedule = ReloadSchedule(std::move(looks)),
                      .load = nullptr});
}

void Reloading::SetLoad(const std::string& what, Load load) {
  const auto found = std::find_if(watched_.begin(), watched_.end(),
                                  [&](const Watched& watched) { return watched.what == what; });
  if (found != watched_.end()) found->load = std::move(load);
}

void Reloading::Look(bool asked) {
  for (Watched& watched : watched_) {
    MOKV_CHECK(watched.load != nullptr);
    FileLooks look = LookAt(watched.files);
    if (watched.schedule.IsTimeToLoad(look, clock_.Now(), asked)) {
      Reload(watched, std::move(look));
    }
  }
}

void Reloading::Reload(Watched& watched, FileLooks look) {
  const absl::Status status = watched.load();
  watched.schedule.OnLoaded(std::move(look), clock_.Now(), status.ok());
  const std::string failure(MessageOf(status));
  std::string failure_before;
  {
    const MutexLock lock(mutex_);
    Counts& counts = counts_.at(watched.what);
    ++(status.ok() ? counts.done : counts.failed);
    failure_before = std::exchange(counts.failure, failure);
  }
  if (status.ok()) return LogInfo("read again, and in use", {{"what", watched.what}});
  // What is tried again and again is told once.
  if (failure == failure_before) return;
  LogError("changed, but cannot be used; the old ones stay in force",
           {{"what", watched.what}, {"reason", failure}});
}

std::map<std::string, Reloading::Counts> Reloading::counts() const {
  const MutexLock lock(mutex_);
  return counts_;
}

}  // namespace mokv
