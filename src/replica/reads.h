// Reads: linearizable reads that wait for their turn, and reads that wait for a revision.
//
// All linearizable reads that have come by the end of a turn share one question to the core. Its
// answer is the index that they must see; they go on when that is applied here. A question that the
// core cannot answer, since leadership moves, is asked again as long as the reads can wait.
//
// Threads: confined to the replica thread. Bounds: the replica's on reads that wait.
#pragma once

#include <absl/functional/any_invocable.h>
#include <absl/status/status.h>

#include <map>
#include <optional>
#include <vector>

#include "base/clock.h"
#include "base/ids.h"
#include "raft/output.h"

namespace mokv::replica {

// How fresh a read must be.
struct ReadRequirement {
  bool linearizable = true;
  Revision min_revision;  // 0: none.
};
using ReadReady = absl::AnyInvocable<void(const absl::Status& status)>;

struct WaitingRead {
  ReadRequirement requirement;
  MonotonicTime give_up_at;
  ReadReady ready;
};

class Reads {
 public:
  // What is applied and published on this node.
  struct Applied {
    Index index;
    Revision revision;
  };

  size_t size() const { return size_; }

  void Add(WaitingRead read);
  // Whether a question is to be put to the core.
  bool wants_to_ask() const { return !unasked_.empty(); }
  void OnAsked(raft::RequestId question);
  // The core's answer. Refused ones are to be asked anew.
  void OnAnswer(const raft::ReadResult& answer);

  // Those that may look at the store now.
  std::vector<WaitingRead> TakeReady(const Applied& applied);
  std::vector<WaitingRead> TakeExpired(MonotonicTime now);
  std::vector<WaitingRead> TakeAll() { return TakeExpired(MonotonicTime::Max()); }

 private:
  using Group = std::vector<WaitingRead>;
  struct Released {
    Index index;
    Group reads;
  };

  Group unasked_;
  std::map<raft::RequestId, Group> asked_;
  std::vector<Released> released_;  // Index known, not applied here yet.
  Group for_revision_;              // Linearizable no more, or never.
  size_t size_ = 0;
};

}  // namespace mokv::replica
