#include "replica/pending_writes.h"

#include <iterator>
#include <utility>

#include "base/check.h"

namespace mokv::replica {

void PendingWrites::Add(raft::Position position, Write write) {
  // A later leadership may give the same indexes once more.
  Leadership& leadership = leaderships_[position.term];
  MOKV_CHECK_EQ(leaderships_.rbegin()->first, position.term);
  MOKV_CHECK(leadership.empty() || leadership.back().position.index < position.index);
  leadership.push_back({position, std::move(write)});
  ++size_;
}

void PendingWrites::Settle(Pending& pending, raft::Position position, std::optional<Write>& applied,
                           std::vector<Write>& superseded) {
  if (!pending.write.has_value()) return;
  --size_;
  if (pending.position == position) {
    MOKV_CHECK(!applied.has_value());
    applied = std::move(pending.write);
  } else {
    superseded.push_back(*std::move(pending.write));
  }
}

std::optional<Write> PendingWrites::OnApplied(raft::Position position,
                                              std::vector<Write>& superseded) {
  std::optional<Write> applied;
  for (auto at = leaderships_.begin(); at != leaderships_.end();) {
    Leadership& leadership = at->second;
    const bool over = at->first < position.term;
    while (!leadership.empty() && (over || leadership.front().position.index <= position.index)) {
      // Entries are applied one by one: none can be left behind.
      MOKV_CHECK_GE(leadership.front().position.index, position.index);
      Settle(leadership.front(), position, applied, superseded);
      leadership.pop_front();
    }
    at = leadership.empty() ? leaderships_.erase(at) : std::next(at);
  }
  return applied;
}

std::vector<Write> PendingWrites::TakeThrough(Index last) {
  std::vector<Write> taken;
  for (auto at = leaderships_.begin(); at != leaderships_.end();) {
    Leadership& leadership = at->second;
    while (!leadership.empty() && leadership.front().position.index <= last) {
      std::optional<Write>& write = leadership.front().write;
      if (write.has_value()) taken.push_back(*std::move(write));
      leadership.pop_front();
    }
    at = leadership.empty() ? leaderships_.erase(at) : std::next(at);
  }
  size_ -= taken.size();
  return taken;
}

std::vector<Write> PendingWrites::TakeExpired(MonotonicTime now) {
  std::vector<Write> expired;
  for (auto& [term, leadership] : leaderships_) {
    for (Pending& pending : leadership) {
      if (!pending.write.has_value() || pending.write->give_up_at > now) continue;
      expired.push_back(*std::exchange(pending.write, std::nullopt));
    }
  }
  size_ -= expired.size();
  return expired;
}

std::vector<Write> PendingWrites::TakeAll() { return TakeExpired(MonotonicTime::Max()); }

}  // namespace mokv::replica
