#include "raft/forwarded_reads.h"

#include <algorithm>

#include "base/check.h"

namespace mokv::raft {

std::optional<ReadContext> ForwardedReads::TakeRequest(MonotonicTime now, size_t requests_max) {
  if (staged_.empty() || sent_.size() >= requests_max) return std::nullopt;
  ++sequence_;
  in_flight_ += staged_.size();
  sent_.push_back({sequence_, now, std::move(staged_)});
  staged_.clear();
  return ReadContext{boot_, sequence_};
}

std::vector<RequestId> ForwardedReads::OnReply(ReadContext context) {
  if (context.boot != boot_) return {};
  const auto found = std::find_if(sent_.begin(), sent_.end(), [&](const Sent& sent) {
    return sent.sequence == context.sequence;
  });
  if (found == sent_.end()) return {};
  std::vector<RequestId> reads = std::move(found->reads);
  MOKV_CHECK_GE(in_flight_, reads.size());
  in_flight_ -= reads.size();
  sent_.erase(found);
  return reads;
}

std::vector<ReadContext> ForwardedReads::Overdue(MonotonicTime before, MonotonicTime now) {
  std::vector<ReadContext> overdue;
  for (Sent& sent : sent_) {
    if (sent.at > before) continue;
    sent.at = now;
    overdue.push_back({boot_, sent.sequence});
  }
  return overdue;
}

std::vector<RequestId> ForwardedReads::FailAll() {
  std::vector<RequestId> failed;
  for (const Sent& sent : sent_) failed.insert(failed.end(), sent.reads.begin(), sent.reads.end());
  failed.insert(failed.end(), staged_.begin(), staged_.end());
  sent_.clear();
  staged_.clear();
  in_flight_ = 0;
  return failed;
}

}  // namespace mokv::raft
