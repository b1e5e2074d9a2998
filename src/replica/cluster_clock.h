// ClusterClock: what a leader writes into the log by itself, a beat a second: the keep-alives that
// have come since the last one, together, and then that time has passed (machine/sessions.h).
//
// Time in the log goes by steps of one length, at most as fast as the leader's monotonic clock: what
// a leader could not write, because the log or a quorum stood still, is not made up for, nor is the
// time without a leader. So nothing expires while its client could not be heard. A new leader goes on
// from what it has applied. With nothing that could expire there are no beats.
//
// Keep-alives come before the step that goes with them: one that was in time renews its session.
//
// Threads: confined to the replica thread. Owner: Writes. Borrows the machine.
#pragma once

#include <optional>
#include <vector>

#include "base/clock.h"
#include "machine/command.h"
#include "machine/machine.h"
#include "replica/pending_writes.h"

namespace mokv::replica {

class ClusterClock {
 public:
  static constexpr Duration kBeat = std::chrono::milliseconds(machine::Sessions::kTimeStepMs);

  explicit ClusterClock(const machine::Machine& machine) : machine_(machine) {}

  // Whether a beat is due. To be asked every few tens of milliseconds while this node leads and has
  // all that is committed; `waiting`: there are keep-alives.
  bool IsDue(MonotonicTime now, bool waiting);
  // It does not lead: whoever leads next begins a second anew.
  void Stop();

  // With a beat: the step to write, unless there is nothing for which time should pass. It is on its
  // way until OnStepDecided, and until then no other beat is due.
  struct Step {
    machine::AdvanceTime command;
    uint64_t number = 0;
  };
  std::optional<Step> TakeStep();
  void OnStepDecided(uint64_t number);

 private:
  const machine::Machine& machine_;
  std::optional<MonotonicTime> last_beat_;  // Or since when one may be missing.
  uint64_t last_step_ = 0;
  bool step_on_its_way_ = false;
};

// Several keep-alives as one.
struct GatheredKeepAlives {
  machine::KeepAlive command;
  std::vector<Write> writes;  // Each a command of its own.
  std::vector<size_t> ends;   // Where the sessions of each end in `command`.
};
// In as few commands as may be.
std::vector<GatheredKeepAlives> Gather(std::vector<Write> keep_alives);
// What the `i`th of those is told.
machine::Result PartOf(const machine::Result& result, const GatheredKeepAlives& gathered, size_t i);

}  // namespace mokv::replica
