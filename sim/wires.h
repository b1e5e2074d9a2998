// Wires: the connections between replicas. As with TCP, what one end sends arrives in order and
// once, or the connection is no more: a packet that the network loses breaks it. The two ends hear
// of that at different times; until then one of them may go on with what the other has given up.
// Either may make a new connection meanwhile.
//
// Threads: confined to the run's. Owner: the run; nodes borrow it.
#pragma once

#include <array>
#include <map>
#include <vector>

#include "sim/node.h"

namespace mokv::sim {

class Wires {
 public:
  using ConnectionId = replica::ConnectionId;

  // The connection that `from` has with `to`, or a new one; 0 if there can be none.
  ConnectionId Connect(const Host& host, Place from, Place to, raft::NodeId from_id,
                       raft::NodeId to_id);
  // Gives `packet` its place among all that `from` sends by it.
  void Number(Place from, ConnectionId connection, Packet& packet);
  // What `to` can take, in order, now that `packet` is there.
  std::vector<Packet> Take(Place to, const Packet& packet);

  bool IsOpen(Place end, ConnectionId connection) const;
  // `end` gives it up; false if it has before. What has come early is lost.
  bool Close(Place end, ConnectionId connection);
  void CloseAll(Place end);
  // Of those that are open at `end`.
  std::vector<ConnectionId> With(Place end, raft::NodeId peer) const;
  // Of a connection that is open at one of its ends.
  Place OtherEnd(Place end, ConnectionId connection) const;
  raft::NodeId PeerOf(Place end, ConnectionId connection) const;

  uint64_t made() const { return last_.value(); }

 private:
  struct End {
    Place place = kPlacesMax;
    raft::NodeId id;
    bool open = true;
    uint64_t sent = 0;
    uint64_t taken = 0;
    std::map<uint64_t, Packet> early;
  };
  using Connection = std::array<End, 2>;

  const End* Find(Place end, ConnectionId connection) const;
  End* Find(Place end, ConnectionId connection);
  static size_t Which(const Connection& connection, Place end) {
    return connection[0].place == end ? 0 : 1;
  }

  std::map<ConnectionId, Connection> connections_;
  // The newest that `from` has with `to`.
  std::array<std::array<ConnectionId, kPlacesMax>, kPlacesMax> newest_{};
  ConnectionId last_;
};

}  // namespace mokv::sim
