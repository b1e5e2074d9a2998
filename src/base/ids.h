// The numbers that several folders share, each with a type of its own.
#pragma once

#include <string>

#include "base/strong_int.h"

namespace mokv {

// Position in the Raft log. Entries count from 1; 0 means "before the first".
using Index = StrongInt<struct IndexTag>;

// Raft term. 0 means "none yet".
using Term = StrongInt<struct TermTag>;

// Counts the changes of the store; each command that changed something got the next one. 0 means
// "before the first change" and, in `expected_revision`, "the key must not exist".
using Revision = StrongInt<struct RevisionTag>;

// Lease that an item is attached to; 0 means none.
using LeaseId = StrongInt<struct LeaseIdTag>;

// A client's session: the index of the log entry that opened it, so that none ever gets the number
// of another. 0 means none.
using SessionId = StrongInt<struct SessionIdTag>;

// The cluster's own time, in milliseconds: what the log says has passed while there was a leader and
// something could expire. It has nothing to do with any clock on a wall.
using ClusterTime = StrongInt<struct ClusterTimeTag>;

}  // namespace mokv
