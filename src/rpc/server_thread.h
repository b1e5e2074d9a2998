// ServerThread: the server's part on one I/O thread: its connections, the answers that other
// threads have given, and when to look after stalled calls. Internal to the engine.
//
// Owner:   Server; lives as long as it, so that responders may outlive connections.
// Threads: confined to its I/O thread, except Complete.
#pragma once

#include <absl/container/flat_hash_map.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "net/io_pool.h"
#include "net/transport.h"
#include "rpc/completion.h"
#include "rpc/deadlines.h"
#include "rpc/server_connection.h"
#include "rpc/server_shared.h"

namespace mokv::rpc {

class ServerThread final : public CompletionSink, public ServerConnection::Owner {
 public:
  ServerThread(net::IoThread& io, ServerShared& shared);

  // Thread-safe.
  void Complete(Completion completion) override;

  void Accept(std::unique_ptr<net::Transport> transport, std::string_view first_bytes);
  // Calls `done` on this thread when no connection is left.
  void Drain(Duration grace, Task done);

  // Looks at the connections that there are now, a few in each turn.
  using Trusts = std::function<absl::Status(const net::Transport& transport)>;
  void CloseDistrusted(Trusts trusts);

  net::IoThread& io() { return io_; }

 private:
  // Often enough that nothing outlives its timeout by more than a tenth.
  static constexpr int kChecksPerTimeout = 10;
  // To verify a chain takes some 0.2 ms, which calls of other connections wait for.
  static constexpr int kVerifiedAtOnceMax = 8;

  void FlushAtTurnEnd(ServerConnection& connection) override { dirty_.push_back(&connection); }
  void FlushLater(ServerConnection& connection) override;
  void Remove(ServerConnection& connection) override;

  void ApplyCompletions();
  void FlushDirty();
  // Looks after stalled calls and silent clients, again and again.
  void Watch();
  // Looks again at those whose certificate, or what it stands on, has come to its end.
  void VerifyExpired();
  void VerifyNext();
  std::vector<ServerConnection*> OpenConnections() const;
  ServerConnection* Find(uint64_t connection);

  net::IoThread& io_;
  ServerShared& shared_;
  Deadlines deadlines_;
  uint64_t next_connection_ = 1;
  std::vector<ServerConnection*> dirty_;

  net::Timer watch_timer_;
  bool watching_ = false;

  Trusts newest_trusts_;             // Null: what the connections were made with still counts.
  Trusts trusts_;                    // While there is something to verify.
  std::vector<uint64_t> to_verify_;  // Connections; the last one is next.
  uint64_t distrusted_ = 0;          // Of those that were verified since.

  bool draining_ = false;
  net::Timer goaway_timer_;
  net::Timer drain_timer_;
  Task drained_;

  Mutex mutex_;
  std::vector<Completion> completions_ ABSL_GUARDED_BY(mutex_);
  std::vector<Completion> applying_;

  // The last member: what calls hold may still answer as it goes.
  absl::flat_hash_map<uint64_t, std::unique_ptr<ServerConnection>> connections_;
};

}  // namespace mokv::rpc
