// Writes that travel between nodes: those that this node has passed on to the leader and that have
// no answer yet, and the answer that a leader owes another node.
//
// What left over a connection that closed before the answer came has an unknown outcome: the leader
// may have carried it out. It is never sent again, unless it may be carried out twice and come to the
// same.
//
// Threads: confined to the replica thread. Bounds: the replica's on writes without an answer.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "replica/peers.h"
#include "replica/pending_writes.h"

namespace mokv::replica {

class WritesAtLeader {
 public:
  size_t size() const { return size_; }

  struct Batch {
    raft::NodeId leader;  // As it seemed when they were sent.
    ConnectionId connection;
    std::vector<std::optional<Write>> writes;
  };

  // Sent together as `id` to `leader` over `connection`.
  void Add(ForwardId id, raft::NodeId leader, ConnectionId connection, std::vector<Write> writes);
  // The writes that this answers, in the order of the answer; those that were given up are missing
  // in theirs. Empty for an answer that nobody waits for.
  Batch OnAnswer(ForwardId id, ConnectionId connection);
  // Their answers will not come.
  std::vector<Write> OnClosed(ConnectionId connection);
  std::vector<Write> TakeExpired(MonotonicTime now);

 private:
  std::map<ForwardId, Batch> batches_;
  size_t size_ = 0;
};

// Collects the results of one ForwardedWrites and answers when all are there. Each write's done
// holds a share.
class OwedAnswer {
 public:
  OwedAnswer(Peers& peers, ConnectionId connection, ForwardId id, size_t writes)
      : peers_(peers), connection_(connection), id_(id), results_(writes), missing_(writes) {}

  void Set(size_t i, const WriteResult& result) {
    results_[i] = result;
    if (--missing_ == 0) {
      peers_.Answer(connection_, {.id = id_, .body = std::move(results_)});
    }
  }

 private:
  Peers& peers_;
  ConnectionId connection_;
  ForwardId id_;
  std::vector<WriteResult> results_;
  size_t missing_;
};

}  // namespace mokv::replica
