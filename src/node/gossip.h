// Gossip: the node's membership in Serf, and what the cluster makes of it: the node's tags, whom to
// join, the look at members once a second (reconciler.h), keys from a watched file, and the
// goodbye.
//
// Threads: has the serf thread. Create, Start, Leave, Stop and the destructor are main's;
//          everything else is thread-safe.
// Owner:   node/. Borrows replica and executor.
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
#include "node/reconciler.h"
#include "replica/replica.h"
#include "serf/shell/agent.h"
#include "service/cluster_service.h"

namespace mokv {

class Gossip {
 public:
  struct Parts {
    replica::Replica* replica;
    Executor* files;  // Reads and writes keys, writes remembered peers.
    std::string instance_id;
    std::string rpc_address;
    std::string version;
    // A node of ours that says it is of another cluster. On the serf thread.
    std::function<void(const GossipNode& node)> on_foreign_node;
    // Who gossips, and where, has changed. On the serf thread.
    std::function<void(const std::vector<GossipNode>& nodes)> on_nodes;
  };

  // Binds. Fails naming the setting that does not do.
  static absl::StatusOr<std::unique_ptr<Gossip>> Create(const Config& config, Parts parts);
  ~Gossip();

  void Start();
  // Others see this node as left; returns when the word is out, or after some seconds.
  void Leave();
  void Stop();

  // The cluster that this node belongs to is known now.
  void SetClusterId(const std::string& cluster_id);
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
  void Tell(const std::vector<GossipNode>& nodes);
  void JoinAgain(MonotonicTime now, const std::vector<GossipNode>& nodes);
  void Request(replica::AdminRequest request);
  void WatchKeyring();
  void UseKeyring(const std::string& text);

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

  // Serf thread only.
  Reconciler reconciler_;
  std::string keyring_text_;
  bool reading_keyring_ = false;
  std::map<std::string, std::string> told_;  // What was logged last of a node, by name.
  std::vector<GossipNode> nodes_;            // As `on_nodes` was told last.
  std::vector<net::HostPort> join_;          // start-join-addrs.
  bool joining_ = false;
  MonotonicTime next_join_;
};

}  // namespace mokv
