#include "replica/testing/cluster.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <functional>

#include "base/check.h"

namespace mokv::replica::testing {

using std::chrono::milliseconds;

class ReplicaCluster::NodePeers final : public Peers {
 public:
  NodePeers(ReplicaCluster& cluster, std::string name)
      : cluster_(cluster), name_(std::move(name)) {}

  void Send(const std::vector<raft::Message>& messages) override {
    for (const raft::Message& message : messages) {
      std::string to;
      if (cluster_.FindById(message.to, &to) == nullptr) continue;
      const ConnectionId connection = cluster_.Connect(name_, to);
      if (connection == ConnectionId()) continue;
      cluster_.network_.push_back({name_, to, connection, message});
    }
    if (cluster_.on_send_ != nullptr) cluster_.on_send_(name_, messages);
  }
  void SetMembership(std::shared_ptr<const raft::Membership>) override {}
  ConnectionId SendForward(raft::NodeId id, const Forward& forward) override {
    std::string to;
    if (cluster_.FindById(id, &to) == nullptr) return {};
    const ConnectionId connection = cluster_.Connect(name_, to);
    if (connection != ConnectionId()) {
      cluster_.network_.push_back({name_, to, connection, forward});
    }
    return connection;
  }
  void Answer(ConnectionId connection, const ForwardAnswer& answer) override {
    AnswerBy(connection, answer);
  }
  void SendDigest(raft::NodeId id, const StateDigest& digest) override {
    std::string to;
    if (cluster_.FindById(id, &to) == nullptr) return;
    const ConnectionId connection = cluster_.Connect(name_, to);
    if (connection != ConnectionId()) cluster_.network_.push_back({name_, to, connection, digest});
  }
  // Over the one connection that there is.
  bool SendSnapshotRead(raft::NodeId id, const SnapshotRead& read) override {
    std::string to;
    if (cluster_.FindById(id, &to) == nullptr) return false;
    const ConnectionId connection = cluster_.Connect(name_, to);
    if (connection != ConnectionId()) cluster_.network_.push_back({name_, to, connection, read});
    return connection != ConnectionId();
  }
  void AnswerSnapshotRead(ConnectionId connection, SnapshotChunk chunk) override {
    AnswerBy(connection, chunk);
  }
  void Identify(const std::string& rpc_address, IdentifyDone done) override {
    const std::string name = rpc_address.substr(0, rpc_address.find(':'));
    const auto place = cluster_.places_.find(name);
    if (place == cluster_.places_.end() || place->second.life == nullptr) {
      return done(absl::UnavailableError("nobody is at " + rpc_address));
    }
    done(PeerIdentity{.name = name,
                      .instance_id = place->second.instance_id,
                      .cluster_id = place->second.life->replica->cluster_id(),
                      .replaces = place->second.replaces});
  }

 private:
  template <typename What>
  void AnswerBy(ConnectionId connection, const What& what) {
    for (const auto& [link, id] : cluster_.connections_) {
      if (id != connection) continue;
      const std::string& to = link.first == name_ ? link.second : link.first;
      cluster_.network_.push_back({name_, to, connection, what});
    }
  }

  ReplicaCluster& cluster_;
  std::string name_;
};

ReplicaCluster::ReplicaCluster(ClusterOptions options) : options_(std::move(options)) {
  clock_.now = MonotonicTime{std::chrono::hours(1)};
  next_tick_ = clock_.now;
  for (size_t i = 1; i <= options_.nodes; ++i) {
    const std::string name = fmt::format("n{}", i);
    Place& place = places_[name];
    place.files = std::make_unique<CrashFileSystem>();
    place.peers = std::make_unique<NodePeers>(*this, name);
    place.instance_id = fmt::format("disk-{}", ++instances_);
    Start(name, i == 1 ? std::optional<std::string>("cluster-1") : std::nullopt);
  }
}

void ReplicaCluster::Start(const std::string& name, std::optional<std::string> new_cluster_id) {
  Place& place = places_.at(name);
  LifeOptions life = options_.life;
  life.name = name;
  life.instance_id = place.instance_id;
  life.new_cluster_id = std::move(new_cluster_id);
  life.seed = options_.life.seed * 1'000'003 + ++place.lives * 1009 +
              std::hash<std::string>()(name + place.instance_id);
  place.life = std::make_unique<NodeLife>(*place.files, clock_, *place.peers, std::move(life));
  EXPECT_TRUE(place.life->started.ok()) << name << ": " << place.life->started;
  MOKV_CHECK(place.life->started.ok());
}

ReplicaCluster::Place* ReplicaCluster::FindById(raft::NodeId id, std::string* name) {
  for (auto& [candidate, place] : places_) {
    if (place.life == nullptr || place.life->replica->id() != id) continue;
    *name = candidate;
    return &place;
  }
  return nullptr;
}

ConnectionId ReplicaCluster::Connect(const std::string& one, const std::string& other) {
  if (!IsUp(one) || !IsUp(other)) return {};
  ConnectionId& connection = connections_[LinkOf(one, other)];
  if (connection == ConnectionId()) connection = ConnectionId(++last_connection_);
  return connection;
}

bool ReplicaCluster::DeliverOne() {
  if (network_.empty()) return false;
  Delivery delivery = std::move(network_.front());
  network_.pop_front();
  if (held_.contains(LinkOf(delivery.from, delivery.to))) {
    on_the_way_.push_back(std::move(delivery));
  } else {
    Deliver(std::move(delivery));
  }
  return true;
}

bool ReplicaCluster::DeliverAny(uint64_t choice, const std::set<std::string>& deaf) {
  std::set<std::pair<ConnectionId, std::string>> seen;
  std::vector<size_t> oldest;
  for (size_t i = 0; i < network_.size(); ++i) {
    const Delivery& delivery = network_[i];
    if (deaf.contains(delivery.to) || held_.contains(LinkOf(delivery.from, delivery.to))) continue;
    if (seen.insert({delivery.connection, delivery.to}).second) oldest.push_back(i);
  }
  if (oldest.empty()) return false;
  const auto at = network_.begin() + static_cast<ptrdiff_t>(oldest[choice % oldest.size()]);
  Delivery delivery = std::move(*at);
  network_.erase(at);
  Deliver(std::move(delivery));
  return true;
}

bool ReplicaCluster::IsOpen(const Delivery& delivery) const {
  const auto connection = connections_.find(LinkOf(delivery.from, delivery.to));
  return connection != connections_.end() && connection->second == delivery.connection;
}

void ReplicaCluster::Deliver(Delivery delivery) {
  if (!IsOpen(delivery) || !IsUp(delivery.to)) return;
  Replica& to = replica(delivery.to);
  if (cut_.contains({delivery.from, delivery.to})) return;
  if (auto* message = std::get_if<raft::Message>(&delivery.what)) {
    to.OnMessage(std::move(*message));
    return;
  }
  const raft::NodeId from = IsUp(delivery.from) ? replica(delivery.from).id() : raft::NodeId();
  if (auto* forward = std::get_if<Forward>(&delivery.what)) {
    to.OnForward(from, delivery.connection, std::move(*forward));
  } else if (const auto* digest = std::get_if<StateDigest>(&delivery.what)) {
    to.OnDigest(from, *digest);
  } else if (const auto* read = std::get_if<SnapshotRead>(&delivery.what)) {
    to.OnSnapshotRead(from, delivery.connection, *read);
  } else if (auto* chunk = std::get_if<SnapshotChunk>(&delivery.what)) {
    to.OnSnapshotChunk(from, std::move(*chunk));
  } else {
    to.OnForwardAnswer(delivery.connection, std::get<ForwardAnswer>(std::move(delivery.what)));
  }
}

std::vector<std::string> ReplicaCluster::names() const {
  std::vector<std::string> names;
  for (const auto& [name, place] : places_) names.push_back(name);
  return names;
}

void ReplicaCluster::Settle() {
  // Bounded: a cluster that never comes to rest is a failure of its own.
  for (int i = 0; i < 1'000'000; ++i) {
    bool busy = false;
    for (auto& [name, place] : places_) busy |= place.life != nullptr && place.life->RunOne();
    busy |= DeliverOne();
    if (!busy) return;
  }
  ADD_FAILURE() << "the cluster does not come to rest";
}

void ReplicaCluster::Run(Duration duration) {
  const MonotonicTime end = clock_.now + duration;
  while (clock_.now < end) {
    Advance(milliseconds(5));
    const bool tick = clock_.now >= next_tick_;
    if (tick) next_tick_ = clock_.now + options_.tick;
    for (auto& [name, place] : places_) {
      if (place.life == nullptr) continue;
      place.life->RingAlarm();
      if (tick) place.life->replica->Tick();
    }
    Settle();
  }
}

void ReplicaCluster::RunUntil(const std::function<bool()>& condition, const char* what) {
  Settle();
  for (int i = 0; i < 6000 && !condition(); ++i) Run(milliseconds(5));
  ASSERT_TRUE(condition()) << what;
}

void ReplicaCluster::Form() {
  RunUntil([&] { return Leader() == "n1"; }, "the first node leads");
  for (const auto& [name, place] : places_) {
    if (name == "n1") continue;
    const StatusOutcome added = life("n1").Request(
        {.kind = AdminRequest::Kind::kAddMember, .name = name, .rpc_address = name + ":8400"},
        std::chrono::seconds(20));
    RunUntil([&] { return added->has_value(); }, "the member is added");
    ASSERT_TRUE((*added)->ok()) << **added;
  }
  RunUntil(
      [&] {
        for (const auto& [name, place] : places_) {
          const ClusterView view = replica(name).View();
          if (view.members.size() != places_.size()) return false;
          for (const ClusterMember& member : view.members) {
            if (!member.is_voter) return false;
          }
        }
        return true;
      },
      "everybody votes and knows it");
}

std::string ReplicaCluster::Leader() {
  for (const auto& [name, place] : places_) {
    if (place.life == nullptr) continue;
    const Report report = place.life->replica->report();
    if (report.role == raft::Role::kLeader && report.serving) return name;
  }
  return {};
}

std::string ReplicaCluster::Follower() {
  const std::string leader = Leader();
  for (const auto& [name, place] : places_) {
    if (place.life != nullptr && name != leader) return name;
  }
  return {};
}

void ReplicaCluster::Kill(const std::string& name) {
  Place& place = places_.at(name);
  place.life->replica_thread.DropAll();
  place.life->log_thread.DropAll();
  place.life->background.DropAll();
  place.life->log.reset();
  place.life.reset();
  place.files->Restart();
  const auto was_for_it = [&](const Delivery& delivery) { return delivery.to == name; };
  std::erase_if(network_, was_for_it);
  std::erase_if(on_the_way_, was_for_it);
  for (const auto& [other, unused] : places_) {
    if (other != name) Break(name, other);
  }
}

void ReplicaCluster::Restart(const std::string& name) { Start(name, std::nullopt); }

void ReplicaCluster::Wipe(const std::string& name) {
  Kill(name);
  Place& place = places_.at(name);
  place.files = std::make_unique<CrashFileSystem>();
  place.instance_id = fmt::format("disk-{}", ++instances_);
  Restart(name);
}

void ReplicaCluster::Rebuild(const std::string& name, std::string replaces) {
  Place& place = places_.at(name);
  place.replaces = {replaces.empty() ? place.instance_id : std::move(replaces)};
  Wipe(name);
}

void ReplicaCluster::Cut(const std::string& one, const std::string& other) {
  CutOneWay(one, other);
  CutOneWay(other, one);
}

void ReplicaCluster::Hold(const std::string& one, const std::string& other) {
  held_.insert(LinkOf(one, other));
}

void ReplicaCluster::Release() {
  held_.clear();
  for (; !on_the_way_.empty(); on_the_way_.pop_back()) {
    network_.push_front(std::move(on_the_way_.back()));
  }
}

void ReplicaCluster::Isolate(const std::string& name) {
  for (const auto& [other, place] : places_) {
    if (other != name) Cut(name, other);
  }
}

void ReplicaCluster::Break(const std::string& one, const std::string& other) {
  const auto found = connections_.find(LinkOf(one, other));
  if (found == connections_.end()) return;
  const ConnectionId connection = found->second;
  connections_.erase(found);
  const auto tell = [&](const std::string& whom, const std::string& of) {
    if (!IsUp(whom)) return;
    const raft::NodeId id = raft::NodeIdOf(of, places_.at(of).instance_id);
    replica(whom).OnConnectionClosed(id, connection, true);
  };
  tell(one, other);
  tell(other, one);
}

}  // namespace mokv::replica::testing
