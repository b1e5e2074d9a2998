// What the connections between nodes are told at their start, and their bounds. A plain value.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "net/tls.h"

namespace mokv::peer {

// Whom the connections believe, and as whom this node comes. In clear text both contexts are null.
struct PeerTls {
  // For connections that this node makes. It must offer kAlpn.
  std::shared_ptr<const net::TlsContext> outgoing;
  // For those that others have made: the listener's, which has verified them when they came. Null: they
  // are not verified again.
  std::shared_ptr<const net::TlsContext> incoming;
  // Common names that certificates of nodes that connect here may have. Not looked at in clear.
  std::vector<std::string> allowed_names;
};

struct Options {
  // Who this node is. The address is where others reach it.
  std::string name;
  std::string instance_id;
  std::string rpc_address;
  std::string version;
  // Of its data directory, also while there is no log in it; empty: it belongs to none yet.
  std::string cluster_id;
  // replica::PeerIdentity; until the node is a member. Ids of 32 bytes, at most kReplacesMax.
  std::vector<std::string> replaces;
  // Tells this process from others of the same identity; 0: one is drawn.
  uint64_t process_id = 0;
  PeerTls tls;  // At the beginning: PeerNetwork::SetTls.

  // To resolve, connect and agree on TLS and versions. An attempt costs this much if there is no
  // machine at the address.
  Duration handshake_timeout = std::chrono::seconds(3);
  // The first wait after a failed attempt or a broken connection: a peer that restarts is reached
  // again within a fraction of an election. Doubles, half of it at random, up to a maximum: low
  // when nobody listened, which costs next to nothing; higher when somebody did and refused, or
  // when nothing was heard at all.
  Duration redial_min = std::chrono::milliseconds(50);
  Duration redial_refused_connection_max = std::chrono::milliseconds(250);
  Duration redial_max = std::chrono::seconds(1);
  // After a connection that lasted so long the waits begin anew.
  Duration redial_reset_after = std::chrono::seconds(1);

  // How often a ping is sent. It measures the round trip and shows that the other side lives.
  Duration ping_interval = std::chrono::seconds(1);
  // A connection is closed after so many intervals in which no byte came, and none of those that
  // wait could be sent. A process that dies closes its connections at once; this is for machines
  // and networks that die without a word.
  int silent_intervals_max = 5;
  // A process that is refused for so long, because another process of its identity is connected, is
  // the second one. Longer than a connection of a process that died without a word can last.
  Duration duplicate_final_after = std::chrono::seconds(8);
  // Called then, once, on the replica thread, with what to tell people; the process must end. May
  // be null.
  std::function<void(const std::string& reason)> on_duplicate;
  // How long the connection to a removed member stays, so that the last messages leave.
  Duration removed_grace = std::chrono::seconds(2);
  // When a node is told to believe other certificates, connections whose certificates it no longer
  // believes end. Those that it made itself end at once. Those that others made to it end as soon as it
  // has made its own again, or after this time at the latest: a follower that loses both at once takes
  // its leader for dead.
  Duration distrusted_grace = std::chrono::seconds(1);

  // Unsent bytes of a connection beyond which nothing is added: one value of the largest size. The
  // replica sends no more than a quarter of it ahead of acknowledgements (inflight_bytes_max), so a
  // peer that reads at all does not come near.
  size_t waiting_bytes_max = size_t{64} << 20;
  // On top of it, for what is small and must get through: heartbeats, votes, answers.
  size_t waiting_bytes_reserve = size_t{1} << 20;
  // A connection for snapshots over which nothing has been asked for so long ends. Far longer than
  // a follower waits between two questions, whatever it does with the answer.
  Duration snapshot_idle = std::chrono::seconds(10);
  // Unsent bytes of such a connection beyond which nothing is answered: a few chunks, as many as
  // are on the way in a network that is fast and far. Who has asked asks again.
  size_t snapshot_waiting_bytes_max = size_t{4} << 20;
  // Such connections that others have made, one of each node: nearly all of a cluster may need what
  // its leader has, and each may have the above waiting.
  size_t snapshot_incoming_max = 16;

  // Established connections that others have made, and those that have not introduced themselves
  // yet: far more than a cluster has nodes, far fewer than a process has descriptors.
  size_t incoming_max = 128;
  size_t greeting_max = 128;
  // Identify calls under way.
  size_t identify_max = 64;
};

}  // namespace mokv::peer
