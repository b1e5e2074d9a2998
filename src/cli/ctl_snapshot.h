// mokvctl snapshot save: a snapshot of a cluster that runs. For the thread of main.
#pragma once

#include <string>

#include "cli/ctl_client.h"
#include "cli/ctl_output.h"

namespace mokv {

// Writes what the first endpoint that answers has applied into `path`: beside it first, and it gets
// its name only when it is whole, on disk, and has been read back. An existing file stays unless
// `force`. Shows its progress on standard error if that is a terminal.
int CtlSnapshotSave(const CtlConnection& connection, CtlFormat format, const std::string& path,
                    bool force);

}  // namespace mokv
