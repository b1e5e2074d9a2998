// Agent: a member of a Serf cluster: sockets, a clock and files around serf::Protocol.
//
// One UDP socket and one TCP listener on the same port. Nodes that run HashiCorp's `serf agent` are
// peers like our own.
//
// Threads: runs on one net::IoThread, the serf thread, which should have nothing else to do: a late
//          answer to a probe looks like a dead node. All methods are thread-safe: they post to that
//          thread, unless said. Callbacks come on it, and must not block.
// Owner:   node/. Start, Stop and the destructor are its thread's; once started, the agent must be
//          stopped while the serf thread still runs.
// Bounds:  Options names them; those of the protocol are in serf/options.h.
#pragma once

#include <absl/functional/any_invocable.h>
#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/executor.h"
#include "net/address.h"
#include "net/io_pool.h"
#include "serf/options.h"
#include "serf/output.h"
#include "serf/protocol.h"
#include "serf/stats.h"

namespace mokv::serf {

class Agent {
 public:
  struct Options {
    std::string node_name;
    // Host must be an address, not a name. Port 0: a free one, for UDP and TCP; see port().
    net::HostPort bind_address;
    // What others are told; empty host: the bound one. A name is resolved once; one that nobody
    // knows yet is asked for every second, and until then the agent says and answers nothing. Must
    // be set when the bound address is a wildcard.
    net::HostPort advertise_address;
    Tags tags;
    // Raw keys of 16, 24 or 32 bytes; the first encrypts. None: no encryption.
    std::vector<std::string> encryption_keys;
    // Where the keys are kept once somebody changed them (`serf keys`): a JSON list of base64
    // texts. Empty: only in memory.
    std::string keyring_path;
    // Where known peers and clocks are remembered, to rejoin after a restart. Empty: nowhere.
    std::string peers_path;
    Timing timing = Timing::Lan();
    // Streams that others may have open at the same time.
    size_t streams_max = 64;
    // Writes the files above, so that a slow disk delays no probe; null: the serf thread does.
    Executor* file_executor = nullptr;
  };

  struct Callbacks {
    absl::AnyInvocable<void(const MemberEvent&)> on_member;
    absl::AnyInvocable<void(const UserEvent&)> on_user_event;
    // Answer with Respond, once, before its deadline. Serf's own queries are answered already.
    absl::AnyInvocable<void(const IncomingQuery&)> on_query;
    // The majority says that our name belongs to another node: this process should end.
    absl::AnyInvocable<void(const NameConflictLost&)> on_name_conflict;
  };

  // Binds, and fails naming the address if it cannot; reads the remembered peers. Nothing is sent
  // or answered before Start. Not on `thread`.
  static absl::StatusOr<std::unique_ptr<Agent>> Create(net::IoThread& thread, Options options,
                                                       Callbacks callbacks);
  ~Agent();
  Agent(const Agent&) = delete;
  Agent& operator=(const Agent&) = delete;

  // Answers from now on; rejoins the remembered peers, in the background.
  void Start();

  // Joins the cluster of these nodes (host:port; names are resolved each time): all are asked, and
  // again with growing pauses until one answers, or Leave or Stop. `done`, if given, is called once
  // one did.
  void Join(std::vector<net::HostPort> addresses, absl::AnyInvocable<void()> done = nullptr);

  // Tags travel in 512 bytes altogether: INVALID_ARGUMENT for more, at once.
  absl::Status SetTags(Tags tags);

  // Says goodbye: others see this node as `left`, not `failed`. It keeps answering meanwhile;
  // `done` is called on the serf thread when the word is out, after some seconds at most. Then
  // Stop.
  void Leave(absl::AnyInvocable<void()> done);

  // Closes everything; no callback runs once this has returned. Not on the serf thread. Without a
  // Leave before, others find out by themselves that this node is gone.
  void Stop();

  // --- Seen at once, from any thread, without waiting for the serf thread.
  uint16_t port() const;
  // Keep the pointer while going through the list: a loop over `*members()` outlives its copy.
  // As of the last change; includes this node, and those that left or failed until they are reaped.
  std::shared_ptr<const std::vector<Member>> members() const;
  Stats stats() const;

  // Replaces the keys (the file was edited). Encryption as such cannot be switched on or off.
  void SetKeys(std::vector<std::string> keys, absl::AnyInvocable<void(absl::Status)> done);

  // --- The rest of what a Serf agent does. A node does not need it; tests/serf proves with it that
  // ours and HashiCorp's agents understand each other (tests/serf/serf_peer.cc).
  absl::Status SendUserEvent(std::string name, std::string payload);
  struct QueryCallbacks {
    absl::AnyInvocable<void(const std::string& from)> on_ack;
    absl::AnyInvocable<void(const std::string& from, const std::string& payload)> on_response;
    // Last, once the time is up; not OK if the query could not even be sent.
    absl::AnyInvocable<void(const absl::Status&)> on_done;
  };
  void Query(QueryRequest request, QueryCallbacks callbacks);
  void Respond(QueryKey query, std::string payload);
  // Declares a member that failed, and will not come back, to have left.
  void ForceLeave(std::string name, absl::AnyInvocable<void(absl::Status)> done);

 private:
  class Impl;
  explicit Agent(std::shared_ptr<Impl> impl);
  std::shared_ptr<Impl> impl_;
  bool started_ = false;
  bool stopped_ = false;
};

}  // namespace mokv::serf
