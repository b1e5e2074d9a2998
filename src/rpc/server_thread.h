// ServerThread: the server's part on one I/O thread: its connections, the answers that other
// threads have given, deadlines, and the watch over stalled calls. Internal to the engine.
//
// Owner:   Server; lives as long as it, so that responders may outlive connections.
// Threads: confined to its I/O thread, except Complete.
#pragma once

#include <absl/container/btree_map.h>
#include <absl/container/flat_hash_map.h>
#include <absl/status/status.h>

#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "net/io_pool.h"
#include "net/transport.h"
#include "rpc/server.h"
#include "rpc/server_call.h"

namespace mokv::rpc {

class ServerConnection;

// What all threads of a server share; immutable while it runs, but for the counters.
struct ServerShared {
  Server::Options options;
  CallObserver* observer = nullptr;
  ServerStats stats;
  absl::flat_hash_map<std::string, std::unique_ptr<Method>> methods;
  std::vector<std::string> method_paths;

  const Method* FindMethod(std::string_view path) const;
};

// An answer, or a part of one, from another thread.
struct Completion {
  uint64_t connection = 0;
  int32_t stream = 0;
  bool wake = false;  // Nothing but "ask the source again".
  absl::Status status;
  std::string message;
  std::unique_ptr<MessageSource> source;
};

class ServerThread {
 public:
  ServerThread(net::IoThread& io, ServerShared& shared);
  ~ServerThread();

  // Thread-safe.
  void Complete(Completion completion);

  void Accept(std::unique_ptr<net::Transport> transport, std::string_view first_bytes);
  // Calls `done` on this thread when no connection is left.
  void Drain(Duration grace, Task done);

  // For connections.
  void FlushAtTurnEnd(ServerConnection& connection);
  // Goes on with a connection that had more to send than one turn allows.
  void FlushLater(uint64_t connection);
  void Remove(ServerConnection& connection);
  uint64_t AddDeadline(const ServerCall& call);
  void RemoveDeadline(const ServerCall& call);

  net::IoThread& io() { return io_; }
  ServerShared& shared() { return shared_; }

 private:
  using DeadlineKey = std::pair<MonotonicTime, uint64_t>;
  struct CallId {
    uint64_t connection;
    int32_t stream;
  };

  // Often enough that what has run out of time outlives it by a tenth at most.
  static constexpr int kChecksPerTimeout = 10;

  void ApplyCompletions();
  void FlushDirty();
  void ArmDeadlineTimer();
  void ExpireDeadlines();
  // Looks after stalled calls and silent clients, again and again.
  void Watch();
  std::vector<ServerConnection*> OpenConnections() const;
  ServerConnection* Find(uint64_t connection);

  net::IoThread& io_;
  ServerShared& shared_;
  absl::flat_hash_map<uint64_t, std::unique_ptr<ServerConnection>> connections_;
  uint64_t next_connection_ = 1;
  std::vector<ServerConnection*> dirty_;

  absl::btree_map<DeadlineKey, CallId> deadlines_;
  uint64_t next_deadline_id_ = 1;
  MonotonicTime armed_for_ = MonotonicTime::Max();
  net::Timer deadline_timer_;
  net::Timer watch_timer_;
  bool watching_ = false;

  bool draining_ = false;
  net::Timer goaway_timer_;
  net::Timer drain_timer_;
  Task drained_;

  Mutex mutex_;
  std::vector<Completion> completions_ ABSL_GUARDED_BY(mutex_);
  std::vector<Completion> applying_;
};

}  // namespace mokv::rpc
