#include "service/read_queue.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace mokv::service {

ReadQueue::ReadQueue(net::IoThread& thread, const Clock& clock, replica::Replica& replica)
    : thread_(thread), clock_(clock), replica_(replica), expiry_(thread) {
  thread_.AtTurnEnd([this] { AskTogether(); });
}

void ReadQueue::Add(const replica::ReadRequirement& requirement, MonotonicTime give_up_at,
                    Ready ready) {
  if (requirement.linearizable && requirement.min_revision == Revision(0)) {
    forming_.push_back({give_up_at, std::move(ready)});
    return;
  }
  // Its time is the replica's to watch, which knows what it waits for.
  std::vector<Read> alone;
  alone.push_back({MonotonicTime::Max(), std::move(ready)});
  Ask(requirement, give_up_at, std::move(alone));
}

void ReadQueue::AskTogether() {
  if (forming_.empty()) return;
  MonotonicTime longest;
  for (const Read& read : forming_) longest = std::max(longest, read.give_up_at);
  Ask({}, longest, std::exchange(forming_, {}));
  WatchExpiry();
}

void ReadQueue::Ask(const replica::ReadRequirement& requirement, MonotonicTime give_up_at,
                    std::vector<Read> reads) {
  const uint64_t question = ++last_question_;
  asked_.emplace(question, std::move(reads));
  replica_.WaitForRead(requirement, give_up_at, [this, question](const absl::Status& status) {
    thread_.Post([this, question, status] { Finish(question, status); });
  });
}

void ReadQueue::Finish(uint64_t question, const absl::Status& status) {
  const auto found = asked_.find(question);
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
  for (auto question = asked_.begin(); question != asked_.end();) {
    std::erase_if(question->second, [&](Read& read) {
      if (read.give_up_at > now) return false;
      expired.push_back(std::move(read));
      return true;
    });
    question = question->second.empty() ? asked_.erase(question) : std::next(question);
  }
  if (expired.empty()) return;
  const absl::Status why = replica_.WhyReadsWait();
  for (Read& read : expired) read.ready(why);
}

}  // namespace mokv::service
