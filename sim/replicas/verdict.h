// What must hold of a cluster of replicas, and of what its clients were told, once all is repaired.
//
// Threads: confined to the test's.
#pragma once

#include <set>
#include <string>

#include "replica/testing/cluster.h"
#include "sim/replicas/schedule.h"

namespace mokv::sim {

// A node that says it cannot go on; empty if there is none besides `excused`.
std::string FatalOf(replica::testing::ReplicaCluster& cluster,
                    const std::set<std::string>& excused);

// Runs the cluster, whose faults have ended, until everybody is a member again and has everything.
// What must not be, or nothing; counts go to `result`.
std::string Judge(replica::testing::ReplicaCluster& cluster, Clients& clients,
                  ScheduleResult& result);

}  // namespace mokv::sim
