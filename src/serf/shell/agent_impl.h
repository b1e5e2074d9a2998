// The inside of an Agent. Everything runs on the serf thread, unless a comment says otherwise.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <asio/ip/tcp.hpp>

#include "base/mutex.h"
#include "serf/peers_file.h"
#include "serf/shell/agent.h"
#include "serf/shell/datagrams.h"
#include "serf/shell/entropy.h"
#include "serf/shell/streams.h"

namespace mokv::serf {

class Agent::Impl : public std::enable_shared_from_this<Impl> {
 public:
  Impl(net::IoThread& thread, Agent::Options options, Callbacks callbacks);

  // --- The owner's thread, before Start.
  absl::Status Open();

  // --- Any thread.
  net::IoThread& thread() { return thread_; }
  // Runs `task` on the serf thread, unless the agent is stopped before.
  void Post(absl::AnyInvocable<void(Impl&)> task);
  uint16_t port() const { return streams_port_; }
  std::shared_ptr<const std::vector<Member>> members() const;
  Stats stats() const;

  // --- The serf thread.
  void Start();
  void Join(std::vector<net::HostPort> addresses, bool remembered, absl::AnyInvocable<void()> done);
  void Leave(absl::AnyInvocable<void()> done);
  void Query(const QueryRequest& request, QueryCallbacks callbacks);
  void Stop();
  Protocol& protocol() { return *protocol_; }
  void SetTags(const Tags& tags);
  absl::Status SetKeys(const std::vector<std::string>& keys);
  MonotonicTime Now() const { return clock_.Now(); }
  // Carries out what the protocol wants, and sets the timer. To be called after each call that
  // changes the protocol.
  void Flush();

 private:
  // Addresses to be joined, until one answers.
  struct JoinTask {
    std::vector<net::HostPort> addresses;
    bool remembered = false;  // They come from the file: given up once anybody is there.
    absl::AnyInvocable<void()> done;
    std::set<Endpoint> waiting_for;
    size_t resolving = 0;
    Duration pause;
    std::unique_ptr<net::Timer> timer;
    std::string last_error;
  };
  using JoinTaskPtr = std::shared_ptr<JoinTask>;

  absl::Status OpenSockets(const Endpoint& bind);
  // The address to tell others. If it is a name, which is resolved later: a placeholder.
  absl::StatusOr<Endpoint> Advertised(const Endpoint& bound);
  void ReadRemembered(serf::Options* options);
  void WaitForAdvertised();
  void AdvertiseAt(const Endpoint& endpoint);

  void Handle(Event& event);
  void On(const MemberEvent& event);
  void On(const JoinResult& result);
  void On(const KeyringChanged& changed);
  void OpenStream(OutgoingStream stream);
  void Publish();

  void TryJoin(const JoinTaskPtr& task);
  void ResolveName(const JoinTaskPtr& task, const net::HostPort& address);
  void Contact(const JoinTaskPtr& task, const Endpoint& at);
  void EndAttempt(const JoinTaskPtr& task);
  void EndJoin(const JoinTaskPtr& task);
  bool HasCompany() const;

  void RememberSoon(Duration delay);
  void Remember();
  void WriteFile(const std::string& path, std::string text);

  net::IoThread& thread_;
  Agent::Options options_;
  Callbacks callbacks_;
  const Clock& clock_;
  SystemRandom random_;
  std::shared_ptr<Datagrams> datagrams_;
  std::shared_ptr<Streams> streams_;
  uint16_t streams_port_ = 0;
  serf::Options protocol_options_;
  std::unique_ptr<Protocol> protocol_;
  Remembered remembered_;
  uint64_t unsent_ = 0;

  // What Asio runs is destroyed on its thread, by Stop.
  std::optional<net::Timer> timer_;
  MonotonicTime timer_at_ = MonotonicTime::Max();
  std::optional<net::Timer> remember_timer_;
  std::optional<net::Timer> resolve_timer_;
  bool remember_pending_ = false;
  bool left_ = false;
  bool advertised_ = true;  // False: the name does not resolve yet, so nothing is sent or answered.
  uint64_t resolved_in_vain_ = 0;
  bool started_ = false;
  bool stopped_ = false;
  bool flushing_ = false;
  MonotonicTime next_publish_;

  std::optional<asio::ip::tcp::resolver> resolver_;
  std::set<JoinTaskPtr> join_tasks_;
  std::vector<absl::AnyInvocable<void()>> held_joins_;  // They wait until `advertised_`.
  std::vector<absl::AnyInvocable<void()>> leave_done_;
  std::map<QueryKey, QueryCallbacks> queries_;

  mutable Mutex mutex_;
  std::shared_ptr<const std::vector<Member>> published_ ABSL_GUARDED_BY(mutex_);
  Stats published_stats_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace mokv::serf
