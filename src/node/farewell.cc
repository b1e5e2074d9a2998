#include "node/farewell.h"

#include <future>
#include <memory>

#include "base/logging.h"
#include "base/status.h"

namespace mokv {
namespace {

// An event that one thread waits for and another tells. The teller may outlive the waiter.
class Told {
 public:
  auto Tell() const {
    return [promise = promise_] { promise->set_value(); };
  }
  bool WaitFor(Duration longest) { return future_.wait_for(longest) == std::future_status::ready; }

 private:
  std::shared_ptr<std::promise<void>> promise_ = std::make_shared<std::promise<void>>();
  std::future<void> future_ = promise_->get_future();
};

// Whether all have answered in time.
bool SayGoodbye(peer::PeerNetwork& peers, Executor& replica_thread, Duration longest) {
  Told answered;
  replica_thread.Post([&peers, tell = answered.Tell()] { peers.Farewell(tell); });
  return answered.WaitFor(longest);
}

}  // namespace

void StepAside(replica::Replica& replica, const Clock& clock) {
  Told stepped_aside;
  replica.StepAside(clock.Now() + kStepAsideMax,
                    [tell = stepped_aside.Tell()](const absl::Status& status, bool) {
                      if (!status.ok()) {
                        LogInfo("leadership was not handed over", {{"reason", MessageOf(status)}});
                      }
                      tell();
                    });
  stepped_aside.WaitFor(kStepAsideMax);
}

void LeaveCluster(replica::Replica& replica, const Clock& clock, const std::string& node_name) {
  Told answered;
  replica.Request(
      {.kind = replica::AdminRequest::Kind::kRemoveMember, .name = node_name},
      clock.Now() + kLeaveClusterMax, [tell = answered.Tell()](const absl::Status& status, bool) {
        if (status.ok()) {
          LogInfo("this node is no member of its cluster any more");
        } else {
          LogWarn("this node stays a member of its cluster", {{"reason", MessageOf(status)}});
        }
        tell();
      });
  answered.WaitFor(kLeaveClusterMax);
}

void BidFarewell(replica::Replica& replica, peer::PeerNetwork& peers, Executor& replica_thread,
                 const Clock& clock) {
  const MonotonicTime give_up_at = clock.Now() + kFarewellMax;
  if (!SayGoodbye(peers, replica_thread, give_up_at - clock.Now())) return;
  Told all_answered;
  replica.WhenIdle(all_answered.Tell());
  if (!all_answered.WaitFor(give_up_at - clock.Now())) return;
  SayGoodbye(peers, replica_thread, give_up_at - clock.Now());
}

}  // namespace mokv
