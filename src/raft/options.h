// What a core is told at its start and keeps for its life.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

#include "base/clock.h"
#include "raft/types.h"

namespace mokv::raft {

struct Options {
  NodeId id;  // NodeIdOf(name, instance id).

  // A follower waits between one and two of these for a leader; a leader that has not heard from a
  // quorum for one of them steps down. The same on all nodes.
  Duration election_timeout = std::chrono::milliseconds(1000);
  // Well below election_timeout, so that several may be lost.
  Duration heartbeat_interval = std::chrono::milliseconds(100);
  // Between the pre-votes of followers whose connections to the leader have closed: a few round
  // trips, so that the first one has won before the second begins.
  Duration lost_leader_stagger = std::chrono::milliseconds(20);
  // Before a leader of lower priority hands over to a member of higher priority.
  Duration priority_delay = std::chrono::seconds(5);

  // Answer reads from a lease. The same on all nodes, since followers must keep the promise.
  bool lease_reads = false;
  // How much faster the fastest clock of the cluster may run than the slowest.
  uint32_t clock_drift_percent_max = 10;

  // A leader hands over if writes wait for its disk, which has answered nothing for this long.
  Duration persist_stall_max = std::chrono::seconds(5);
  // A transfer of leadership that takes longer is given up. 0: election_timeout.
  Duration transfer_timeout{0};

  // To one peer, in EntryBytes. One append holds at least one entry, whatever its size.
  uint64_t append_bytes_max = uint64_t{1} << 20;
  size_t inflight_appends_max = 64;
  uint64_t inflight_bytes_max = uint64_t{16} << 20;
  // Of the leader's uncommitted entries; beyond it proposals are refused.
  uint64_t uncommitted_bytes_max = uint64_t{64} << 20;
  // Durable and applied entries kept in memory for peers that are a little behind.
  uint64_t cache_bytes_max = uint64_t{16} << 20;
  // What one TakeOutput gives out for application, at least one entry: a few milliseconds of work,
  // so that a node that is far behind goes on hearing and answering its peers.
  uint64_t apply_entries_max = 8192;
  uint64_t apply_bytes_max = uint64_t{16} << 20;

  size_t reads_max = 65'536;
  // Heartbeat rounds for reads, and read requests of a follower, that may be under way at once.
  size_t read_rounds_max = 4;
};

}  // namespace mokv::raft
