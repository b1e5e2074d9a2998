// TermRuns: which term each entry of the log has, kept as one short run a term.
//
// Threads: confined to the owner's. Bounds: one run for each election that the log has seen since
// its head was cut.
#pragma once

#include <deque>
#include <optional>

#include "base/check.h"
#include "base/ids.h"
#include "wal/format.h"

namespace mokv::wal {

class TermRuns {
 public:
  // An empty log behind the entry `head`.
  explicit TermRuns(EntryId head = {}) : head_(head), last_index_(head.index) {}

  // The entry before the first one.
  EntryId head() const { return head_; }
  Index first_index() const { return head_.index.next(); }
  Index last_index() const { return last_index_; }
  Term last_term() const { return runs_.empty() ? head_.term : runs_.back().term; }
  EntryId last() const { return {last_index_, last_term()}; }

  // Of an entry that is there, or of the head.
  std::optional<Term> TermAt(Index index) const {
    if (index < head_.index || index > last_index_) return std::nullopt;
    for (auto run = runs_.rbegin(); run != runs_.rend(); ++run) {
      if (run->first <= index) return index == head_.index ? head_.term : run->term;
    }
    return head_.term;
  }

  // The entries `first` to `last`, all of one term.
  void Append(Index first, Index last, Term term) {
    MOKV_CHECK_EQ(first, last_index_.next());
    MOKV_CHECK_LE(first, last);
    MOKV_CHECK_GE(term, last_term());
    if (runs_.empty() || runs_.back().term != term) runs_.push_back({term, first});
    last_index_ = last;
  }

  void TruncateFrom(Index index) {
    MOKV_CHECK_GT(index, head_.index);
    MOKV_CHECK_LE(index, last_index_.next());
    while (!runs_.empty() && runs_.back().first >= index) runs_.pop_back();
    last_index_ = index - 1;
  }

  // Entries up to `head` go.
  void CutHead(EntryId head) {
    MOKV_CHECK_GE(head.index, head_.index);
    MOKV_CHECK_LE(head.index, last_index_);
    while (runs_.size() > 1 && runs_[1].first <= head.index.next()) runs_.pop_front();
    if (head.index == last_index_) {
      runs_.clear();
    } else if (!runs_.empty() && runs_.front().first <= head.index) {
      runs_.front().first = head.index.next();
    }
    head_ = head;
  }

 private:
  struct Run {
    Term term;
    Index first;
  };

  EntryId head_;
  Index last_index_;
  std::deque<Run> runs_;
};

}  // namespace mokv::wal
