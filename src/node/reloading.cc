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
    {
      const MutexLock lock(mutex_);
      looking_at_ = watched.what;
      looking_since_ = clock_.Now();
    }
    LookAtOne(watched, asked);
    const MutexLock lock(mutex_);
    looking_at_ = std::nullopt;
  }
}

void Reloading::LookAtOne(Watched& watched, bool asked) {
  FileLooks look = LookAt(watched.files);
  if (watched.schedule.IsTimeToLoad(look, clock_.Now(), asked)) Reload(watched, std::move(look));
}

void Reloading::Reload(Watched& watched, FileLooks look) {
  absl::Status status;
  for (size_t i = 0; i < look.size() && status.ok(); ++i) {
    // A pipe, say, would hold up whoever opens it.
    if (look[i].exists && !look[i].is_regular) {
      status = InvalidArgument("{} is not a regular file", watched.files[i]);
    }
  }
  if (status.ok()) status = watched.load();
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
  std::map<std::string, Counts> counts = counts_;
  const Duration took = clock_.Now() - looking_since_;
  if (looking_at_.has_value() && took > kLookMax) {
    counts.at(*looking_at_).failure =
        fmt::format("to read its files has taken {} s so far: does their disk or network answer?",
                    std::chrono::duration_cast<std::chrono::seconds>(took).count());
  }
  return counts;
}

}  // namespace mokv
