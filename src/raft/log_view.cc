#include "raft/log_view.h"

#include "base/check.h"
#include "base/status.h"

namespace mokv::raft {

LogView::LogView()
    : first_in_memory_(1), history_({{Index(0), std::make_shared<const Membership>()}}) {}

LogView::LogView(const SnapshotMeta& snapshot)
    : terms_(snapshot.last),
      first_in_memory_(snapshot.last.index.next()),
      history_({{snapshot.last.index, snapshot.membership}}) {
  MOKV_CHECK(snapshot.membership != nullptr);
}

absl::Status LogView::Recover(const Entry& entry) {
  if (entry.index != last().index.next() || entry.term < last().term) {
    return DataLoss("log entry {}/{} follows entry {}", entry.index, entry.term, ToString(last()));
  }
  if (entry.index == Index(1) && entry.type != EntryType::kConfiguration) {
    return DataLoss("log entry 1 is not the cluster's initial configuration");
  }
  if (absl::Status status = Append(entry); !status.ok()) {
    return DataLoss("log entry {}: {}", entry.index, MessageOf(status));
  }
  return absl::OkStatus();
}

void LogView::Trim(Index through, uint64_t bytes_max) {
  MOKV_CHECK_LE(through, last().index);
  while (bytes_ > bytes_max && !entries_.empty() && entries_.front().index <= through) {
    bytes_ -= EntryBytes(entries_.front());
    entries_.pop_front();
    ++first_in_memory_;
  }
  MOKV_CHECK(!entries_.empty() || bytes_ == 0);
}

bool LogView::Holds(Position position) const {
  if (position.index < base().index || position.index > last().index) return false;
  return TermAt(position.index) == position.term;
}

const Entry& LogView::At(Index index) const {
  MOKV_CHECK_GE(index, first_in_memory_);
  MOKV_CHECK_LE(index, last().index);
  return entries_[index - first_in_memory_];
}

bool LogView::IsUpToDate(Position other) const {
  if (other.term != last().term) return other.term > last().term;
  return other.index >= last().index;
}

std::vector<Entry> LogView::Slice(Index from, Index through, uint64_t bytes_max) const {
  MOKV_CHECK_GE(from, first_in_memory_);
  MOKV_CHECK_LE(from, through);
  MOKV_CHECK_LE(through, last().index);
  uint64_t bytes = 0;
  MOKV_CHECK_EQ(first_in_memory_ + entries_.size(), last().index.next());
  auto begin = entries_.begin() + static_cast<ptrdiff_t>(from - first_in_memory_);
  auto end = begin;
  const auto stop = entries_.begin() + static_cast<ptrdiff_t>(through.next() - first_in_memory_);
  for (; end != stop; ++end) {
    bytes += EntryBytes(*end);
    if (bytes > bytes_max && end != begin) break;
  }
  return {begin, end};
}

absl::Status LogView::Append(Entry entry) {
  if (entry.type == EntryType::kConfiguration) {
    MOKV_ASSIGN_OR_RETURN(Membership membership, Membership::Decode(entry.bytes()));
    history_.push_back({entry.index, std::make_shared<const Membership>(std::move(membership))});
  }
  terms_.Append(entry.index, entry.index, entry.term);
  bytes_ += EntryBytes(entry);
  entries_.push_back(std::move(entry));
  return absl::OkStatus();
}

void LogView::TruncateFrom(Index from) {
  terms_.TruncateFrom(from);
  while (!entries_.empty() && entries_.back().index >= from) {
    bytes_ -= EntryBytes(entries_.back());
    entries_.pop_back();
  }
  first_in_memory_ = std::min(first_in_memory_, from);
  MOKV_CHECK(!entries_.empty() || bytes_ == 0);
  // §4.1: "a server always uses the latest configuration in its log", so an entry that goes takes
  // its configuration along.
  while (history_.size() > 1 && history_.back().index >= from) history_.pop_back();
}

void LogView::CompactThrough(Index through) {
  if (through <= base().index) return;
  MOKV_CHECK_LE(through, last().index);
  terms_.CutThrough({through, TermAt(through)});
  Trim(through, 0);
  first_in_memory_ = std::max(first_in_memory_, through.next());
  while (history_.size() > 1 && history_[1].index <= through) history_.erase(history_.begin());
}

void LogView::ResetTo(const SnapshotMeta& snapshot) { *this = LogView(snapshot); }

const std::shared_ptr<const Membership>& LogView::MembershipAt(Index index) const {
  for (size_t i = history_.size() - 1; i > 0; --i) {
    if (history_[i].index <= index) return history_[i].membership;
  }
  return history_.front().membership;
}

const std::shared_ptr<const Membership>& LogView::SettledMembership(Index commit) const {
  for (size_t i = history_.size(); i > 0; --i) {
    const auto& [index, membership] = history_[i - 1];
    if ((index <= commit || commit == Index()) && !membership->joint()) return membership;
  }
  return history_.front().membership;
}

bool LogView::IsVoterSince(Index index, NodeId id) const {
  for (size_t i = history_.size(); i > 0; --i) {
    if (history_[i - 1].membership->IsVoter(id)) return true;
    if (history_[i - 1].index <= index) break;
  }
  return false;
}

size_t LogView::ConfigurationsAfter(Index index) const {
  size_t count = 0;
  for (const Configured& configured : history_) count += configured.index > index ? 1 : 0;
  return count;
}

}  // namespace mokv::raft
