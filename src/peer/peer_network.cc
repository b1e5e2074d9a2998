#include "peer/peer_network.h"

#include <utility>

#include "peer/frame.h"
#include "peer/network.h"

namespace mokv::peer {

PeerNetwork::PeerNetwork(net::IoThread& thread, const Clock& clock, replica::PeersHandler& handler,
                         Options options)
    : network_(std::make_shared<Network>(thread, clock, handler, std::move(options))) {}

PeerNetwork::~PeerNetwork() { network_->Stop(); }

net::Protocol PeerNetwork::protocol() {
  net::Protocol protocol;
  protocol.alpn = kAlpn;
  protocol.clear_prefix = kMagic;
  protocol.accept = [weak = std::weak_ptr<Network>(network_), thread = &network_->thread()](
                        std::unique_ptr<net::Transport> transport, std::string_view first_bytes) {
    net::Transport::MoveTo(
        std::move(transport), *thread,
        [weak, first_bytes = std::string(first_bytes)](std::unique_ptr<net::Transport> arrived) {
          // Only the replica thread ends it, so it stays during the call.
          const std::shared_ptr<Network> network = weak.lock();
          if (network != nullptr) {
            network->Accept(std::move(arrived), first_bytes);
          }
        });
  };
  return protocol;
}

void PeerNetwork::Farewell(Task done) { network_->Farewell(std::move(done)); }
void PeerNetwork::Stop() { network_->Stop(); }
void PeerNetwork::SetAddressHints(std::map<raft::NodeId, std::string> hints) {
  network_->SetAddressHints(std::move(hints));
}
void PeerNetwork::Send(const std::vector<raft::Message>& messages) { network_->Send(messages); }
void PeerNetwork::SetMembership(std::shared_ptr<const raft::Membership> membership) {
  network_->SetMembership(std::move(membership));
}
replica::ConnectionId PeerNetwork::SendForward(raft::NodeId to, const replica::Forward& forward) {
  return network_->SendForward(to, forward);
}
void PeerNetwork::Answer(replica::ConnectionId connection, const replica::ForwardAnswer& answer) {
  network_->Answer(connection, answer);
}
void PeerNetwork::Identify(const std::string& rpc_address, IdentifyDone done) {
  network_->Identify(rpc_address, std::move(done));
}
Stats PeerNetwork::stats() const { return network_->stats(); }

}  // namespace mokv::peer
