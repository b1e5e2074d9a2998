// What a replica tells of itself and of its cluster: for metrics, health, clients and operators.
// Plain values.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "raft/types.h"
#include "replica/state_digest.h"

namespace mokv::replica {

// What a leader knows of another member's log.
struct PeerProgress {
  std::string name;
  Index match;
  // Entries of the leader's log that are not known to be there.
  uint64_t lag_entries = 0;
  // It lacks entries that it had acknowledged, and is sent them again: the last of them. Else 0.
  Index lost_through;
  // Something was heard of it within the last election timeout.
  bool alive = false;
};

struct Counters {
  uint64_t proposals_pending = 0;  // Writes that were asked for here and have no answer yet.
  uint64_t proposals_refused = 0;  // Certainly not done.
  uint64_t proposals_unknown = 0;  // Answered with "outcome unknown".
  uint64_t proposals_applied = 0;
  uint64_t forwarded = 0;          // Writes passed on to a leader.
  uint64_t forwarded_pending = 0;  // Of those, without an answer.
  uint64_t forwarded_here = 0;     // Writes that other nodes passed on to this one.
  uint64_t reads_waiting = 0;
  uint64_t read_groups = 0;     // Reads that shared one question to the core.
  uint64_t batches = 0;         // Writes to the log.
  uint64_t batch_entries = 0;   // Entries in them.
  uint64_t leader_changes = 0;  // Times that another leader, or one after none, became known.
  uint64_t elections = 0;
  uint64_t leaderships = 0;
  uint64_t read_rounds = 0;
  uint64_t lease_reads = 0;  // Reads that the core answered from its lease.
  uint64_t disk_stalls = 0;
  uint64_t appends_rejected = 0;
  uint64_t log_reads_failed = 0;  // Of entries for slow peers: damage on disk.
  uint64_t comparisons = 0;       // With the state of other replicas, that came to a finding.
  uint64_t differences = 0;       // Those in which somebody had another state.
  uint64_t compared_index = 0;    // Up to this entry a majority is known to have had this state.
  uint64_t messages_malformed = 0;
  uint64_t messages_misaddressed = 0;
};

// Of this node's snapshots.
struct SnapshotReport {
  Index last;          // Where the newest one ends; 0: there is none.
  uint64_t bytes = 0;  // Of its file.
  uint64_t taken = 0;
  uint64_t failed = 0;
  uint64_t installed = 0;       // From other nodes.
  uint64_t fetches_failed = 0;  // Begun again, or given up.
  uint64_t fetched_bytes = 0;   // Of the one that is being fetched,
  uint64_t fetching_bytes = 0;  // which has so many; 0: none is, or that is not known yet.
  uint64_t sent_bytes = 0;
  uint64_t log_cuts = 0;
  uint64_t peers_outrun = 0;  // Times that the log was cut although a peer still needed it.
  std::string last_error;     // Why the last one failed; empty after a good one.
};

// A picture of one moment. What a leader knows of others is as old as the replica's last tick.
struct Report {
  raft::Role role = raft::Role::kFollower;
  bool is_learner = false;
  bool is_member = false;
  // Linearizable reads and writes can be served through this node.
  bool serving = false;
  std::string leader;  // Its name; empty when none is known.
  Term term;
  Index last_index;
  Index commit_index;
  Index applied_index;
  // This node lacks entries that it had acknowledged: the last of them. Else 0.
  Index lost_through;
  std::vector<PeerProgress> peers;  // While leading.
  SnapshotReport snapshots;
  // Of this node's state, where it was compared last; the newest last.
  std::vector<StateDigest> digests;
  Counters counters;
};

struct ClusterMember {
  std::string name;
  std::string instance_id;
  std::string rpc_address;
  bool is_voter = false;  // Since a change that is committed, or not over yet.
  bool is_leader = false;
  // Of this node, and, on the leader, what it knows of the others; 0: not known here.
  Index applied_index;
};

struct ClusterView {
  std::string cluster_id;  // Empty: this node is part of none yet.
  Term term;
  std::string leader;  // Empty: none is known.
  std::vector<ClusterMember> members;
};

// "leader", "follower", "candidate", "learner", or "none" for a node that is no member.
std::string_view RoleText(const Report& report);

}  // namespace mokv::replica
