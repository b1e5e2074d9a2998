#include "replica/reads.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/check.h"
#include "base/status.h"

namespace mokv::replica {

absl::Status Reads::Admit() {
  if (const uint64_t waiting = size_.load(); waiting >= waiting_max_) {
    return ResourceExhausted("{} reads are waiting already; limit {}", waiting, waiting_max_);
  }
  ++size_;
  return absl::OkStatus();
}

void Reads::Add(WaitingRead read) {
  (read.requirement.linearizable ? unasked_ : for_revision_).push_back(std::move(read));
}

std::optional<raft::Read> Reads::Ask(absl::FunctionRef<uint64_t()> next_id) {
  if (unasked_.empty() || blocked_) return std::nullopt;
  ++questions_;
  const raft::RequestId question(next_id());
  asked_.emplace(question, std::exchange(unasked_, {}));
  return raft::Read{question};
}

void Reads::OnAnswer(const raft::ReadResult& answer, bool ask_again) {
  const auto found = asked_.find(answer.request);
  MOKV_CHECK(found != asked_.end());
  Group group = std::move(found->second);
  asked_.erase(found);
  if (answer.refusal == raft::Refusal::kNone) {
    released_.push_back({answer.index, std::move(group)});
    return;
  }
  std::move(group.begin(), group.end(), std::back_inserter(unasked_));
  if (!ask_again) blocked_ = true;
}

Reads::Group Reads::TakeReady(const Applied& applied) {
  Group ready;
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
  return ready;
}

Reads::Group Reads::TakeExpired(MonotonicTime now) {
  Group expired;
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
  return expired;
}

void Reads::Answer(WaitingRead& read, const absl::Status& status) {
  MOKV_CHECK_GT(size_.load(), 0u);
  --size_;
  read.ready(status);
}

// Who is answered may come back with the next read: nobody is while a list is being walked.
void Reads::Release(const Applied& applied) {
  if (size_ == 0) return;
  for (WaitingRead& read : TakeReady(applied)) Answer(read, absl::OkStatus());
}

void Reads::Expire(MonotonicTime now,
                   absl::FunctionRef<absl::Status(const WaitingRead& read)> why) {
  for (WaitingRead& read : TakeExpired(now)) Answer(read, why(read));
}

void Reads::FailAll(const absl::Status& why) {
  for (WaitingRead& read : TakeExpired(MonotonicTime::Max())) Answer(read, why);
}

}  // namespace mokv::replica
