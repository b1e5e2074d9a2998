// How a node takes leave of its cluster. Each function waits, within a bound, for other nodes, so
// that a stop costs clients neither an election nor an answer.
//
// Threads: called by the thread that stops the node, which must not be the replica thread.
#pragma once

#include <string>

#include "base/clock.h"
#include "base/executor.h"
#include "peer/peer_network.h"
#include "replica/replica.h"

namespace mokv {

// How long a leader that stops waits for another one to take over.
inline constexpr Duration kStepAsideMax = std::chrono::seconds(2);
// How long a node waits for its removal from the cluster, when it is to leave for good.
inline constexpr Duration kLeaveClusterMax = std::chrono::seconds(10);
// How long a node that stops waits for others to notice, and for the outcome of what they have
// passed on to it.
inline constexpr Duration kFarewellMax = std::chrono::seconds(2);

// Lets another node lead before clients are sent away, so that none has to wait for an election.
void StepAside(replica::Replica& replica, const Clock& clock);

// For leave-on-stop: asks the leader over a verified connection to remove this node, and waits
// until the removal is committed.
void LeaveCluster(replica::Replica& replica, const Clock& clock, const std::string& node_name);

// Waits until nobody forwards writes to this node any more, those that came have been answered, and
// the answers have arrived. So clients of other nodes lose no answer.
void BidFarewell(replica::Replica& replica, peer::PeerNetwork& peers, Executor& replica_thread,
                 const Clock& clock);

}  // namespace mokv
