#include "rpc/server_thread.h"

#include <algorithm>
#include <ctime>
#include <optional>
#include <utility>

#include "base/check.h"
#include "base/logging.h"
#include "base/status.h"

namespace mokv::rpc {

ServerThread::ServerThread(net::IoThread& io, ServerShared& shared)
    : io_(io),
      shared_(shared),
      deadlines_(io, *shared.options.clock,
                 [this](CallId call) {
                   if (ServerConnection* connection = Find(call.connection);
                       connection != nullptr) {
                     connection->ExpireDeadline(call.stream);
                   }
                 }),
      watch_timer_(io),
      goaway_timer_(io),
      drain_timer_(io) {
  io_.AtTurnEnd([this] { FlushDirty(); });
}

void ServerThread::Complete(Completion completion) {
  bool was_empty;
  {
    MutexLock lock(mutex_);
    was_empty = completions_.empty();
    completions_.push_back(std::move(completion));
  }
  if (was_empty) io_.Post([this] { ApplyCompletions(); });
}

void ServerThread::ApplyCompletions() {
  {
    MutexLock lock(mutex_);
    applying_.swap(completions_);
  }
  for (Completion& completion : applying_) {
    if (ServerConnection* connection = Find(completion.call.connection); connection != nullptr) {
      connection->Complete(std::move(completion));
    }
  }
  applying_.clear();
}

void ServerThread::Accept(std::unique_ptr<net::Transport> transport, std::string_view first_bytes) {
  if (draining_) {
    transport->Close();
    io_.DeleteSoon(std::move(transport));
    return;
  }
  if (!std::exchange(watching_, true)) Watch();
  const uint64_t id = next_connection_++;
  const ServerConnection::Parts parts{
      .shared = shared_, .deadlines = deadlines_, .completions = *this};
  auto connection = std::make_unique<ServerConnection>(*this, parts, id, std::move(transport));
  ServerConnection& added = *connection;
  connections_.emplace(id, std::move(connection));
  ++shared_.stats.connections_open;
  ++shared_.stats.connections_total;
  added.Start(first_bytes);
}

void ServerThread::Remove(ServerConnection& connection) {
  const auto found = connections_.find(connection.id());
  MOKV_CHECK(found != connections_.end());
  dirty_.erase(std::remove(dirty_.begin(), dirty_.end(), &connection), dirty_.end());
  --shared_.stats.connections_open;
  io_.DeleteSoon(std::move(found->second));
  connections_.erase(found);
  if (draining_ && connections_.empty() && drained_ != nullptr) {
    goaway_timer_.Cancel();
    drain_timer_.Cancel();
    std::exchange(drained_, nullptr)();
  }
}

void ServerThread::Drain(Duration grace, Task done) {
  draining_ = true;
  if (connections_.empty()) {
    done();
    return;
  }
  drained_ = std::move(done);
  drain_timer_.Start(grace, [this] {
    while (!connections_.empty()) connections_.begin()->second->Close();
  });
  for (ServerConnection* connection : OpenConnections()) connection->AnnounceGoAway();
  goaway_timer_.Start(shared_.options.goaway_notice, [this] {
    for (ServerConnection* connection : OpenConnections()) connection->GoAway();
  });
}

// What was still to be looked at, by older certificates, is looked at by these, and before the rest:
// reloads may come faster than all can be looked at, and still nobody waits for ever.
void ServerThread::CloseDistrusted(Trusts trusts) {
  newest_trusts_ = std::move(trusts);
  trusts_ = newest_trusts_;
  const std::vector<uint64_t> waiting = std::exchange(to_verify_, {});
  std::vector<uint64_t> known = waiting;
  std::sort(known.begin(), known.end());
  for (const auto& [id, connection] : connections_) {
    if (!std::binary_search(known.begin(), known.end(), id)) to_verify_.push_back(id);
  }
  for (const uint64_t id : waiting) {
    if (connections_.contains(id)) to_verify_.push_back(id);
  }
  // Otherwise the next turn is on its way.
  if (waiting.empty()) VerifyNext();
}

void ServerThread::VerifyExpired() {
  if (!to_verify_.empty()) return;  // Next time: those are looked at first.
  const int64_t now = std::time(nullptr);
  for (const auto& [id, connection] : connections_) {
    const std::optional<int64_t> until = connection->transport().peer_valid_until_unix_s();
    if (until.has_value() && *until <= now) to_verify_.push_back(id);
  }
  if (to_verify_.empty()) return;
  trusts_ = newest_trusts_;
  if (trusts_ == nullptr) {
    // The chain that was good then is all that there is.
    trusts_ = [](const net::Transport&) {
      return absl::UnauthenticatedError("certificate has expired");
    };
  }
  VerifyNext();
}

void ServerThread::VerifyNext() {
  for (int i = 0; i < kVerifiedAtOnceMax && !to_verify_.empty(); ++i) {
    ServerConnection* connection = Find(to_verify_.back());
    to_verify_.pop_back();
    if (connection == nullptr) continue;
    const absl::Status trusted = trusts_(connection->transport());
    if (trusted.ok()) continue;
    ++shared_.stats.connections_distrusted;
    // One for all: there may be thousands.
    if (distrusted_++ == 0) {
      LogWarn("a client is not believed any more; its connection is closed",
              {{"subject", connection->transport().peer_name()},
               {"peer", connection->transport().peer_address()},
               {"reason", MessageOf(trusted)}});
    }
    connection->Close();
  }
  if (!to_verify_.empty()) return io_.Post([this] { VerifyNext(); });
  trusts_ = nullptr;
  if (distrusted_ > 1) LogWarn("connections of such clients were closed", {{"count", distrusted_}});
  distrusted_ = 0;
}

// For loops in which connections may end, which takes them out of the map.
std::vector<ServerConnection*> ServerThread::OpenConnections() const {
  std::vector<ServerConnection*> open;
  for (const auto& [id, connection] : connections_) open.push_back(connection.get());
  return open;
}

void ServerThread::FlushDirty() {
  // A flush may end a connection, which takes it out of the list.
  while (!dirty_.empty()) {
    ServerConnection* connection = dirty_.back();
    dirty_.pop_back();
    connection->Flush();
  }
}

void ServerThread::FlushLater(ServerConnection& connection) {
  io_.Post([this, id = connection.id()] {
    if (ServerConnection* found = Find(id); found != nullptr) found->Flush();
  });
}

ServerConnection* ServerThread::Find(uint64_t connection) {
  const auto found = connections_.find(connection);
  return found == connections_.end() ? nullptr : found->second.get();
}

void ServerThread::Watch() {
  const MonotonicTime now = shared_.Now();
  for (ServerConnection* connection : OpenConnections()) connection->Watch(now);
  VerifyExpired();
  const ServerOptions& options = shared_.options;
  Duration shortest =
      std::min({options.stall_timeout, options.keepalive_idle, options.keepalive_timeout});
  for (const Duration limit : {options.connection_idle_max, options.connection_age_max}) {
    if (limit != Duration::zero()) shortest = std::min(shortest, limit);
  }
  watch_timer_.Start(shortest / kChecksPerTimeout, [this] { Watch(); });
}

}  // namespace mokv::rpc
