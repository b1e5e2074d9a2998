#include "node/gossip.h"

#include <algorithm>
#include <future>
#include <utility>

#include "base/file.h"
#include "base/logging.h"
#include "base/status.h"
#include "node/gossip_keys.h"
#include "serf/keyring_file.h"
#include "serf/shell/socket_address.h"

namespace mokv {
namespace {

// How often the members are looked at, whatever has been told of them, and the keyring file.
constexpr Duration kLookInterval = std::chrono::seconds(1);
// While a member is away, start-join-addrs are asked this often: one exchange with one node.
constexpr Duration kJoinAgainInterval = std::chrono::seconds(5);
// How long an addition or removal that gossip suggested may take.
constexpr Duration kRequestMax = std::chrono::seconds(20);
// A goodbye: two messages that have to get through the queue, and a while to be passed on.
constexpr Duration kLeaveMax = std::chrono::seconds(8);
// The only group that there is; several are to come.
constexpr std::string_view kGroup = "0";

std::string TagOf(const serf::Member& member, std::string_view name) {
  const auto found = member.tags.find(std::string(name));
  return found == member.tags.end() ? std::string() : found->second;
}

// Members of other programs, plain agents among them, are nobody's business here.
std::vector<GossipNode> OurNodes(const std::vector<serf::Member>& members) {
  std::vector<GossipNode> nodes;
  for (const serf::Member& member : members) {
    if (TagOf(member, kRoleTag) != kRole) continue;
    GossipNode::State state = GossipNode::State::kAlive;
    if (member.status == serf::MemberStatus::kFailed) state = GossipNode::State::kFailed;
    if (member.status == serf::MemberStatus::kLeft) state = GossipNode::State::kLeft;
    // One that is leaving is still there.
    nodes.push_back({.name = member.name,
                     .state = state,
                     .rpc_address = TagOf(member, kRpcAddressTag),
                     .cluster_id = TagOf(member, kClusterTag),
                     .instance_id = TagOf(member, kInstanceTag)});
  }
  return nodes;
}

}  // namespace

Gossip::Gossip(const Config& config, Parts parts)
    : config_(config),
      parts_(std::move(parts)),
      pool_(1, "serf"),
      look_timer_(std::make_unique<net::Timer>(pool_.thread(0))),
      reconciler_({.own_name = config.node_name,
                   .left_timeout = config.left_node_timeout,
                   .dead_timeout = config.dead_node_timeout}) {
  tags_ = {{std::string(kRoleTag), std::string(kRole)},
           {std::string(kRpcAddressTag), parts_.rpc_address},
           {std::string(kInstanceTag), parts_.instance_id},
           {std::string(kVersionTag), parts_.version},
           {std::string(kGroupTag), std::string(kGroup)}};
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
  MOKV_ASSIGN_OR_RETURN(GossipKeys keys, LoadGossipKeys(config_));
  options.encryption_keys = std::move(keys.keys);
  if (!config_.serf_keyring_file.empty()) {
    keyring_text_ = std::move(keys.file_text);
    options.keyring_path = config_.serf_keyring_file;
  }
  options.peers_path = config_.data_dir + "/serf-peers";
  options.file_executor = parts_.files;
  serf::Agent::Callbacks callbacks;
  callbacks.on_member = [this](const serf::MemberEvent& event) {
    LogInfo("gossip: member " + std::string(NameOf(event.change)),
            {{"name", event.member.name}, {"status", NameOf(event.member.status)}});
    LookSoon();
  };
  // Without a key anybody could take the name of a node that serves: so this one goes on in Raft,
  // and only says what it heard.
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
  for (const std::string& address : config_.start_join_addrs) {
    const absl::StatusOr<net::HostPort> parsed = net::ParseHostPort(address);
    if (parsed.ok()) join_.push_back(*parsed);  // The configuration was checked.
  }
  if (!join_.empty()) {
    joining_ = true;
    agent_->Join(join_, [this] {
      LogInfo("gossip: joined");
      joining_ = false;
    });
  }
  pool_.thread(0).Post([this] { LookAgain(); });
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
  WatchKeyring();
  Look();
  look_timer_->Start(kLookInterval, [this] { LookAgain(); });
}

void Gossip::Look() {
  const std::vector<GossipNode> nodes = OurNodes(*agent_->members());
  if (nodes != nodes_) {
    nodes_ = nodes;
    parts_.on_nodes(nodes_);
  }
  Tell(nodes);
  JoinAgain(SystemClock().Now(), nodes);
  // Names come from gossip; who is gone from there need not be remembered.
  std::erase_if(told_, [&](const auto& told) {
    return std::none_of(nodes.begin(), nodes.end(),
                        [&](const GossipNode& node) { return node.name == told.first; });
  });
  const replica::Report status = parts_.replica->report();
  const bool leads = status.role == raft::Role::kLeader && status.serving;
  std::map<std::string, bool> alive;
  for (const replica::PeerProgress& peer : status.peers) alive[peer.name] = peer.alive;
  for (replica::AdminRequest& request :
       reconciler_.Look(SystemClock().Now(), leads, parts_.replica->View(), nodes, alive)) {
    Request(std::move(request));
  }
}

// Members that failed may have come back where nobody here knows them, and know as little where
// this node is: but both know start-join-addrs, whose names are resolved anew.
void Gossip::JoinAgain(MonotonicTime now, const std::vector<GossipNode>& nodes) {
  if (joining_ || join_.empty() || now < next_join_) return;
  next_join_ = now + kJoinAgainInterval;
  const auto is_alive = [&](const replica::ClusterMember& member) {
    return std::any_of(nodes.begin(), nodes.end(), [&](const GossipNode& node) {
      return node.name == member.name && node.state == GossipNode::State::kAlive;
    });
  };
  const replica::ClusterView view = parts_.replica->View();
  if (std::all_of(view.members.begin(), view.members.end(), is_alive)) return;
  joining_ = true;
  agent_->Join(join_, [this] { joining_ = false; });
}

// Nodes of another cluster share the gossip, and nothing else.
void Gossip::Tell(const std::vector<GossipNode>& nodes) {
  const std::string own = parts_.replica->cluster_id();
  if (own.empty()) return;
  for (const GossipNode& node : nodes) {
    const bool foreign = node.state == GossipNode::State::kAlive && !node.cluster_id.empty() &&
                         node.cluster_id != own;
    if (foreign) parts_.on_foreign_node(node);
  }
}

void Gossip::Request(replica::AdminRequest request) {
  const bool adds = request.kind == replica::AdminRequest::Kind::kAddMember;
  const std::string name = request.name;
  if (!adds) {
    LogWarn("a member that has been away for too long is removed", {{"name", name}});
  }
  parts_.replica->Request(
      std::move(request), SystemClock().Now() + kRequestMax,
      [this, name, adds](const absl::Status& status, bool) {
        pool_.thread(0).Post([this, name, adds, status] {
          reconciler_.OnDone(SystemClock().Now(), name, status.ok());
          const std::string outcome(status.ok() ? "" : MessageOf(status));
          // The same refusal again and again is news once.
          if (!status.ok() && told_[name] != outcome) {
            LogWarn(adds ? "a node that gossips was not added" : "a member was not removed",
                    {{"name", name}, {"reason", outcome}});
          }
          told_[name] = outcome;
          if (outcome.empty()) told_.erase(name);
        });
      });
}

// Whoever edits the file need not restart the node. What others have changed by `serf keys` is
// written to it by the agent.
void Gossip::WatchKeyring() {
  if (config_.serf_keyring_file.empty()) return;
  // A disk that hangs must not make this thread late: others would take the node for dead.
  if (std::exchange(reading_keyring_, true)) return;
  parts_.files->Post([this] {
    auto text = PosixFileSystem().ReadFile(config_.serf_keyring_file);
    pool_.thread(0).Post([this, text = std::move(text)] {
      reading_keyring_ = false;
      if (text.ok()) UseKeyring(*text);
    });
  });
}

void Gossip::UseKeyring(const std::string& text) {
  if (text == keyring_text_) return;
  keyring_text_ = text;
  absl::StatusOr<std::vector<std::string>> keys = serf::ParseKeyringFile(text);
  if (!keys.ok()) {
    LogError("serf-keyring-file was changed, but cannot be used; the old keys stay",
             {{"file", config_.serf_keyring_file}, {"reason", MessageOf(keys.status())}});
    return;
  }
  agent_->SetKeys(*std::move(keys), [](const absl::Status& status) {
    if (status.ok()) {
      LogInfo("gossip: the keys of serf-keyring-file are used now");
    } else {
      LogError("gossip: the keys of serf-keyring-file cannot be used",
               {{"reason", MessageOf(status)}});
    }
  });
}

}  // namespace mokv
