// Cluster: who is in it, and how that is changed. One door for operators (api.Cluster, mokvctl) and
// for membership by gossip.
//
// Threads: thread-safe; `done` is called on the replica thread, or at once on the caller's when the
//          request is refused.
// Any node may be asked: it passes requests on to the leader.
#pragma once

#include <absl/functional/any_invocable.h>
#include <absl/status/status.h>

#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "raft/membership.h"
#include "replica/peers.h"

namespace mokv::replica {

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

class Cluster {
 public:
  // OK: done and committed. `fate_unknown`: it may have been, or may still be.
  using AdminDone = absl::AnyInvocable<void(const absl::Status& status, bool fate_unknown)>;

  virtual ~Cluster() = default;
  virtual ClusterView View() const = 0;
  // Answers at the latest at `give_up_at`, with UNAVAILABLE. INVALID_ARGUMENT, NOT_FOUND and
  // FAILED_PRECONDITION say what is wrong with the request.
  virtual void Request(AdminRequest request, MonotonicTime give_up_at, AdminDone done) = 0;
};

}  // namespace mokv::replica
