// TermRuns: which term each entry of the log has, kept as one short run a term, so that the log can
// name the term of its last entry after a truncation without keeping entries.
//
// Threads: confined to the owner's. Bounds: one run for each election that the log has seen.
#pragma once

#include <vector>

#include "base/check.h"
#include "base/ids.h"

namespace mokv::wal {

class TermRuns {
 public:
  // An empty log that starts at `first_index`; `previous_term` is that of the entry before it.
  explicit TermRuns(Index first_index = Index(1), Term previous_term = Term(0))
      : first_index_(first_index), last_index_(first_index - 1), previous_term_(previous_term) {}

  Index first_index() const { return first_index_; }
  Index last_index() const { return last_index_; }
  Term last_term() const { return runs_.empty() ? previous_term_ : runs_.back().term; }

  void Append(Index index, Term term) {
    MOKV_CHECK_EQ(index, last_index_.next());
    MOKV_CHECK_GE(term, last_term());
    if (runs_.empty() || runs_.back().term != term) runs_.push_back({term, index});
    last_index_ = index;
  }

  void TruncateFrom(Index index) {
    MOKV_CHECK_GE(index, first_index_);
    MOKV_CHECK_LE(index, last_index_.next());
    while (!runs_.empty() && runs_.back().first >= index) runs_.pop_back();
    last_index_ = index - 1;
  }

 private:
  struct Run {
    Term term;
    Index first;
  };

  Index first_index_;
  Index last_index_;
  Term previous_term_;
  std::vector<Run> runs_;
};

}  // namespace mokv::wal
