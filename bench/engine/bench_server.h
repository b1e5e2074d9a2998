// RunBenchServer: the main function of a server of our RPC engine that is there to be measured.
#pragma once

#include <absl/functional/function_ref.h>

#include "rpc/server.h"

namespace mokv::bench {

// What main returns. Serves what `add_methods` has added:
//   PROGRAM --port N --threads T [--tls CA CERT KEY]
// Ends on SIGTERM or SIGINT; on SIGUSR1 it calls `report`.
int RunBenchServer(int argc, char** argv, absl::FunctionRef<void(rpc::Server&)> add_methods,
                   absl::FunctionRef<void()> report);

}  // namespace mokv::bench
