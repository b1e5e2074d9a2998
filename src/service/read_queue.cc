#include "service/read_queue.h"

#include <algorithm>
#include <utility>

#include "base/status.h"

namespace mokv::service {

ReadQueue::ReadQueue(net::IoThread& thread, const Clock& clock, replica::Replica& replica)
    : thread_(thread), clock_(clock), replica_(replica), expiry_(thread) {
  thread_.AtTurnEnd([this] { Ask(); });
}

void ReadQueue::Add(MonotonicTime give_up_at, Ready ready) {
  forming_.push_back({give_up_at, std::move(ready)});
}

void ReadQueue::Ask() {
  if (forming_.empty()) return;
  const uint64_t batch = ++last_batch_;
  MonotonicTime longest;
  for (const Read& read : forming_) longest = std::max(longest, read.give_up_at);
  asked_.emplace(batch, std::exchange(forming_, {}));
  WatchExpiry();
  replica_.WaitForRead({}, longest, [this, batch](const absl::Status& status) {
    thread_.Post([this, batch, status] { Finish(batch, status); });
  });
}

void ReadQueue::Finish(uint64_t batch, const absl::Status& status) {
  const auto found = asked_.find(batch);
  if (found == asked_.end()) return;  // All of them have been given up.
  std::vector<Read> reads = std::move(found->second);
  asked_.erase(found);
  for (Read& read : reads) read.ready(status);
}

void ReadQueue::WatchExpiry() {
  if (std::exchange(watching_, true)) return;
  expiry_.Start(kExpiryInterval, [this] {
    watching_ = false;
    Expire();
    if (!asked_.empty()) WatchExpiry();
  });
}

void ReadQueue::Expire() {
  const MonotonicTime now = clock_.Now();
  std::vector<Read> expired;
  for (auto batch = asked_.begin(); batch != asked_.end();) {
    std::erase_if(batch->second, [&](Read& read) {
      if (read.give_up_at > now) return false;
      expired.push_back(std::move(read));
      return true;
    });
    batch = batch->second.empty() ? asked_.erase(batch) : std::next(batch);
  }
  if (expired.empty()) return;
  const absl::Status why = replica_.WhyReadsWait();
  for (Read& read : expired) read.ready(why);
}

}  // namespace mokv::service
