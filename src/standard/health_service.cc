#include "standard/health_service.h"

#include <optional>

#include "api/health.pb.h"
#include "base/status.h"

namespace mokv::standard {
namespace {

using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;

absl::Status Parse(std::string_view bytes, HealthCheckRequest& request) {
  if (request.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return absl::OkStatus();
  return InvalidArgument("the message does not parse as {}", request.GetTypeName());
}

}  // namespace

// The messages of one Watch call: the state when it began, and each change.
class HealthWatch final : public rpc::MessageSource {
 public:
  HealthWatch(HealthService& health, bool is_known, rpc::StreamWaker waker)
      : health_(health), is_known_(is_known), id_(health.AddWatcher(waker)) {}
  ~HealthWatch() override { health_.RemoveWatcher(id_); }

  Next Produce(std::string* message) override {
    // Before the state: the state that the end follows is then the last.
    const bool stopped = health_.stopped_;
    const HealthCheckResponse::ServingStatus now = !is_known_ ? HealthCheckResponse::SERVICE_UNKNOWN
                                                   : health_.serving()
                                                       ? HealthCheckResponse::SERVING
                                                       : HealthCheckResponse::NOT_SERVING;
    if (last_sent_ != now) {
      last_sent_ = now;
      HealthCheckResponse response;
      response.set_status(now);
      response.AppendToString(message);
      return Next::kMessage;
    }
    return stopped ? Next::kEnd : Next::kWait;
  }

  absl::Status status() const override { return absl::UnavailableError("the server is stopping"); }

 private:
  HealthService& health_;
  const bool is_known_;
  const uint64_t id_;
  std::optional<HealthCheckResponse::ServingStatus> last_sent_;
};

void HealthService::Register(rpc::Server& server) {
  server.AddUnary("/grpc.health.v1.Health/Check", [this](rpc::UnaryCall& call) { Check(call); });
  server.AddServerStream("/grpc.health.v1.Health/Watch",
                         [this](rpc::ServerStreamCall& call) { Watch(call); });
}

void HealthService::SetServing(bool serving) {
  serving_ = serving && !stopped_;
  WakeWatchers();
}

void HealthService::Stop() {
  serving_ = false;
  stopped_ = true;
  WakeWatchers();
}

void HealthService::WakeWatchers() {
  MutexLock lock(mutex_);
  for (const auto& [id, waker] : watchers_) waker.Wake();
}

uint64_t HealthService::AddWatcher(rpc::StreamWaker waker) {
  MutexLock lock(mutex_);
  watchers_.emplace(next_id_, waker);
  return next_id_++;
}

void HealthService::RemoveWatcher(uint64_t id) {
  MutexLock lock(mutex_);
  watchers_.erase(id);
}

void HealthService::Check(rpc::UnaryCall& call) {
  HealthCheckRequest request;
  if (absl::Status status = Parse(call.request(), request); !status.ok()) {
    return call.Fail(std::move(status));
  }
  if (!IsKnown(request.service())) {
    return call.Fail(
        MakeStatus(absl::StatusCode::kNotFound, "unknown service {}", request.service()));
  }
  HealthCheckResponse response;
  response.set_status(serving() ? HealthCheckResponse::SERVING : HealthCheckResponse::NOT_SERVING);
  response.AppendToString(&call.response());
  call.Finish();
}

void HealthService::Watch(rpc::ServerStreamCall& call) {
  HealthCheckRequest request;
  if (absl::Status status = Parse(call.request(), request); !status.ok()) {
    return call.Fail(std::move(status));
  }
  call.Start(std::make_unique<HealthWatch>(*this, IsKnown(request.service()), call.waker()));
}

}  // namespace mokv::standard
