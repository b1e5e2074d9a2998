// mokvctl verify: every file of a stopped node's directory. For the thread of main.
#pragma once

#include <string>

#include "cli/ctl_output.h"

namespace mokv {

// Prints one line a part: OK, or what is wrong, naming file and offset; as JSON one object a line, the
// last one with the totals (docs/reference.md). Changes nothing. Exit status:
// 0, or 1 when something is wrong, a node runs on the directory, or it is none.
int CtlVerify(CtlFormat format, const std::string& data_dir);

}  // namespace mokv
