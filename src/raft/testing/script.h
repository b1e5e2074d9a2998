// Script: a scenario as text, with the protocol that it must produce.
//
//   # What must hold, and where it is said.       (comments)
//   > elect 1                                     (a command)
//   1 -> 2 term 1 PreVoteRequest last 1/1         (what it prints)
//
// Commands (N is a node's number, which is its name and its id; times in milliseconds):
//   cluster N [key=value ...]    N voters; learners=N, lease=1, priority=N:P, and limits of Options
//   start N                      one more node with an empty disk
//   quietly COMMAND              without printing
//   timeout N                    time moves on to N's deadline, and only N notices
//   tick MS [N ...]              time moves on, and all (or these) notice
//   pass MS                      time moves on, and nobody notices yet
//   elect N [via A,B]            timeout N, then deliver all; or only between N and these, and only
//                                until N leads: what it sends then is in flight
//   propose N PAYLOAD ...        one batch
//   read N ID                    a linearizable read
//   change N WHAT M ...          add-learner, add-voter (once caught up), promote, demote, remove,
//                                never-leads, address
//   transfer N [M]
//   closed N M                   N sees its connection to M close
//   deliver [A->B [COUNT]]       everything until all is quiet, or what is in flight on one link
//   drop [A->B]                  loses what is in flight
//   duplicate A->B               the first in flight on a link, once more at the end
//   delay A->B / late A->B       takes what is in flight away / puts it back, in front
//   cut A B / isolate N / heal
//   disk N hold|go               writes wait for `persist N [COUNT]`, or not
//   persist N [COUNT]
//   crash N / restart N / wipe N (then it is N0+10 under the old name)
//   fill N TERM ...              N starts anew, its disk has entries of these terms after the first
//   copy N / put-back N          keeps a copy of its disk / is down, and has that one again
//   snapshot N / compact N INDEX / snapshot-failed N M
//   show network|N
//   expect ...                   see kExpectations in script_expectations.cc; prints nothing when
//                                it holds
//
// A line that begins with FAILED fails the test whatever was recorded.
#pragma once

#include <string>

namespace mokv::raft::testing {

struct ScriptResult {
  std::string text;      // The script with what its commands printed now.
  std::string failures;  // Expectations and invariants that did not hold; empty if all did.
  int expectations = 0;
};

ScriptResult RunScript(const std::string& text);

}  // namespace mokv::raft::testing
