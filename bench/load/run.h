// A whole run: connect, preload, warm up, measure. Starts options.threads threads and returns when
// they have ended.
//
// Errors: INVALID_ARGUMENT for options; UNAVAILABLE and the like when the server cannot be reached
//         or refuses the connection. What goes wrong later is in the report.
#pragma once

#include <absl/status/statusor.h>

#include "load/options.h"
#include "load/report.h"

namespace mokv::load {

absl::StatusOr<Report> RunLoad(const LoadOptions& options);

}  // namespace mokv::load
