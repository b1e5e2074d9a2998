// ServerShared: what all I/O threads of a server share. Internal to the engine.
//
// Threads: immutable while the server runs, but for the counters, which are thread-safe.
// Owner:   Server.
#pragma once

#include <absl/container/flat_hash_map.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "rpc/method.h"
#include "rpc/server_options.h"
#include "rpc/server_telemetry.h"

namespace mokv::rpc {

struct ServerShared {
  ServerOptions options;
  CallObserver* observer = nullptr;  // May be null.
  ServerStats stats;
  absl::flat_hash_map<std::string, std::unique_ptr<Method>> methods;  // By their paths.
  std::vector<std::string> method_paths;

  MonotonicTime Now() const { return options.clock->Now(); }
  // Null when there is none.
  const Method* FindMethod(std::string_view path) const {
    const auto found = methods.find(absl::string_view(path.data(), path.size()));
    return found == methods.end() ? nullptr : found->second.get();
  }
};

}  // namespace mokv::rpc
