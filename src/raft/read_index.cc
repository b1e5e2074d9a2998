#include "raft/read_index.h"

#include "base/check.h"

namespace mokv::raft {

void ReadIndex::BeginRound(Round round, Index commit) {
  if (staged_.empty()) return;
  MOKV_CHECK(rounds_.empty() || rounds_.back().round < round);
  MOKV_CHECK(rounds_.empty() || rounds_.back().index <= commit);
  in_flight_ += staged_.size();
  rounds_.push_back({round, commit, std::move(staged_)});
  staged_.clear();
}

std::vector<ReadIndex::Confirmed> ReadIndex::OnQuorum(Round round) {
  std::vector<Confirmed> confirmed;
  while (!rounds_.empty() && rounds_.front().round <= round) {
    Waiting& waiting = rounds_.front();
    for (const ReadOrigin& origin : waiting.origins) confirmed.push_back({origin, waiting.index});
    MOKV_CHECK_GE(in_flight_, waiting.origins.size());
    in_flight_ -= waiting.origins.size();
    rounds_.pop_front();
  }
  MOKV_CHECK(!rounds_.empty() || in_flight_ == 0);
  return confirmed;
}

std::vector<ReadOrigin> ReadIndex::FailAll() {
  std::vector<ReadOrigin> failed;
  for (const Waiting& waiting : rounds_) {
    failed.insert(failed.end(), waiting.origins.begin(), waiting.origins.end());
  }
  failed.insert(failed.end(), staged_.begin(), staged_.end());
  *this = ReadIndex();
  return failed;
}

}  // namespace mokv::raft
