#include "replica/writes_at_leader.h"

#include <utility>

#include "base/check.h"

namespace mokv::replica {

void WritesAtLeader::Add(ForwardId id, raft::NodeId leader, ConnectionId connection,
                         std::vector<Write> writes) {
  Batch& batch = batches_[id];
  MOKV_CHECK(batch.writes.empty());
  batch.leader = leader;
  batch.connection = connection;
  size_ += writes.size();
  for (Write& write : writes) batch.writes.push_back(std::move(write));
}

WritesAtLeader::Batch WritesAtLeader::OnAnswer(ForwardId id, ConnectionId connection) {
  const auto found = batches_.find(id);
  if (found == batches_.end() || found->second.connection != connection) return {};
  Batch batch = std::move(found->second);
  batches_.erase(found);
  for (const std::optional<Write>& write : batch.writes) size_ -= write.has_value() ? 1 : 0;
  return batch;
}

std::vector<Write> WritesAtLeader::OnClosed(ConnectionId connection) {
  std::vector<Write> lost;
  for (auto at = batches_.begin(); at != batches_.end();) {
    if (at->second.connection != connection) {
      ++at;
      continue;
    }
    for (std::optional<Write>& write : at->second.writes) {
      if (write.has_value()) lost.push_back(*std::move(write));
    }
    at = batches_.erase(at);
  }
  size_ -= lost.size();
  return lost;
}

std::vector<Write> WritesAtLeader::TakeExpired(MonotonicTime now) {
  std::vector<Write> expired;
  for (auto& [id, batch] : batches_) {
    for (std::optional<Write>& write : batch.writes) {
      if (!write.has_value() || write->give_up_at > now) continue;
      expired.push_back(*std::exchange(write, std::nullopt));
    }
  }
  size_ -= expired.size();
  return expired;
}

}  // namespace mokv::replica
