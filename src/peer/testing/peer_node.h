// A node of tests: a PeerNetwork with its threads and a listener on the loopback interface, and a
// handler that writes down what it is told.
//
// Threads: for the test's thread; what it records is guarded.
#pragma once

#include <functional>
#include <future>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/mutex.h"
#include "base/testing/run_on.h"
#include "net/testing/wait.h"
#include "peer/peer_network.h"

namespace mokv::peer {

struct Told {
  struct Forwarded {
    raft::NodeId from;
    replica::ConnectionId connection;
    replica::Forward forward;
  };
  struct Answered {
    replica::ConnectionId connection;
    replica::ForwardAnswer answer;
  };
  struct Closed {
    raft::NodeId peer;
    replica::ConnectionId connection;
    bool last = false;
  };
  struct Read {
    raft::NodeId from;
    replica::ConnectionId connection;
    replica::SnapshotRead read;
  };
  struct Chunk {
    raft::NodeId from;
    replica::SnapshotChunk chunk;
  };
  std::vector<raft::Message> messages;
  std::vector<Forwarded> forwards;
  std::vector<Answered> answers;
  std::vector<std::pair<raft::NodeId, replica::StateDigest>> digests;
  std::vector<Read> reads;
  std::vector<Chunk> chunks;
  std::vector<Closed> closed;
};

class RecordingHandler final : public replica::PeersHandler {
 public:
  void OnMessage(raft::Message message) override {
    MutexLock lock(mutex_);
    told_.messages.push_back(std::move(message));
  }
  void OnForward(raft::NodeId from, replica::ConnectionId connection,
                 replica::Forward forward) override {
    MutexLock lock(mutex_);
    told_.forwards.push_back({from, connection, std::move(forward)});
  }
  void OnForwardAnswer(replica::ConnectionId connection, replica::ForwardAnswer answer) override {
    MutexLock lock(mutex_);
    told_.answers.push_back({connection, std::move(answer)});
  }
  void OnDigest(raft::NodeId from, const replica::StateDigest& digest) override {
    MutexLock lock(mutex_);
    told_.digests.push_back({from, digest});
  }
  void OnSnapshotRead(raft::NodeId from, replica::ConnectionId connection,
                      const replica::SnapshotRead& read) override {
    {
      MutexLock lock(mutex_);
      told_.reads.push_back({from, connection, read});
    }
    if (on_read_ != nullptr) on_read_(connection, read);
  }
  void OnSnapshotChunk(raft::NodeId from, replica::SnapshotChunk chunk) override {
    MutexLock lock(mutex_);
    told_.chunks.push_back({from, std::move(chunk)});
  }
  // Called for every question, on the replica thread; set there, too.
  using OnRead = std::function<void(replica::ConnectionId, const replica::SnapshotRead&)>;
  void set_on_read(OnRead on_read) { on_read_ = std::move(on_read); }
  void OnConnectionClosed(raft::NodeId peer, replica::ConnectionId connection, bool last) override {
    MutexLock lock(mutex_);
    told_.closed.push_back({peer, connection, last});
  }
  Told told() const {
    MutexLock lock(mutex_);
    return told_;
  }

 private:
  OnRead on_read_;
  mutable Mutex mutex_;
  Told told_ ABSL_GUARDED_BY(mutex_);
};

// Times short enough for tests that wait for them.
inline Options QuickOptions(const std::string& name, const std::string& instance_id = "1") {
  Options options;
  options.name = name;
  options.instance_id = instance_id;
  options.version = "test";
  options.redial_min = std::chrono::milliseconds(2);
  options.redial_refused_connection_max = std::chrono::milliseconds(10);
  options.redial_max = std::chrono::milliseconds(20);
  options.ping_interval = std::chrono::milliseconds(50);
  options.silent_intervals_max = 200;
  options.removed_grace = std::chrono::milliseconds(20);
  options.distrusted_grace = std::chrono::milliseconds(20);
  return options;
}

class PeerNode {
 public:
  // `port` 0: a free one. `server_tls` null: clear. `clock` is read on the replica thread.
  explicit PeerNode(Options options, uint16_t port = 0,
                    std::shared_ptr<const net::TlsContext> server_tls = nullptr,
                    const Clock& clock = SystemClock()) {
    auto listener =
        net::Listener::Bind(io_, {.address = {"127.0.0.1", port}, .tls = std::move(server_tls)});
    MOKV_CHECK(listener.ok());
    listener_ = std::move(*listener);
    options.rpc_address = "127.0.0.1:" + std::to_string(listener_->port());
    member_ = {.id = raft::NodeIdOf(options.name, options.instance_id),
               .name = options.name,
               .instance_id = options.instance_id,
               .rpc_address = options.rpc_address};
    network_ = PeerNetwork::Create(replica_.thread(0), clock, handler_, options);
    listener_->AddProtocol(network_->protocol());
    io_.Start();
    replica_.Start();
    listener_->Start();
  }
  ~PeerNode() {
    Do([this] { network_->Stop(); });
    listener_->Stop();
    io_.Stop();
    replica_.Stop();
  }

  const raft::Member& member() const { return member_; }
  raft::NodeId id() const { return member_.id; }
  uint16_t port() const { return listener_->port(); }
  PeerNetwork& network() { return *network_; }
  Stats stats() const { return network_->stats(); }
  Told told() const { return handler_.told(); }

  // For connections that come from now on.
  void SetListenerTls(std::shared_ptr<const net::TlsContext> tls) {
    listener_->SetTls(std::move(tls));
  }

  // Runs `task` on the replica thread and waits for it.
  void Do(Task task) { RunOn(replica_.thread(0), std::move(task)); }

  // On the replica thread: runs `task` there after `delay`, behind every timer that is due before.
  // Replaces the one that was started before.
  void StartTimer(Duration delay, Task task) { timer_.Start(delay, std::move(task)); }
  // Waits until the replica thread has run what was to run within `delay` from now.
  void WaitForTimers(Duration delay) {
    std::promise<void> done;
    Do([&] { StartTimer(delay, [&] { done.set_value(); }); });
    done.get_future().wait();
  }

  void Join(const std::string& cluster_id, const std::vector<raft::Member>& members) {
    auto membership = std::make_shared<const raft::Membership>(cluster_id, members);
    Do([&] { network_->SetMembership(membership); });
  }
  void Send(const std::vector<raft::Message>& messages) {
    Do([&] { network_->Send(messages); });
  }
  replica::ConnectionId Forward(raft::NodeId to, const replica::Forward& forward) {
    replica::ConnectionId id;
    Do([&] { id = network_->SendForward(to, forward); });
    return id;
  }
  absl::StatusOr<replica::PeerIdentity> Identify(const std::string& address) {
    std::promise<absl::StatusOr<replica::PeerIdentity>> done;
    Do([&] {
      network_->Identify(address, [&](absl::StatusOr<replica::PeerIdentity> identity) {
        done.set_value(std::move(identity));
      });
    });
    return done.get_future().get();
  }

  // False: there is no connection yet, or too much waits.
  bool Read(raft::NodeId from, const replica::SnapshotRead& read) {
    bool sent = false;
    Do([&] { sent = network_->SendSnapshotRead(from, read); });
    return sent;
  }
  // Whoever asks for parts of a snapshot gets those of this file.
  void ServeSnapshot(const std::string& file) {
    Do([&] {
      handler_.set_on_read([this, file](auto connection, const replica::SnapshotRead& read) {
        network_->AnswerSnapshotRead(connection,
                                     {.last = read.last,
                                      .offset = read.offset,
                                      .file_bytes = file.size(),
                                      .bytes = file.substr(read.offset, read.bytes_max)});
      });
    });
  }

  PeerStats StatsOf(raft::NodeId peer) const {
    for (const PeerStats& stats : network_->stats().peers) {
      if (stats.id == peer) return stats;
    }
    return {};
  }
  bool Reaches(const PeerNode& other) const { return StatsOf(other.id()).is_connected_out; }
  bool IsReachedBy(const PeerNode& other) const { return StatsOf(other.id()).is_connected_in; }

 private:
  RecordingHandler handler_;
  net::IoPool replica_{1, "replica"};
  net::Timer timer_{replica_.thread(0)};
  net::IoPool io_{2};
  std::unique_ptr<net::Listener> listener_;
  raft::Member member_;
  std::shared_ptr<PeerNetwork> network_;
};

// A message of the kind that is compared most easily.
inline raft::Message MessageTo(const PeerNode& from, const PeerNode& to, uint64_t round) {
  return {.from = from.id(),
          .to = to.id(),
          .term = Term(1),
          .body = raft::Heartbeat{.commit = Index(1), .round = raft::Round(round)}};
}

}  // namespace mokv::peer
