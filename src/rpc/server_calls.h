// ServerCalls: the open calls of one connection, and finished ones that are kept for the next.
// Internal to the engine.
//
// Owner:   the connection.
// Threads: confined to its I/O thread.
// Bounds:  open calls are what HTTP/2 allows the client; kSpareMax others are kept until Trim.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "rpc/server_call.h"
#include "rpc/server_telemetry.h"

namespace mokv::rpc {

class ServerCalls {
 public:
  // Both outlive it.
  ServerCalls(const CallOrigin& origin, ServerStats& stats) : origin_(origin), stats_(stats) {}
  ~ServerCalls();
  ServerCalls(const ServerCalls&) = delete;
  ServerCalls& operator=(const ServerCalls&) = delete;

  // A reference stays good until Close.
  ServerCall& Open(int32_t stream, MonotonicTime now);
  void Close(ServerCall& call);

  // Gives up the finished ones.
  void Trim() {
    spare_.clear();
    spare_.shrink_to_fit();
  }

  // The others follow by `next`; null when none is open.
  ServerCall* first() const { return open_; }
  bool empty() const { return open_ == nullptr; }

 private:
  static constexpr size_t kSpareMax = 64;

  const CallOrigin& origin_;
  ServerStats& stats_;
  ServerCall* open_ = nullptr;
  std::vector<std::unique_ptr<ServerCall>> spare_;
};

}  // namespace mokv::rpc
