#include "node/gossip.h"

#include <future>
#include <utility>

#include "base/logging.h"
#include "base/status.h"
#include "node/gossip_keys.h"
#include "serf/shell/socket_address.h"

namespace mokv {
namespace {

// How often members are looked at without news.
constexpr Duration kLookInterval = std::chrono::seconds(1);
// How long an addition or removal that gossip suggested may take.
constexpr Duration kRequestMax = std::chrono::seconds(20);
// How long a goodbye may take: two messages have to get through the queue, and others need a moment
// to pass them on.
constexpr Duration kLeaveMax = std::chrono::seconds(8);
// There is one Raft group so far.
constexpr std::string_view kGroup = "0";

}  // namespace

Gossip::Gossip(const Config& config, Parts parts)
    : config_(config),
      parts_(std::move(parts)),
      pool_(1, "serf"),
      look_timer_(std::make_unique<net::Timer>(pool_.thread(0))),
      policy_({.reconciler = {.own_name = config.node_name,
                              .left_timeout = config.left_node_timeout,
                              .dead_timeout = config.dead_node_timeout},
               .has_join_addrs = !config.start_join_addrs.empty()}) {
  tags_ = {{std::string(kRoleTag), std::string(kRole)},
           {std::string(kRpcAddressTag), parts_.rpc_address},
           {std::string(kInstanceTag), parts_.instance_id},
           {std::string(kVersionTag), parts_.version},
           {std::string(kGroupTag), std::string(kGroup)}};
  for (const std::string& address : config.start_join_addrs) {
    const absl::StatusOr<net::HostPort> parsed = net::ParseHostPort(address);
    if (parsed.ok()) join_addrs_.push_back(*parsed);  // The configuration was checked.
  }
}

Gossip::~Gossip() { Stop(); }

absl::StatusOr<std::unique_ptr<Gossip>> Gossip::Create(const Config& config, Parts parts) {
  std::unique_ptr<Gossip> gossip(new Gossip(config, std::move(parts)));
  MOKV_RETURN_IF_ERROR(gossip->MakeAgent());
  return gossip;
}

absl::Status Gossip::MakeAgent() {
  serf::Agent::Options options;
  options.node_name = config_.node_name;
  MOKV_ASSIGN_OR_RETURN(const serf::Endpoint bound, serf::Resolve(config_.bind_addr));
  MOKV_ASSIGN_OR_RETURN(options.bind_address, net::ParseHostPort(serf::ToText(bound)));
  if (config_.advertise_addr != config_.bind_addr) {
    options.advertise_address = config_.advertise_addr;
  }
  {
    const MutexLock lock(mutex_);
    options.tags = tags_;
  }
  MOKV_ASSIGN_OR_RETURN(options.encryption_keys, LoadGossipKeys(config_));
  options.keyring_path = config_.serf_keyring_file;
  options.peers_path = config_.data_dir + "/serf-peers";
  options.file_executor = parts_.files;
  serf::Agent::Callbacks callbacks;
  callbacks.on_member = [this](const serf::MemberEvent& event) {
    LogInfo("gossip: member " + std::string(NameOf(event.change)),
            {{"name", event.member.name}, {"status", NameOf(event.member.status)}});
    LookSoon();
  };
  // Without a key anybody could take the name of a node that serves. So the node goes on, and only
  // logs what it heard.
  callbacks.on_name_conflict = [](const serf::NameConflictLost&) {
    LogError(
        "gossip: the majority of members says that this node's name belongs to another one; "
        "give each node a node-name of its own");
  };
  auto agent = serf::Agent::Create(pool_.thread(0), std::move(options), std::move(callbacks));
  if (!agent.ok()) {
    return absl::Status(agent.status().code(),
                        fmt::format("bind-addr: {}", MessageOf(agent.status())));
  }
  agent_ = *std::move(agent);
  return absl::OkStatus();
}

void Gossip::Start() {
  started_ = true;
  pool_.Start();
  agent_->Start();
  pool_.thread(0).Post([this] {
    if (!join_addrs_.empty()) Join([] { LogInfo("gossip: joined"); });
    LookAgain();
  });
}

void Gossip::Leave() {
  if (!started_) return;
  auto left = std::make_shared<std::promise<void>>();
  std::future<void> done = left->get_future();
  agent_->Leave([left] { left->set_value(); });
  done.wait_for(kLeaveMax);
}

void Gossip::Stop() {
  if (std::exchange(stopped_, true)) return;
  if (started_) agent_->Stop();
  pool_.Stop();
  look_timer_.reset();
}

std::vector<service::GossipMember> Gossip::View() const {
  std::vector<service::GossipMember> view;
  const auto members = agent_->members();  // Held: a loop over a temporary would not.
  for (const serf::Member& member : *members) {
    view.push_back({.name = member.name,
                    .address = serf::ToText(member.at),
                    .status = std::string(NameOf(member.status)),
                    .role = TagOf(member, kRoleTag),
                    .round_trip = member.round_trip});
  }
  return view;
}

void Gossip::SetClusterId(const std::string& cluster_id) {
  {
    const MutexLock lock(mutex_);
    tags_[std::string(kClusterTag)] = cluster_id;
  }
  UpdateTags();
}

void Gossip::UpdateTags() {
  serf::Tags tags;
  {
    const MutexLock lock(mutex_);
    tags = tags_;
  }
  if (const absl::Status set = agent_->SetTags(std::move(tags)); !set.ok()) {
    LogWarn("gossip: the tags could not be set", {{"reason", MessageOf(set)}});
  }
}

void Gossip::LookSoon() {
  {
    const MutexLock lock(mutex_);
    if (std::exchange(look_posted_, true)) return;
  }
  pool_.thread(0).Post([this] {
    {
      const MutexLock lock(mutex_);
      look_posted_ = false;
    }
    Look();
  });
}

void Gossip::LookAgain() {
  Look();
  look_timer_->Start(kLookInterval, [this] { LookAgain(); });
}

void Gossip::Look() {
  const replica::Report report = parts_.replica->report();
  GossipPolicy::Known known{.cluster = parts_.replica->View(),
                            .leads = report.role == raft::Role::kLeader && report.serving};
  for (const replica::PeerProgress& peer : report.peers) known.alive[peer.name] = peer.alive;
  GossipPolicy::Decision decision = policy_.Look(parts_.clock->Now(), *agent_->members(), known);
  if (decision.nodes_changed) parts_.on_nodes(policy_.nodes());
  for (const GossipNode& node : decision.foreign) parts_.on_foreign_node(node);
  if (decision.join) Join(nullptr);
  for (replica::AdminRequest& request : decision.requests) Request(std::move(request));
}

void Gossip::Join(Task joined) {
  policy_.OnJoining();
  agent_->Join(join_addrs_, [this, joined = std::move(joined)]() mutable {
    policy_.OnJoined();
    if (joined) joined();
  });
}

void Gossip::Request(replica::AdminRequest request) {
  const bool adds = request.kind == replica::AdminRequest::Kind::kAddMember;
  const std::string name = request.name;
  if (!adds) {
    LogWarn("a member that has been away for too long is removed", {{"name", name}});
  }
  parts_.replica->Request(
      std::move(request), parts_.clock->Now() + kRequestMax,
      [this, name, adds](const absl::Status& status, bool) {
        pool_.thread(0).Post([this, name, adds, status] { OnRequestDone(name, adds, status); });
      });
}

void Gossip::OnRequestDone(const std::string& name, bool adds, const absl::Status& status) {
  if (!policy_.OnRequestDone(parts_.clock->Now(), name, status)) return;
  LogWarn(adds ? "a node that gossips was not added" : "a member was not removed",
          {{"name", name}, {"reason", MessageOf(status)}});
}

absl::Status Gossip::SetKeys(std::vector<std::string> keys) {
  std::promise<absl::Status> set;
  agent_->SetKeys(std::move(keys),
                  [&set](absl::Status status) { set.set_value(std::move(status)); });
  return set.get_future().get();
}

}  // namespace mokv
