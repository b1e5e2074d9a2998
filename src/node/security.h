// Security: who may talk to this node, what they may do, and who has done what: its TLS contexts,
// access rules and audit log, put together from the configuration and kept as new as their files.
//
// Threads: has two of its own, for files and for the audit log. Create, Begin…, End… and the
//          destructor are main's. LookAtFiles and the views of state are thread-safe; tls and
//          peer_tls are for the time before BeginReloading.
// Owner:   node/. Outlives all that it is given to.
#pragma once

#include <absl/status/statusor.h>

#include <atomic>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "auth/access.h"
#include "base/clock.h"
#include "net/io_pool.h"
#include "net/listener.h"
#include "net/worker.h"
#include "node/authorizer_setup.h"
#include "node/config.h"
#include "node/gossip.h"
#include "node/reloading.h"
#include "node/tls_setup.h"
#include "peer/peer_network.h"
#include "rpc/server.h"
#include "service/forward_check.h"
#include "service/permission.h"
#include "telemetry/audit_log.h"

namespace mokv {

class Security {
 public:
  // Reads certificates and rules. Errors name the setting or the file that is wrong.
  static absl::StatusOr<std::unique_ptr<Security>> Create(const Config& config, const Clock& clock);
  ~Security();
  Security(const Security&) = delete;
  Security& operator=(const Security&) = delete;

  // Once the data-dir is this node's: the log may stand in it. Before what follows.
  absl::Status OpenAudit();

  // As of the start.
  const TlsSetup& tls() const { return tls_; }
  peer::PeerTls peer_tls() const;
  const service::Permission& permission() const { return *permission_; }
  replica::ForwardGuard& forward_guard() { return *forward_check_; }
  // Null if there is none.
  telemetry::AuditLog* audit() const { return audit_.get(); }

  // What is told of other certificates and keys.
  struct Users {
    net::Listener* listener;
    rpc::Server* server;
    std::weak_ptr<peer::PeerNetwork> peers;  // It ends before its thread does.
    net::IoThread* replica_thread;           // The peers'.
    Gossip* gossip;
  };
  void BeginReloading(Users users);
  // Waits for a reload that is under way. False if it does not end: its files hang. Before the
  // users' threads end.
  bool EndReloading(Duration wait_max);
  // Sees to it that files are looked at, unless that is under way; with `asked` they are read, and
  // the audit log is opened anew.
  void LookAtFiles(bool asked);
  // Writes what waits. What is recorded after it is dropped.
  void EndAudit();

  std::map<std::string, Reloading::Counts> reloads() const { return reloading_.counts(); }

 private:
  Security(const Config& config, const Clock& clock) : config_(config), reloading_(clock) {}

  absl::Status Load();
  absl::Status ReloadTls();
  absl::Status ReloadRules();
  absl::Status ReloadKeys();
  // What has become so since the last call.
  void TellWarnings();

  const Config config_;
  Reloading reloading_;
  TlsSetup tls_;                  // In use. Of the files' thread, once there is one.
  std::set<std::string> warned_;  // The same.
  AccessTexts access_texts_;      // Of the rules in force. The same.
  std::unique_ptr<auth::Access> access_;
  std::unique_ptr<telemetry::AuditLog> audit_;
  std::unique_ptr<service::Permission> permission_;
  std::unique_ptr<service::ForwardCheck> forward_check_;
  std::unique_ptr<net::Worker> audit_thread_;
  Users users_ = {};
  std::atomic<bool> look_posted_{false};
  std::atomic<bool> asked_look_posted_{false};
  std::atomic<bool> ending_{false};
  // May wait for a disk or a network that holds the files: so nobody else's work is done there.
  std::unique_ptr<net::Worker> files_thread_;
};

}  // namespace mokv
