// Agent: waits until the name that it tells to others can be resolved. A machine may get its name
// only when its process is ready, as pods do; so the process starts, and only the gossip waits.
#include <utility>

#include "base/check.h"
#include "base/logging.h"
#include "serf/shell/agent_impl.h"
#include "serf/shell/socket_address.h"

namespace mokv::serf {
namespace {

constexpr Duration kResolveInterval = std::chrono::seconds(1);
// One warning for this many look-ups that have failed.
constexpr uint64_t kWarnEvery = 60;

}  // namespace

void Agent::Impl::WaitForAdvertised() {
  const net::HostPort& wanted = options_.advertise_address;
  resolver_->async_resolve(
      wanted.host, std::to_string(wanted.port),
      [self = shared_from_this()](const asio::error_code& error,
                                  const asio::ip::tcp::resolver::results_type& found) {
        if (self->stopped_) return;
        for (const auto& entry : found) {
          const Endpoint at{ToBytes(entry.endpoint().address()), entry.endpoint().port()};
          if (IsValidAddress(at.addr)) return self->AdvertiseAt(at);
        }
        if (self->resolved_in_vain_++ % kWarnEvery == 0) {
          LogWarn("advertise-addr does not resolve yet; gossip waits for it",
                  {{"address", self->options_.advertise_address.ToString()},
                   {"reason", error ? error.message() : "it is no address of a machine"}});
        }
        self->resolve_timer_->Start(kResolveInterval,
                                    [impl = self.get()] { impl->WaitForAdvertised(); });
      });
}

void Agent::Impl::AdvertiseAt(const Endpoint& endpoint) {
  if (resolved_in_vain_ > 0) {
    LogInfo("advertise-addr resolves now",
            {{"address", options_.advertise_address.ToString()}, {"is", ToText(endpoint)}});
  }
  protocol_options_.advertise = endpoint;
  // It replaces the protocol with the placeholder address, which has not sent anything.
  auto protocol = Protocol::Create(protocol_options_, random_, Now());
  MOKV_CHECK(protocol.ok());  // Only its address differs, and that is valid.
  protocol_ = *std::move(protocol);
  advertised_ = true;
  Start();
}

}  // namespace mokv::serf
