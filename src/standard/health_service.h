// HealthService: grpc.health.v1.Health for a server ("") and services of it, which are always in the
// same state.
//
// Threads: thread-safe. Owner: must outlive the server's threads.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "base/mutex.h"
#include "rpc/server.h"

namespace mokv::standard {

class HealthService {
 public:
  // By their full names.
  explicit HealthService(std::set<std::string> services) : services_(std::move(services)) {}

  void Register(rpc::Server& server);

  // NOT_SERVING until this says otherwise. Watchers hear of every lasting change.
  void SetServing(bool serving);
  // What begins to serve while the server stops does not make it serve.
  bool serving() const { return serving_ && !stopped_; }
  // NOT_SERVING for good; watchers hear it and their streams end, so that the server can stop.
  void Stop();

 private:
  friend class HealthWatch;

  bool IsKnown(const std::string& service) const {
    return service.empty() || services_.contains(service);
  }
  void Check(rpc::UnaryCall& call);
  void Watch(rpc::ServerStreamCall& call);
  uint64_t AddWatcher(rpc::StreamWaker waker);
  void RemoveWatcher(uint64_t id);
  void WakeWatchers();

  const std::set<std::string> services_;
  std::atomic<bool> serving_{false};
  std::atomic<bool> stopped_{false};
  Mutex mutex_;
  uint64_t next_id_ ABSL_GUARDED_BY(mutex_) = 1;
  std::map<uint64_t, rpc::StreamWaker> watchers_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace mokv::standard
