// Reads: linearizable reads that wait for their turn, and reads that wait for a revision.
//
// All linearizable reads that have come by the end of a turn share one question to the core. Its
// answer is the index that they must see; they go on when that is applied here. A question that the
// core cannot answer, since leadership moves, is asked again as long as the reads can wait.
//
// Threads: Admit and size are thread-safe; the rest is confined to the replica thread.
// Bounds:  Admit refuses what would make more than `waiting_max` reads wait.
#pragma once

#include <absl/functional/any_invocable.h>
#include <absl/functional/function_ref.h>
#include <absl/status/status.h>

#include <atomic>
#include <map>
#include <optional>
#include <vector>

#include "base/clock.h"
#include "base/ids.h"
#include "raft/events.h"
#include "raft/output.h"
#include "replica/read_gate.h"

namespace mokv::replica {

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

  explicit Reads(uint64_t waiting_max) : waiting_max_(waiting_max) {}

  // Counts one more read in, which is to be added; or RESOURCE_EXHAUSTED.
  absl::Status Admit();
  uint64_t size() const { return size_; }

  void Add(WaitingRead read);
  // The question of those that have not asked yet; nothing if there are none, or after a refusal.
  std::optional<raft::Read> Ask(absl::FunctionRef<uint64_t()> next_id);
  // The core's answer. Refused reads ask anew: at once if `ask_again`, otherwise after Unblock.
  void OnAnswer(const raft::ReadResult& answer, bool ask_again);
  void Unblock() { blocked_ = false; }

  // Answers those that may look at the state now.
  void Release(const Applied& applied);
  // Answers those whose time is up, each with its reason.
  void Expire(MonotonicTime now, absl::FunctionRef<absl::Status(const WaitingRead& read)> why);
  void FailAll(const absl::Status& why);

  uint64_t questions() const { return questions_; }

 private:
  using Group = std::vector<WaitingRead>;
  struct Released {
    Index index;
    Group reads;
  };

  Group TakeReady(const Applied& applied);
  Group TakeExpired(MonotonicTime now);
  void Answer(WaitingRead& read, const absl::Status& status);

  const uint64_t waiting_max_;
  std::atomic<uint64_t> size_{0};
  Group unasked_;
  bool blocked_ = false;
  std::map<raft::RequestId, Group> asked_;
  std::vector<Released> released_;  // Index known, not applied here yet.
  Group for_revision_;              // The index is applied, or they did not need one.
  uint64_t questions_ = 0;
};

}  // namespace mokv::replica
