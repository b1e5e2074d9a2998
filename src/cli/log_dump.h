// mokvctl log dump: a node's log for people.
#pragma once

#include <string>

namespace mokv {

// Prints the log in `directory`, which may also be a node's data directory, on standard output.
// Takes no lock and changes nothing. Exit status: 0, or 1 when there is no log or a part of it is
// damaged.
int CtlLogDump(const std::string& directory);

}  // namespace mokv
