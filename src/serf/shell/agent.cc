#include "serf/shell/agent.h"

#include "base/check.h"
#include "base/mutex.h"
#include "base/status.h"
#include "serf/shell/agent_impl.h"

namespace mokv::serf {

absl::StatusOr<std::unique_ptr<Agent>> Agent::Create(net::IoThread& thread, Options options,
                                                     Callbacks callbacks) {
  auto impl = std::make_shared<Impl>(thread, std::move(options), std::move(callbacks));
  MOKV_RETURN_IF_ERROR(impl->Open());
  return std::unique_ptr<Agent>(new Agent(std::move(impl)));
}

Agent::Agent(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
Agent::~Agent() { Stop(); }

void Agent::Start() {
  MOKV_CHECK(!started_);
  started_ = true;
  impl_->Post([](Impl& impl) { impl.Start(); });
}

void Agent::Stop() {
  if (stopped_) return;
  stopped_ = true;
  if (!started_) return impl_->Stop();  // The thread has never heard of it.
  MOKV_CHECK(!impl_->thread().IsCurrent());
  Mutex mutex;
  CondVar stopped;
  bool is_stopped = false;
  impl_->thread().Post([&, impl = impl_] {
    impl->Stop();
    const MutexLock lock(mutex);
    is_stopped = true;
    stopped.NotifyOne();
  });
  MutexLock lock(mutex);
  while (!is_stopped) stopped.Wait(lock);
}

void Agent::Join(std::vector<net::HostPort> addresses, absl::AnyInvocable<void()> done) {
  impl_->Post([addresses = std::move(addresses), done = std::move(done)](Impl& impl) mutable {
    impl.Join(std::move(addresses), /*remembered=*/false, std::move(done));
  });
}

absl::Status Agent::SetTags(Tags tags) {
  MOKV_RETURN_IF_ERROR(CheckTags(tags));
  impl_->Post([tags = std::move(tags)](Impl& impl) { impl.SetTags(tags); });
  return absl::OkStatus();
}

void Agent::Leave(absl::AnyInvocable<void()> done) {
  impl_->Post([done = std::move(done)](Impl& impl) mutable { impl.Leave(std::move(done)); });
}

uint16_t Agent::port() const { return impl_->port(); }
std::shared_ptr<const std::vector<Member>> Agent::members() const { return impl_->members(); }
Stats Agent::stats() const { return impl_->stats(); }

absl::Status Agent::SendUserEvent(std::string name, std::string payload) {
  const size_t bytes =
      Encode(UserEventMessage{
                 .ltime = ~LamportTime{0}, .name = name, .payload = payload, .coalesce = true})
          .size();
  if (bytes > kUserEventBytesSendMax) {
    return InvalidArgument("a user event may have {} bytes altogether; this one has up to {}",
                           kUserEventBytesSendMax, bytes);
  }
  impl_->Post([name = std::move(name), payload = std::move(payload)](Impl& impl) {
    impl.protocol().SendUserEvent(impl.Now(), name, payload).IgnoreError();  // Checked above.
    impl.Flush();
  });
  return absl::OkStatus();
}

void Agent::Query(QueryRequest request, QueryCallbacks callbacks) {
  impl_->Post([request = std::move(request), callbacks = std::move(callbacks)](Impl& impl) mutable {
    impl.Query(request, std::move(callbacks));
  });
}

void Agent::Respond(QueryKey query, std::string payload) {
  impl_->Post([query, payload = std::move(payload)](Impl& impl) {
    impl.protocol()
        .Respond(impl.Now(), query, payload)
        .IgnoreError();  // To answer too late is no error.
    impl.Flush();
  });
}

void Agent::ForceLeave(std::string name, absl::AnyInvocable<void(absl::Status)> done) {
  impl_->Post([name = std::move(name), done = std::move(done)](Impl& impl) mutable {
    absl::Status status = impl.protocol().ForceLeave(impl.Now(), name, /*prune=*/false);
    impl.Flush();
    if (done) done(std::move(status));
  });
}

void Agent::SetKeys(std::vector<std::string> keys, absl::AnyInvocable<void(absl::Status)> done) {
  impl_->Post([keys = std::move(keys), done = std::move(done)](Impl& impl) mutable {
    absl::Status status = impl.SetKeys(keys);
    if (done) done(std::move(status));
  });
}

}  // namespace mokv::serf
