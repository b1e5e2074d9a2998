// mokvctl snapshot verify, restore: what needs no node. For the thread of main.
#pragma once

#include <string>

#include "cli/ctl_output.h"

namespace mokv {

// Loads the file as a node would, and prints what it is. Exit status: 0, or 1 naming file, block and
// offset of what is wrong.
int CtlSnapshotVerify(CtlFormat format, const std::string& path);

// Makes the data directory of a node that begins a new cluster, alone, with the state of `source`: a
// snapshot file, or the data directory of a node that is stopped. The directory must be empty or
// missing. Of a node's directory all is taken that is in it; what of that may never have been
// acknowledged, and that more may have been acknowledged elsewhere, is printed.
int CtlSnapshotRestore(CtlFormat format, const std::string& source, const std::string& data_dir,
                       const std::string& node_name);

}  // namespace mokv
