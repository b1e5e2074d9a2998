// mokvctl rebuild: a stopped node whose disk was damaged or lost is to be filled by the others again.
// For the thread of main.
#pragma once

#include <string>

#include "cli/ctl_output.h"

namespace mokv {

// Moves what is in the directory aside and gives it a new identity; asks no node. `node_name` may be
// empty where the directory says whose it is. Exit status: 0; 1 when a node runs on it, or it is another
// node's or no node's; 2 when the name is missing.
int CtlRebuild(CtlFormat format, const std::string& data_dir, const std::string& node_name);

}  // namespace mokv
