// Applying what is committed: from entries of the log to the state machine.
//
// Threads: the store's writer.
#pragma once

#include <absl/status/status.h>

#include <span>
#include <vector>

#include "base/log_entry.h"
#include "store/store.h"

namespace mokv::replica {

// Carries committed entries out, in order, and adds a result for each; those of entries that are no
// commands say nothing. DATA_LOSS for one that this version does not know: some of those before it
// may have been carried out then, none behind it.
absl::Status ApplyEntries(store::Store& store, std::span<const Entry> entries,
                          std::vector<store::ApplyResult>& results);

}  // namespace mokv::replica
