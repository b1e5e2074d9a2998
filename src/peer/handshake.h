// The handshake: what both sides tell of themselves, and why one may be refused. Nothing here sends
// or waits: Dial and Greeter do.
//
// Threads: LocalNode is confined to the replica thread; the rest are values and plain functions.
#pragma once

#include <absl/status/status.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "peer/peer.pb.h"
#include "raft/types.h"

namespace mokv::peer {

// What this program can speak.
inline constexpr uint32_t kProtocolVersionMin = 1;
inline constexpr uint32_t kProtocolVersionMax = 2;
// Since this version a greeting says what the connection is for. An older node would take one for
// snapshots for the newest of all others.
inline constexpr uint32_t kProtocolVersionSnapshots = 2;
// The only Raft group there is.
inline constexpr uint64_t kGroup = 0;
// Names, ids, addresses and versions: far above what a configuration allows, far below what a
// hostile peer could make us remember and log.
inline constexpr size_t kTextBytesMax = 1024;
// Instances that a node says to replace: it adds one each time that it is rebuilt without having
// become a member.
inline constexpr int kReplacesMax = 64;

using Refusal = proto::HelloReply::Refusal;
std::string_view RefusalName(Refusal refusal);

// What a connection is for.
enum class Purpose {
  kMessages,   // All that is said between nodes but snapshots.
  kSnapshots,  // Who dials reads the other's snapshots.
  kIdentify,   // To ask who is there.
};

// Who this node is.
struct LocalNode {
  std::string name;
  std::string instance_id;
  std::string rpc_address;
  std::string version;
  std::string cluster_id;             // Empty until the node belongs to one.
  std::vector<std::string> replaces;  // replica::PeerIdentity.
  raft::NodeId id;                    // NodeIdOf(name, instance_id).
  // Tells this process from any other that runs, or ran, with the same identity.
  uint64_t process_id = 0;
  // Common names of certificates that may speak.
  std::vector<std::string> allowed_names;

  bool Allows(std::string_view certificate_name) const;
};

// Whom a dialer wants to meet. All empty: anybody.
struct Expected {
  raft::NodeId id;
  std::string name;
  std::string instance_id;
};

// Who the other side of an established connection is.
struct Remote {
  raft::NodeId id;
  std::string name;
  std::string instance_id;
  std::string cluster_id;
  std::string version;
  uint64_t process_id = 0;            // 0: it is too old to say.
  std::vector<std::string> replaces;  // Only of one that we have dialed.
  std::string rpc_address;  // Where it says that it is reached; only of one that has dialed us.
};

proto::Hello MakeHello(const LocalNode& local, const Expected& expected, Purpose purpose);

// What the acceptor answers. `certificate_name`: null in clear.
proto::HelloReply AnswerHello(const LocalNode& local, const proto::Hello& hello, uint64_t group,
                              const std::string* certificate_name);
proto::HelloReply Refuse(Refusal refusal, std::string text);
// The answer to a second process of an identity while the first one is connected: its vote would
// count as the other's.
proto::HelloReply RefuseDuplicate(const LocalNode& local, const proto::Hello& hello);
Remote RemoteOf(const proto::Hello& hello);
// Of one that AnswerHello has not refused.
Purpose PurposeOf(const proto::Hello& hello);
Remote RemoteOf(const proto::HelloReply& reply);

// What the dialer makes of the answer. FAILED_PRECONDITION: the dialer was refused, or met somebody
// else than it wants.
absl::Status CheckReply(const LocalNode& local, const Expected& expected, Purpose purpose,
                        const proto::HelloReply& reply);

}  // namespace mokv::peer
