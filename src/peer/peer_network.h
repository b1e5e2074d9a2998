// PeerNetwork: the connections between this node and the others.
//
// One connection is kept dialed to every member of the configuration; others may dial us. What is
// sent to a node leaves by the connection that we dialed, or, if there is none, by the newest that
// it did. docs/peer-protocol.md says what travels on them.
//
// Owner:   the node. The handler must stay for as long as it does.
// Threads: confined to `thread`, the replica thread, but for what says otherwise. It is made before
//          that thread starts, or on it, and destroyed on it after Stop, or once it has ended.
// Bounds:  Options names them.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "net/io_pool.h"
#include "net/listener.h"
#include "peer/options.h"
#include "peer/stats.h"
#include "replica/peers.h"

namespace mokv::peer {

class Network;

class PeerNetwork final : public replica::Peers {
 public:
  PeerNetwork(net::IoThread& thread, const Clock& clock, replica::PeersHandler& handler,
              Options options);
  ~PeerNetwork() override;

  // For the listener, on whose threads connections arrive; they are moved to this one's. Neither
  // may be used once the pool of `thread` has been destroyed. Thread-safe.
  net::Protocol protocol();

  // Says goodbye to all: `done` is called once each has answered, after which nothing more is
  // forwarded here, and all that was sent to it before has arrived; or has hung up. Who does not
  // answer is for the caller to time; one farewell at a time.
  void Farewell(Task done);
  // Closes everything and tells nothing more: neither the handler nor who has asked Identify.
  void Stop();

  // Where members may be reached beside the address that the configuration has: as gossip tells it.
  // A hint is not believed, only tried: who answers proves who it is. Bounded by what gossip keeps.
  void SetAddressHints(std::map<raft::NodeId, std::string> hints);

  void Send(const std::vector<raft::Message>& messages) override;
  void SetMembership(std::shared_ptr<const raft::Membership> membership) override;
  replica::ConnectionId SendForward(raft::NodeId to, const replica::Forward& forward) override;
  void Answer(replica::ConnectionId connection, const replica::ForwardAnswer& answer) override;
  // INVALID_ARGUMENT when `rpc_address` is none, RESOURCE_EXHAUSTED when too many ask already.
  void Identify(const std::string& rpc_address, IdentifyDone done) override;

  // Thread-safe.
  Stats stats() const;

 private:
  const std::shared_ptr<Network> network_;
};

}  // namespace mokv::peer
