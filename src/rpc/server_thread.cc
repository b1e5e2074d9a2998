#include "rpc/server_thread.h"

#include <algorithm>

#include "base/check.h"
#include "rpc/server_connection.h"

namespace mokv::rpc {

const Method* ServerShared::FindMethod(std::string_view path) const {
  const auto found = methods.find(absl::string_view(path.data(), path.size()));
  return found == methods.end() ? nullptr : found->second.get();
}

ServerThread::ServerThread(net::IoThread& io, ServerShared& shared)
    : io_(io),
      shared_(shared),
      deadline_timer_(io),
      watch_timer_(io),
      goaway_timer_(io),
      drain_timer_(io) {
  io_.AtTurnEnd([this] { FlushDirty(); });
}

ServerThread::~ServerThread() = default;

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
    if (ServerConnection* connection = Find(completion.connection); connection != nullptr) {
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
  auto connection = std::make_unique<ServerConnection>(*this, id, std::move(transport));
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

// For loops in which connections may end, which takes them out of the map.
std::vector<ServerConnection*> ServerThread::OpenConnections() const {
  std::vector<ServerConnection*> open;
  for (const auto& [id, connection] : connections_) open.push_back(connection.get());
  return open;
}

void ServerThread::FlushAtTurnEnd(ServerConnection& connection) { dirty_.push_back(&connection); }

void ServerThread::FlushDirty() {
  // A flush may end a connection, which takes it out of the list.
  while (!dirty_.empty()) {
    ServerConnection* connection = dirty_.back();
    dirty_.pop_back();
    connection->Flush();
  }
}

void ServerThread::FlushLater(uint64_t connection) {
  if (ServerConnection* found = Find(connection); found != nullptr) found->Flush();
}

ServerConnection* ServerThread::Find(uint64_t connection) {
  const auto found = connections_.find(connection);
  return found == connections_.end() ? nullptr : found->second.get();
}

uint64_t ServerThread::AddDeadline(const ServerCall& call) {
  const uint64_t id = next_deadline_id_++;
  deadlines_.emplace(DeadlineKey(call.deadline, id), CallId{call.connection->id(), call.stream});
  ArmDeadlineTimer();
  return id;
}

void ServerThread::RemoveDeadline(const ServerCall& call) {
  deadlines_.erase(DeadlineKey(call.deadline, call.deadline_id));
}

void ServerThread::ArmDeadlineTimer() {
  if (deadlines_.empty()) return;
  const MonotonicTime earliest = deadlines_.begin()->first.first;
  // A timer armed for a call that has ended since fires early, which costs less than moving it
  // with every call.
  if (earliest >= armed_for_) return;
  armed_for_ = earliest;
  const Duration wait = std::max(earliest - SystemClock().Now(), Duration(0));
  deadline_timer_.Start(wait, [this] { ExpireDeadlines(); });
}

void ServerThread::ExpireDeadlines() {
  armed_for_ = MonotonicTime::Max();
  const MonotonicTime now = SystemClock().Now();
  while (!deadlines_.empty() && deadlines_.begin()->first.first <= now) {
    const CallId id = deadlines_.begin()->second;
    deadlines_.erase(deadlines_.begin());
    if (ServerConnection* connection = Find(id.connection); connection != nullptr) {
      connection->ExpireDeadline(id.stream);
    }
  }
  ArmDeadlineTimer();
}

void ServerThread::Watch() {
  const MonotonicTime now = SystemClock().Now();
  for (ServerConnection* connection : OpenConnections()) connection->Watch(now);
  const Server::Options& options = shared_.options;
  const Duration shortest =
      std::min({options.stall_timeout, options.keepalive_idle, options.keepalive_timeout});
  watch_timer_.Start(shortest / kChecksPerTimeout, [this] { Watch(); });
}

}  // namespace mokv::rpc
