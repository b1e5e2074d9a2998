// Gossip: the node's membership in Serf. It runs the agent with the node's tags and keys, looks at
// the members once a second and after every change, and carries out what GossipPolicy decides about
// them. It says goodbye before the node stops.
//
// Threads: has the serf thread. Create, Start, Leave, Stop and the destructor are main's;
//          everything else is thread-safe.
// Owner:   node/. Borrows replica, executor and clock.
#pragma once

#include <absl/status/statusor.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/executor.h"
#include "base/mutex.h"
#include "net/io_pool.h"
#include "node/config.h"
#include "node/gossip_policy.h"
#include "replica/replica.h"
#include "serf/shell/agent.h"
#include "service/gossip_member.h"

namespace mokv {

class Gossip {
 public:
  struct Parts {
    replica::Replica* replica;
    Executor* files;  // Writes keys and remembered peers.
    const Clock* clock;
    std::string instance_id;
    std::string rpc_address;
    std::string version;
    // One of our nodes says that it belongs to another cluster. Called on the serf thread.
    std::function<void(const GossipNode& node)> on_foreign_node;
    // Who gossips, and where, has changed. Called on the serf thread.
    std::function<void(const std::vector<GossipNode>& nodes)> on_nodes;
  };

  // Binds. An error names the setting that is wrong.
  static absl::StatusOr<std::unique_ptr<Gossip>> Create(const Config& config, Parts parts);
  ~Gossip();

  void Start();
  // Tells the others that this node leaves. Returns when the word is out, or after some seconds.
  void Leave();
  void Stop();

  // This node belongs to this cluster now.
  void SetClusterId(const std::string& cluster_id);
  // Encrypts with these from now on; the first encrypts. Waits for the serf thread, which must run.
  absl::Status SetKeys(std::vector<std::string> keys);
  // Something may have changed that the leader acts upon.
  void LookSoon();

  uint16_t port() const { return agent_->port(); }
  // For operators.
  std::vector<service::GossipMember> View() const;
  serf::Stats stats() const { return agent_->stats(); }

 private:
  Gossip(const Config& config, Parts parts);

  absl::Status MakeAgent();
  void UpdateTags();
  void LookAgain();
  void Look();
  void Join(Task joined);
  void Request(replica::AdminRequest request);
  void OnRequestDone(const std::string& name, bool adds, const absl::Status& status);

  const Config config_;
  const Parts parts_;
  net::IoPool pool_;  // One thread.
  std::unique_ptr<net::Timer> look_timer_;
  std::unique_ptr<serf::Agent> agent_;
  bool started_ = false;
  bool stopped_ = false;

  mutable Mutex mutex_;
  serf::Tags tags_ ABSL_GUARDED_BY(mutex_);
  bool look_posted_ ABSL_GUARDED_BY(mutex_) = false;

  std::vector<net::HostPort> join_addrs_;  // Set by the constructor.

  // Serf thread only.
  GossipPolicy policy_;
};

}  // namespace mokv
