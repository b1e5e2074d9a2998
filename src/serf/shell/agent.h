// Agent: a member of a Serf cluster: sockets, a clock and files around serf::Protocol.
//
// One UDP socket and one TCP listener on the same port. Nodes that run HashiCorp's `serf agent` are
// peers like our own.
//
// Threads: runs on one net::IoThread, the serf thread, which should have nothing else to do: a late
//          answer to a probe looks like a dead node. Methods are thread-safe, unless a comment says
//          otherwise: they post to that thread. Callbacks come on it, and must not block.
// Owner:   node/ creates, starts, stops and deletes it on one thread of its own. A started agent
//          must be stopped while the serf thread still runs.
// Bounds:  Options::streams_max; those of the protocol are in serf/options.h.
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
    // The host must be an address, not a name. Port 0: one that is free for UDP and TCP (port()).
    net::HostPort bind_address;
    // The address that others are told. Without a host: the bound one, which must not be a wildcard
    // then. A name is resolved once. If nobody knows it yet, the agent asks again every second, and
    // sends and answers nothing until it is known.
    net::HostPort advertise_address;
    Tags tags;
    // Raw keys of 16, 24 or 32 bytes; the first encrypts. None: no encryption.
    std::vector<std::string> encryption_keys;
    // The file that gets the keys when somebody changes them with `serf keys`: a JSON list of
    // base64 texts. Empty: changed keys stay in memory.
    std::string keyring_path;
    // The file that remembers peers and clocks, to rejoin after a restart. Empty: there is none.
    std::string peers_path;
    Timing timing = Timing::Lan();
    // Streams that others may have open at the same time.
    size_t streams_max = 64;
    // Where the files above are written, so that a slow disk delays no probe. Null: on the serf
    // thread.
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

  // Binds, and reads the remembered peers. An error names the address that cannot be bound. The
  // agent sends and answers nothing before Start. Not to be called on `thread`.
  static absl::StatusOr<std::unique_ptr<Agent>> Create(net::IoThread& thread, Options options,
                                                       Callbacks callbacks);
  ~Agent();
  Agent(const Agent&) = delete;
  Agent& operator=(const Agent&) = delete;

  // The agent answers from now on, and rejoins the peers that it remembers.
  void Start();

  // Joins the cluster of the nodes at these addresses. All are asked, again and again with growing
  // pauses, until one answers, or Leave or Stop; names are resolved each time. `done`, if given, is
  // called when one has answered.
  void Join(std::vector<net::HostPort> addresses, absl::AnyInvocable<void()> done = nullptr);

  // All tags together travel in 512 bytes. INVALID_ARGUMENT: they need more.
  absl::Status SetTags(Tags tags);

  // Says goodbye, so that others see this node as `left`, not as `failed`. The agent goes on
  // answering. After a few seconds at most, when the message is out, `done` is called on the serf
  // thread; the owner should call Stop then.
  void Leave(absl::AnyInvocable<void()> done);

  // Closes everything; no callback runs once this has returned. Not for the serf thread itself.
  // Without a Leave before, others find out by themselves that this node is gone.
  void Stop();

  // --- Copies for any thread, without a wait for the serf thread.
  uint16_t port() const;
  // All members as of the last change: this node too, and those that left or failed, until they are
  // forgotten. Hold the pointer while you use the list; a loop over `*members()` does not.
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
    // Called last, when the time is up. An error: the query could not even be sent.
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
