// What a server of the benchmarks has done so far, counted inside of it: calls of malloc and system
// calls on its sockets. Looking from outside (strace) would slow it down, and so change how many
// answers leave together.
//
// Threads: thread-safe.
#pragma once

#include <string>

namespace mokv::bench {

// One JSON object in a line: processor time and resident memory, and in a program that is linked with
// counts.cc, not with plain_counts.cc, what is counted as well.
std::string CountsJson();

}  // namespace mokv::bench
