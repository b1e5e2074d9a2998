// TermRuns: which term each entry of the log has, one short run a term. It answers for the whole
// log although the entries themselves are not kept in memory.
//
// Threads: confined to the owner's thread.
// Bounds:  one run for each term that left an entry in the log.
#pragma once

#include <algorithm>
#include <deque>
#include <optional>

#include "base/check.h"
#include "base/log_entry.h"

namespace mokv {

class TermRuns {
 public:
  // A log whose first entry comes after `base`.
  explicit TermRuns(EntryId base = {}) : base_(base), last_index_(base.index) {}

  EntryId base() const { return base_; }
  Index first_index() const { return base_.index.next(); }
  Index last_index() const { return last_index_; }
  Term last_term() const { return runs_.empty() ? base_.term : runs_.back().term; }
  EntryId last() const { return {last_index_, last_term()}; }

  // The term of an entry that is there, or of the base; nothing for others.
  std::optional<Term> TermAt(Index index) const {
    if (index < base_.index || index > last_index_) return std::nullopt;
    if (!runs_.empty() && index >= runs_.back().first) return runs_.back().term;
    const auto after = After(index);
    return after == runs_.begin() ? base_.term : std::prev(after)->term;
  }

  // The last place not after `from` whose term is at most `term`; base() if there is none.
  EntryId LastWithTermAtMost(Index from, Term term) const {
    Index at = std::min(from, last_index_);
    for (auto run = After(at); run != runs_.begin();) {
      --run;
      if (run->term <= term) return {at, run->term};
      at = run->first - 1;
    }
    return base_;
  }

  // The entries `first` to `last`, all of one term.
  void Append(Index first, Index last, Term term) {
    MOKV_CHECK_EQ(first, last_index_.next());
    MOKV_CHECK_LE(first, last);
    MOKV_CHECK_GE(term, last_term());
    if (runs_.empty() || runs_.back().term != term) runs_.push_back({first, term});
    last_index_ = last;
  }

  void TruncateFrom(Index index) {
    MOKV_CHECK_GT(index, base_.index);
    MOKV_CHECK_LE(index, last_index_.next());
    while (!runs_.empty() && runs_.back().first >= index) runs_.pop_back();
    last_index_ = index - 1;
  }

  // Forgets the entries up to and including `base`, which is in the log.
  void CutThrough(EntryId base) {
    MOKV_CHECK_GE(base.index, base_.index);
    MOKV_CHECK_LE(base.index, last_index_);
    while (runs_.size() > 1 && runs_[1].first <= base.index.next()) runs_.pop_front();
    if (base.index == last_index_) {
      runs_.clear();
    } else if (!runs_.empty() && runs_.front().first <= base.index) {
      runs_.front().first = base.index.next();
    }
    base_ = base;
  }

 private:
  struct Run {
    Index first;
    Term term;
  };

  // The first run that begins after `index`.
  std::deque<Run>::const_iterator After(Index index) const {
    return std::upper_bound(runs_.begin(), runs_.end(), index,
                            [](Index i, const Run& run) { return i < run.first; });
  }

  EntryId base_;
  Index last_index_;
  std::deque<Run> runs_;
};

}  // namespace mokv
