// TermRuns: which term each entry of the log has, one short run a term. It answers for the whole
// log although the entries themselves are not kept in memory.
//
// Threads: confined to the owner's. Bounds: one run for each term that left an entry in the log.
#pragma once

#include <algorithm>
#include <vector>

#include "base/check.h"
#include "raft/types.h"

namespace mokv::raft {

class TermRuns {
 public:
  // A log whose first entry comes after `base`.
  explicit TermRuns(Position base = {}) : base_(base), last_(base.index) {}

  Position base() const { return base_; }
  Position last() const { return {last_, runs_.empty() ? base_.term : runs_.back().term}; }

  // CHECKs base().index <= index <= last().index.
  Term At(Index index) const {
    MOKV_CHECK_GE(index, base_.index);
    MOKV_CHECK_LE(index, last_);
    if (!runs_.empty() && index >= runs_.back().first) return runs_.back().term;
    const auto after = After(index);
    return after == runs_.begin() ? base_.term : std::prev(after)->term;
  }

  // The last place not after `from` whose term is at most `term`; base() if there is none.
  Position LastWithTermAtMost(Index from, Term term) const {
    Index at = std::min(from, last_);
    for (auto run = After(at); run != runs_.begin();) {
      --run;
      if (run->term <= term) return {at, run->term};
      at = run->first - 1;
    }
    return base_;
  }

  void Append(Index index, Term term) {
    MOKV_CHECK_EQ(index, last_.next());
    MOKV_CHECK_GE(term, last().term);
    if (runs_.empty() || runs_.back().term != term) runs_.push_back({index, term});
    last_ = index;
  }

  void TruncateFrom(Index index) {
    MOKV_CHECK_GT(index, base_.index);
    while (!runs_.empty() && runs_.back().first >= index) runs_.pop_back();
    last_ = std::min(last_, index - 1);
  }

  // Forgets what is up to and including `through`, which becomes the base.
  void CompactThrough(Index through) {
    const Position base{through, At(through)};
    const auto after = After(through);
    if (after != runs_.begin() && after != runs_.end() && after->first == through.next()) {
      runs_.erase(runs_.begin(), after);
    } else if (after != runs_.begin()) {
      runs_.erase(runs_.begin(), std::prev(after));
      runs_.front().first = through.next();
    }
    if (through == last_) runs_.clear();
    base_ = base;
  }

 private:
  struct Run {
    Index first;
    Term term;
  };

  // The first run that begins after `index`.
  std::vector<Run>::const_iterator After(Index index) const {
    return std::upper_bound(runs_.begin(), runs_.end(), index,
                            [](Index i, const Run& run) { return i < run.first; });
  }

  Position base_;
  Index last_;
  std::vector<Run> runs_;
};

}  // namespace mokv::raft
