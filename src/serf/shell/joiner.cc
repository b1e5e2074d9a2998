// Agent: joins. It asks all addresses at once, again and again with growing pauses, until one
// answers.
#include <algorithm>

#include "base/check.h"
#include "base/logging.h"
#include "base/status.h"
#include "serf/shell/agent_impl.h"
#include "serf/shell/socket_address.h"

namespace mokv::serf {
namespace {

constexpr Duration kPauseMin = std::chrono::milliseconds(250);
constexpr Duration kPauseMax = std::chrono::seconds(15);

}  // namespace

void Agent::Impl::Join(std::vector<net::HostPort> addresses, bool remembered,
                       absl::AnyInvocable<void()> done) {
  if (left_ || !leave_done_.empty()) return;
  if (!advertised_) {
    held_joins_.push_back(
        [this, addresses = std::move(addresses), remembered, done = std::move(done)]() mutable {
          Join(std::move(addresses), remembered, std::move(done));
        });
    return;
  }
  auto task = std::make_shared<JoinTask>(JoinTask{.addresses = std::move(addresses),
                                                  .remembered = remembered,
                                                  .done = std::move(done),
                                                  .pause = kPauseMin,
                                                  .timer = std::make_unique<net::Timer>(thread_)});
  join_tasks_.insert(task);
  TryJoin(task);
}

bool Agent::Impl::HasCompany() const { return protocol_->CountOf(MemberStatus::kAlive) > 1; }

void Agent::Impl::TryJoin(const JoinTaskPtr& task) {
  if (task->remembered && HasCompany()) return EndJoin(task);
  // Counts one look-up too many, so that the attempt does not end before all have been asked.
  ++task->resolving;
  for (const net::HostPort& address : task->addresses) {
    asio::error_code error;
    const asio::ip::address literal = asio::ip::make_address(address.host, error);
    if (error) {
      ResolveName(task, address);
    } else {
      Contact(task, {ToBytes(literal), address.port});
    }
  }
  --task->resolving;
  EndAttempt(task);
  Flush();
}

void Agent::Impl::ResolveName(const JoinTaskPtr& task, const net::HostPort& address) {
  ++task->resolving;
  resolver_->async_resolve(
      address.host, std::to_string(address.port),
      [self = shared_from_this(), task, address](
          const asio::error_code& error, const asio::ip::tcp::resolver::results_type& found) {
        if (self->stopped_ || !self->join_tasks_.contains(task)) return;
        --task->resolving;
        if (error) task->last_error = fmt::format("{}: {}", address.host, error.message());
        for (const auto& entry : found) {
          self->Contact(task, {ToBytes(entry.endpoint().address()), entry.endpoint().port()});
        }
        self->EndAttempt(task);
        self->Flush();
      });
}

void Agent::Impl::Contact(const JoinTaskPtr& task, const Endpoint& at) {
  if (at == protocol_->advertise() || !task->waiting_for.insert(at).second) return;
  protocol_->Join(Now(), at);
}

void Agent::Impl::On(const JoinResult& result) {
  for (const JoinTaskPtr& task : std::set(join_tasks_)) {
    if (task->waiting_for.erase(result.at) == 0) continue;
    if (result.status.ok()) {
      LogInfo("joined", {{"through", ToText(result.at)}});
      EndJoin(task);
    } else {
      task->last_error = fmt::format("{}: {}", ToText(result.at), MessageOf(result.status));
      EndAttempt(task);
    }
  }
}

void Agent::Impl::EndAttempt(const JoinTaskPtr& task) {
  if (!task->waiting_for.empty() || task->resolving > 0 || !join_tasks_.contains(task)) return;
  if (task->last_error.empty()) return EndJoin(task);  // Only ourselves: nothing to do.
  LogWarn("no node of the cluster answers yet",
          {{"last_error", task->last_error},
           {"next_attempt_ms",
            std::chrono::duration_cast<std::chrono::milliseconds>(task->pause).count()}});
  task->timer->Start(task->pause, [this, task] { TryJoin(task); });
  task->pause = std::min(2 * task->pause, kPauseMax);
}

void Agent::Impl::EndJoin(const JoinTaskPtr& task) {
  if (join_tasks_.erase(task) == 0) return;
  task->timer->Cancel();
  if (task->done) task->done();
}

}  // namespace mokv::serf
