#include "replica/reads.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/check.h"

namespace mokv::replica {

void Reads::Add(WaitingRead read) {
  ++size_;
  (read.requirement.linearizable ? unasked_ : for_revision_).push_back(std::move(read));
}

void Reads::OnAsked(raft::RequestId question) {
  MOKV_CHECK(!unasked_.empty());
  asked_.emplace(question, std::exchange(unasked_, {}));
}

void Reads::OnAnswer(const raft::ReadResult& answer) {
  const auto found = asked_.find(answer.request);
  MOKV_CHECK(found != asked_.end());
  Group group = std::move(found->second);
  asked_.erase(found);
  if (answer.refusal == raft::Refusal::kNone) {
    released_.push_back({answer.index, std::move(group)});
  } else {
    std::move(group.begin(), group.end(), std::back_inserter(unasked_));
  }
}

std::vector<WaitingRead> Reads::TakeReady(const Applied& applied) {
  std::vector<WaitingRead> ready;
  std::erase_if(released_, [&](Released& released) {
    if (released.index > applied.index) return false;
    for (WaitingRead& read : released.reads) {
      const bool now = read.requirement.min_revision <= applied.revision;
      (now ? ready : for_revision_).push_back(std::move(read));
    }
    return true;
  });
  std::erase_if(for_revision_, [&](WaitingRead& read) {
    if (read.requirement.min_revision > applied.revision) return false;
    ready.push_back(std::move(read));
    return true;
  });
  size_ -= ready.size();
  return ready;
}

std::vector<WaitingRead> Reads::TakeExpired(MonotonicTime now) {
  std::vector<WaitingRead> expired;
  const auto take = [&](Group& group) {
    std::erase_if(group, [&](WaitingRead& read) {
      if (read.give_up_at > now) return false;
      expired.push_back(std::move(read));
      return true;
    });
  };
  take(unasked_);
  for (auto& [question, group] : asked_) take(group);  // Their question is still answered.
  for (Released& released : released_) take(released.reads);
  take(for_revision_);
  size_ -= expired.size();
  return expired;
}

}  // namespace mokv::replica
