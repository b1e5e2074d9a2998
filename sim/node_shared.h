// What the nodes of one run have in common, whatever they are.
//
// Threads: confined to the run's. Owner: the run.
#pragma once

#include <functional>
#include <map>
#include <optional>

#include "raft/testing/invariants.h"
#include "sim/coverage.h"
#include "sim/node.h"
#include "sim/rules.h"
#include "sim/timeline.h"

namespace mokv::sim {

struct NodeSettings {
  raft::Options options;  // But for the id.
  Duration disk_min{0};
  Duration disk_max{0};

  // --- Of cores.
  // Election timeouts are drawn from this part of their range, which begins where the range does.
  uint64_t timeout_spread_permille = 1000;

  // --- Of replicas.
  uint64_t segment_bytes = 64 << 10;
  uint64_t snapshot_log_bytes = uint64_t{1} << 30;
  uint64_t trailing_entries = 0;
  // A node starts with a flipped bit in its newest snapshot one time in so many; 0: never.
  uint64_t rot_one_in = 0;
  // Writes are torn near their end, not anywhere.
  bool tears_near_end = false;
  uint64_t comparison_interval = 8;  // Entries between two comparisons of states.
  uint64_t memory_spare_bytes = 0;   // Of a state, beyond an empty one; 0: no limit.
  Duration tick{0};                  // Between two of Replica::Tick.
  // How long a connection that has lost something takes to break, at most.
  Duration break_max{0};
};

struct NodeShared {
  NodeSettings settings;
  Host& host;
  Timeline& timeline;
  Coverage& coverage;
  raft::testing::Invariants& invariants;
  Rules& rules;
  std::function<void(Place)> on_write;   // A write is given to a disk.
  std::function<void(Place)> on_ended;   // A process gives up, as it must.
  std::function<void(Place)> on_fenced;  // A node is, and its disk must not be started from again.
  Rules::Holds holds;                    // Whether any node has an entry on its disk.
};

// What is on a place's disk, as the checks see it, and what was on those that it had before.
struct Disks {
  raft::testing::Disk now;
  // Before an older copy was put back: what was acknowledged then was on the disk.
  std::optional<raft::testing::Disk> lost;
  std::map<raft::NodeId, raft::testing::Disk> wiped;

  bool Holds(raft::NodeId current, raft::NodeId id, raft::Position position) const {
    if (id == current) {
      return now.Holds(position) || (lost.has_value() && lost->Holds(position));
    }
    const auto former = wiped.find(id);
    return former != wiped.end() && former->second.Holds(position);
  }
};

}  // namespace mokv::sim
