#include "node/node.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <future>
#include <optional>

#include "base/check.h"
#include "base/logging.h"
#include "base/random.h"
#include "base/status.h"
#include "machine/machine.h"
#include "net/listener.h"
#include "net/worker.h"
#include "node/beginning.h"
#include "node/conditions.h"
#include "node/data_directory.h"
#include "node/farewell.h"
#include "node/foreign_cluster.h"
#include "node/gossip.h"
#include "node/log_thread.h"
#include "node/node_metrics.h"
#include "node/security.h"
#include "node/services.h"
#include "node/stopping.h"
#include "peer/peer_network.h"
#include "replica/open_log.h"
#include "replica/replica.h"
#include "snapshot/directory.h"
#include "standard/health_service.h"
#include "store/epochs.h"
#include "telemetry/exposition.h"
#include "telemetry/http_server.h"
#include "telemetry/request_log.h"
#include "wal/log.h"

namespace mokv {
namespace {

// The replica's thread and the HTTP server's read the store, too.
constexpr uint64_t kOtherReadingThreadsMax = 16;
static_assert(kIoThreadsMax + kOtherReadingThreadsMax <= store::Epochs::kReadingThreadsMax);

// When the node stops, calls in progress get kDrainGrace to finish. The whole step takes kDrainMax.
constexpr Duration kDrainGrace = std::chrono::seconds(10);
constexpr Duration kDrainMax = std::chrono::seconds(13);
// Serf spreads the word, and waits until it is out.
constexpr Duration kLeaveGossipMax = std::chrono::seconds(9);
// Threads end with their queues run empty.
constexpr Duration kThreadEndMax = std::chrono::seconds(5);
// How often conditions are looked for, to be logged, and files for changes.
constexpr Duration kLookInterval = std::chrono::seconds(1);
// How often the replica looks for waits whose time is up.
constexpr Duration kTickInterval = std::chrono::milliseconds(50);

// No more may be promised, and what was promised is on disk: so there is nothing to put in order.
void EndAtOnce(std::string_view reason) {
  LogError("the node cannot go on; stopping", {{"reason", reason}});
  FlushLogBeforeExit();
  std::_Exit(EXIT_FAILURE);
}

// Whoever reads this has a node that does not start, and other nodes that have what it had.
absl::Status DamagedDiskError(const absl::Status& status, const std::string& data_dir) {
  return DataLoss("{}. This node's disk no longer has all that it acknowledged. {}",
                  MessageOf(status), RebuildAdvice(data_dir));
}

void LogEntriesLost(const std::string& node, const raft::EntriesLost& loss) {
  if (loss.healed) {
    return LogInfo("a node has again what it had acknowledged and lost",
                   {{"lacking", node}, {"acknowledged", loss.acknowledged.value()}});
  }
  LogError(
      "a node lacks entries that it had acknowledged as durable. Was an older copy of its data "
      "directory put back? It is sent them again, and until then does not serve and gives no vote "
      "that contradicts them. If nothing was put back, check its disk. If the same may have "
      "happened on other nodes, compare with a backup: acknowledged writes may be lost",
      {{"lacking", node},
       {"log_ends_at", loss.ends_at.value()},
       {"acknowledged", loss.acknowledged.value()}});
}

}  // namespace

class Node::Impl {
 public:
  explicit Impl(const Config& config)
      : config_(config),
        rpc_address_(net::HostPort{config.advertise_addr.host, config.rpc_port}.ToString()),
        data_(files_, config.data_dir),
        request_log_(config.request_log, config.slow_request_threshold),
        random_(NewSalt()),
        io_(config.io_threads),
        replica_io_(1, "replica") {}
  ~Impl() { Stop(); }

  absl::Status Start();
  void Stop();
  void Reload() { security_->LookAtFiles(/*asked=*/true); }

 private:
  net::IoThread& replica_thread() { return replica_io_.thread(0); }
  // Runs `task` on the replica thread and waits for its end.
  void OnReplicaThread(Task task);
  void MakeReplica();
  void MakePeers();
  absl::Status MakeGossip();
  void MakeForeignCluster();
  void OnGossipNodes(const std::vector<GossipNode>& nodes);
  absl::Status MakeServer();
  absl::Status StartHttp();
  absl::Status RecoverLog();
  absl::Status RecoverLogOnReplicaThread();
  void LogRecovered(Duration took) const;
  ConditionInputs GatherConditions() const;
  // If the condition of this name holds: an error that says what to do.
  absl::Status CheckCondition(const std::string& name) const;
  void SetAlarm(MonotonicTime at);
  void Fence(const std::string& reason);
  void OnDiffering(const std::string& reason, bool fences);
  void Tick();
  void AddLeavingSteps(Stopping& stopping);
  void AddClosingSteps(Stopping& stopping);

  FileSystem& files_ = PosixFileSystem();
  const Clock& clock_ = SystemClock();
  const Config config_;
  const std::string rpc_address_;
  bool stopped_ = false;

  // In the order in which they are needed; destroyed the other way round.
  DataDirectory data_;
  std::unique_ptr<Security> security_;
  telemetry::RequestLog request_log_;
  standard::HealthService health_{{"api.KV"}};
  LogSyncTimes sync_times_;
  machine::Machine machine_;
  SeededRandom random_;
  std::unique_ptr<replica::Replica> replica_;
  std::unique_ptr<wal::Log> log_;
  std::atomic<const wal::Log*> open_log_{nullptr};  // For scrapes, once it is open.
  // For scrapes: only the replica thread may ask the log. As old as the last tick.
  std::atomic<uint64_t> log_first_index_{0};
  net::IoPool io_;
  // Its one thread drives the replica and owns the connections to other nodes.
  net::IoPool replica_io_;
  std::unique_ptr<net::Timer> tick_timer_;
  std::unique_ptr<net::Timer> alarm_timer_;
  std::shared_ptr<peer::PeerNetwork> peers_;
  std::unique_ptr<Gossip> gossip_;
  std::unique_ptr<ForeignCluster> foreign_cluster_;
  std::atomic<bool> began_cluster_{false};  // In this life of the process.
  bool running_ = false;                    // The start was complete.
  std::unique_ptr<Services> services_;
  std::unique_ptr<net::Listener> listener_;
  telemetry::MetricsPage metrics_;
  std::unique_ptr<net::Worker> log_thread_;
  std::unique_ptr<net::Worker> log_space_thread_;
  std::unique_ptr<net::Worker> background_thread_;
  std::unique_ptr<net::Worker> snapshot_thread_;
  std::unique_ptr<net::Worker> snapshot_writer_thread_;
  std::unique_ptr<net::Worker> request_log_thread_;
  std::unique_ptr<telemetry::HttpServer> http_;
  // Replica thread only.
  ConditionLog condition_log_;
  MonotonicTime next_look_;

  mutable Mutex mutex_;
  std::string fenced_ ABSL_GUARDED_BY(mutex_);     // Why; empty: it is not.
  std::string differing_ ABSL_GUARDED_BY(mutex_);  // The same, of other nodes' states.
};

absl::Status Node::Impl::Start() {
  MOKV_ASSIGN_OR_RETURN(security_, Security::Create(config_, clock_));
  MOKV_RETURN_IF_ERROR(data_.Open(config_.node_name));
  MOKV_RETURN_IF_ERROR(security_->OpenAudit());
  MakeReplica();
  MakePeers();
  MakeForeignCluster();
  MOKV_RETURN_IF_ERROR(MakeGossip());
  MOKV_RETURN_IF_ERROR(MakeServer());
  security_->BeginReloading({.listener = listener_.get(),
                             .server = &services_->server(),
                             .peers = peers_,
                             .replica_thread = &replica_thread(),
                             .gossip = gossip_.get()});
  MOKV_RETURN_IF_ERROR(StartHttp());

  request_log_thread_ = std::make_unique<net::Worker>("request-log");
  request_log_thread_->Post([this] {
    while (request_log_.DrainOnce(std::chrono::seconds(1))) {
    }
  });
  io_.Start();
  replica_io_.Start();
  // Health answers NOT_SERVING, and reads wait, until the log has been recovered.
  listener_->Start();
  MOKV_RETURN_IF_ERROR(RecoverLog());
  replica_thread().Post([this] { Tick(); });
  gossip_->Start();
  running_ = true;
  LogInfo("node started",
          {{"node", config_.node_name},
           {"version", Version()},
           {"rpc", net::HostPort{config_.bind_addr.host, listener_->port()}.ToString()},
           {"serf", net::HostPort{config_.bind_addr.host, gossip_->port()}.ToString()},
           {"metrics", net::HostPort{config_.bind_addr.host, http_->port()}.ToString()},
           {"tls", config_.insecure ? "off" : "mutual"},
           {"cluster", replica_->cluster_id()},
           {"keys", machine_.stats().keys}});
  return absl::OkStatus();
}

void Node::Impl::MakeReplica() {
  log_thread_ = std::make_unique<net::Worker>("log");
  log_space_thread_ = std::make_unique<net::Worker>("log-space");
  background_thread_ = std::make_unique<net::Worker>("background");
  snapshot_thread_ = std::make_unique<net::Worker>("snapshots");
  snapshot_writer_thread_ = std::make_unique<net::Worker>("snapshot-write", net::Pace::kGentle);
  alarm_timer_ = std::make_unique<net::Timer>(replica_thread());
  tick_timer_ = std::make_unique<net::Timer>(replica_thread());
  replica::Replica::Callbacks callbacks;
  callbacks.set_alarm = [this](MonotonicTime at) { SetAlarm(at); };
  callbacks.on_cluster_id = [this](const std::string& id) {
    gossip_->SetClusterId(id);
    data_.KeepClusterId(id, *background_thread_);
  };
  callbacks.on_serving_changed = [this](bool serving) {
    health_.SetServing(serving);
    // A new leader looks at once at who wants to join.
    if (serving) gossip_->LookSoon();
  };
  callbacks.on_leader_changed = [this](const std::string& leader, Term term) {
    if (leader.empty()) return LogWarn("there is no leader", {{"term", term.value()}});
    LogInfo(leader == config_.node_name ? "this node leads" : "this node follows a leader",
            {{"leader", leader}, {"term", term.value()}});
  };
  callbacks.on_entries_lost = LogEntriesLost;
  callbacks.on_differing = [this](const std::string& reason, bool fences) {
    OnDiffering(reason, fences);
  };
  callbacks.on_fatal = [](const absl::Status& reason) { EndAtOnce(MessageOf(reason)); };
  replica::Replica::Options options{.name = config_.node_name,
                                    .instance_id = data_.identity().instance_id,
                                    .rpc_address = rpc_address_,
                                    .cluster_id = data_.identity().cluster_id,
                                    .writes = {.memory_bytes_max = config_.max_memory_bytes},
                                    .forward_guard = &security_->forward_guard(),
                                    .snapshots = {.files = &files_,
                                                  .directory = data_.snapshots_path(),
                                                  .log_bytes = config_.snapshot_log_bytes}};
  options.raft.election_timeout = config_.election_timeout;
  options.raft.heartbeat_interval = config_.heartbeat_interval;
  options.raft.lease_reads = config_.read_lease;
  replica_ = std::make_unique<replica::Replica>(
      replica::Replica::Executors{replica_thread(), *background_thread_, *snapshot_thread_,
                                  *snapshot_writer_thread_},
      clock_, random_, machine_, std::move(options), std::move(callbacks));
}

void Node::Impl::MakePeers() {
  peer::Options options{.name = config_.node_name,
                        .instance_id = data_.identity().instance_id,
                        .rpc_address = rpc_address_,
                        .version = std::string(Version()),
                        .cluster_id = data_.identity().cluster_id,
                        .replaces = data_.identity().replaces,
                        .tls = security_->peer_tls(),
                        .on_duplicate = [](const std::string& reason) { EndAtOnce(reason); }};
  peers_ = peer::PeerNetwork::Create(replica_thread(), clock_, *replica_, std::move(options));
}

absl::Status Node::Impl::MakeGossip() {
  MOKV_ASSIGN_OR_RETURN(
      gossip_,
      Gossip::Create(config_,
                     {.replica = replica_.get(),
                      .files = background_thread_.get(),
                      .clock = &clock_,
                      .instance_id = data_.identity().instance_id,
                      .rpc_address = rpc_address_,
                      .version = std::string(Version()),
                      .on_foreign_node =
                          [this](const GossipNode& node) { foreign_cluster_->OnForeignNode(node); },
                      .on_nodes = [this](const auto& nodes) { OnGossipNodes(nodes); }}));
  return absl::OkStatus();
}

// Nodes are dialed at the addresses that gossip has, beside those of the configuration.
void Node::Impl::OnGossipNodes(const std::vector<GossipNode>& nodes) {
  std::map<raft::NodeId, std::string> hints;
  for (const GossipNode& node : nodes) {
    if (node.instance_id.empty() || node.rpc_address.empty()) continue;
    hints[raft::NodeIdOf(node.name, node.instance_id)] = node.rpc_address;
  }
  replica_thread().Post(
      [this, hints = std::move(hints)]() mutable { peers_->SetAddressHints(std::move(hints)); });
}

void Node::Impl::MakeForeignCluster() {
  foreign_cluster_ = std::make_unique<ForeignCluster>(ForeignCluster::Parts{
      .own =
          [this] {
            return OwnCluster{.began_here = began_cluster_,
                              .told_of_others = !config_.start_join_addrs.empty(),
                              .revision = machine_.revision(),
                              .members = replica_->View().members.size(),
                              .cluster_id = replica_->cluster_id()};
          },
      .identify =
          [this](const std::string& rpc_address, ForeignCluster::Found found) {
            replica_thread().Post([this, rpc_address, found = std::move(found)]() mutable {
              peers_->Identify(rpc_address, std::move(found));
            });
          },
      .fence = [this](const std::string& reason) { Fence(reason); },
      .data_dir = config_.data_dir});
}

void Node::Impl::Fence(const std::string& reason) {
  LogError("this node is fenced", {{"reason", reason}});
  {
    const MutexLock lock(mutex_);
    fenced_ = reason;
  }
  replica_->Fence(reason);
}

// The replica fences itself; here it is made to last, and told.
void Node::Impl::OnDiffering(const std::string& reason, bool fences) {
  LogError(fences ? "this node's state differs from the others'; it is fenced"
                  : "the replicas' states differ",
           {{"reason", reason}});
  const MutexLock lock(mutex_);
  if (!fences) {
    differing_ = reason;
    return;
  }
  fenced_ = fmt::format("{}. {}", reason, RebuildAdvice(config_.data_dir));
  data_.KeepFence(reason, *background_thread_);
}

absl::Status Node::Impl::MakeServer() {
  services_ = std::make_unique<Services>(
      Services::Parts{.config = &config_,
                      .clock = &clock_,
                      .io = &io_,
                      .machine = &machine_,
                      .replica = replica_.get(),
                      .security = security_.get(),
                      .health = &health_,
                      .request_log = &request_log_,
                      .instance_id = data_.identity().instance_id,
                      .rpc_address = rpc_address_,
                      .version = std::string(Version()),
                      .conditions =
                          [this] {
                            std::vector<std::string> whats;
                            for (Condition& condition : FindConditions(GatherConditions())) {
                              whats.push_back(std::move(condition.what));
                            }
                            return whats;
                          },
                      .gossip = [this] { return gossip_->View(); }});
  net::Listener::Options listen;
  listen.address = {config_.bind_addr.host, config_.rpc_port};
  listen.tls = security_->tls().server;
  absl::StatusOr<std::unique_ptr<net::Listener>> listener = net::Listener::Bind(io_, listen);
  if (!listener.ok()) {
    return absl::Status(listener.status().code(), fmt::format("rpc-port {}: {}", config_.rpc_port,
                                                              MessageOf(listener.status())));
  }
  listener_ = std::move(*listener);
  listener_->AddProtocol(services_->server().protocol());
  listener_->AddProtocol(peers_->protocol());
  return absl::OkStatus();
}

absl::Status Node::Impl::StartHttp() {
  RegisterNodeMetrics(metrics_, {.server = &services_->server(),
                                 .listener = listener_.get(),
                                 .machine = &machine_,
                                 .replica = replica_.get(),
                                 .peers = peers_.get(),
                                 .gossip = gossip_.get(),
                                 .calls = &services_->calls(),
                                 .request_log = &request_log_,
                                 .security = security_.get(),
                                 .sync_times = &sync_times_,
                                 .log = &open_log_,
                                 .log_first_index = &log_first_index_,
                                 .node_name = config_.node_name});
  telemetry::HttpServerOptions options;
  options.host = config_.bind_addr.host;
  options.port = config_.metrics_port;
  options.setting_name = "metrics-port";
  options.readiness_checks.push_back({"serving", [this]() -> absl::Status {
                                        if (health_.serving()) return absl::OkStatus();
                                        return absl::UnavailableError(
                                            "no leader, or the node is starting or stopping");
                                      }});
  for (const std::string& name : ConditionNames()) {
    options.readiness_checks.push_back(
        {.name = name, .check = [this, name] { return CheckCondition(name); }, .only_tells = true});
  }
  MOKV_ASSIGN_OR_RETURN(http_, telemetry::HttpServer::Start(std::move(options), &metrics_));
  return absl::OkStatus();
}

void Node::Impl::OnReplicaThread(Task task) {
  std::promise<void> done;
  replica_thread().Post([&] {
    task();
    done.set_value();
  });
  done.get_future().wait();
}

absl::Status Node::Impl::RecoverLog() {
  absl::Status status;
  OnReplicaThread([&] { status = RecoverLogOnReplicaThread(); });
  return status;
}

absl::Status Node::Impl::RecoverLogOnReplicaThread() {
  const MonotonicTime began = clock_.Now();
  wal::Options options;
  options.directory = data_.log_path();
  options.segment_bytes = std::max(options.segment_bytes, 4 * config_.max_value_bytes);
  absl::StatusOr<std::unique_ptr<wal::Log>> log =
      replica::OpenLog(*replica_, std::move(options),
                       {.files = files_,
                        .clock = clock_,
                        .log_thread = *log_thread_,
                        .space_thread = *log_space_thread_,
                        .applying_thread = snapshot_thread_.get(),
                        .on_sync = [this](Duration took) { sync_times_.Record(took); }});
  if (absl::IsDataLoss(log.status())) return DamagedDiskError(log.status(), config_.data_dir);
  if (!log.ok()) return log.status();
  log_ = *std::move(log);
  log_first_index_ = log_->first_index().value();
  open_log_ = log_.get();
  LogRecovered(clock_.Now() - began);
  const std::optional<std::string> new_cluster_id = NewClusterId(
      {.bootstrap = config_.bootstrap, .has_state = log_->found().last_index != Index(0)},
      config_.data_dir, data_.identity());
  began_cluster_ = new_cluster_id.has_value();
  const absl::Status started = replica_->Start(*log_, *peers_, new_cluster_id);
  if (!started.ok()) {
    return absl::Status(started.code(),
                        fmt::format("data-dir {}: {}", config_.data_dir, MessageOf(started)));
  }
  return absl::OkStatus();
}

// What the state came from, and what a start costs: the first thing to look at when one takes long.
void Node::Impl::LogRecovered(Duration took) const {
  const wal::FoundLog& found = log_->found();
  const std::vector<EntryId>& snapshots = replica_->snapshots_found();
  LogInfo("state recovered from snapshot and log",
          {{"snapshot", snapshots.empty() ? "none" : snapshot::FileName(snapshots.front())},
           {"log_first", found.first_index.value()},
           {"log_last", found.last_index.value()},
           {"log_segments", found.segments},
           {"keys", machine_.stats().keys},
           {"ms", std::chrono::duration_cast<std::chrono::milliseconds>(took).count()}});
}

void Node::Impl::SetAlarm(MonotonicTime at) {
  const Duration delay = at == MonotonicTime::Max() ? Duration::max() / 2 : at - clock_.Now();
  alarm_timer_->Start(std::max(delay, Duration(0)), [this] { replica_->OnAlarm(); });
}

ConditionInputs Node::Impl::GatherConditions() const {
  ConditionInputs inputs{.node_name = config_.node_name,
                         .status = replica_->report(),
                         .memory_bytes = machine_.memory_bytes(),
                         .memory_bytes_max = config_.max_memory_bytes};
  if (const wal::Log* log = open_log_; log != nullptr) {
    inputs.out_of_space = log->stats().out_of_space;
  }
  const std::map<std::string, uint64_t> refused = peers_->stats().refused;
  inputs.is_rebuilt = data_.is_rebuilt();
  inputs.met_as_another_instance = refused.contains("not-me");
  for (const auto& [what, counts] : security_->reloads()) {
    if (!counts.failure.empty()) inputs.not_reloaded.push_back(what);
  }
  const MutexLock lock(mutex_);
  inputs.fenced = fenced_;
  inputs.differing = differing_;
  return inputs;
}

absl::Status Node::Impl::CheckCondition(const std::string& name) const {
  for (const Condition& condition : FindConditions(GatherConditions())) {
    if (condition.name == name) return absl::UnavailableError(condition.text);
  }
  return absl::OkStatus();
}

void Node::Impl::Tick() {
  replica_->Tick();
  // Whoever it replaces went from the configuration before it came: there is nothing to ask any more.
  if (data_.is_rebuilt() && replica_->report().is_member) {
    LogInfo("the rebuilt node is a member again", {{"node", config_.node_name}});
    data_.KeepMembership(replica_->cluster_id(), *background_thread_);
  }
  log_first_index_.store(log_->first_index().value(), std::memory_order_relaxed);
  // Not at once: a new cluster's first entry is just being written.
  if (const MonotonicTime now = clock_.Now(); now >= next_look_) {
    const bool is_first = next_look_ == MonotonicTime();
    next_look_ = now + kLookInterval;
    security_->LookAtFiles(/*asked=*/false);
    if (!is_first) condition_log_.Update(FindConditions(GatherConditions()));
  }
  tick_timer_->Start(kTickInterval, [this] { Tick(); });
}

// First clients and other nodes take their leave, then ends what serves them, then what that rests
// on: nothing may call into what has ended.
void Node::Impl::Stop() {
  if (std::exchange(stopped_, true)) return;
  health_.Stop();
  if (log_ != nullptr) LogInfo("stopping", {{"node", config_.node_name}});
  Stopping stopping(clock_);
  if (running_) AddLeavingSteps(stopping);
  AddClosingSteps(stopping);
  const std::string took = stopping.Run();
  if (log_ != nullptr) LogInfo("stopped", {{"node", config_.node_name}, {"took", took}});
}

void Node::Impl::AddLeavingSteps(Stopping& stopping) {
  stopping.Add("hand over", kStepAsideMax, [this] { StepAside(*replica_, clock_); });
  if (config_.leave_on_stop) {
    stopping.Add("leave the cluster", kLeaveClusterMax,
                 [this] { LeaveCluster(*replica_, clock_, config_.node_name); });
  }
  stopping.Add("leave gossip", kLeaveGossipMax, [this] { gossip_->Leave(); });
}

void Node::Impl::AddClosingSteps(Stopping& stopping) {
  if (log_ != nullptr) {
    stopping.Add("finish calls", kDrainMax, [this] {
      listener_->Stop();
      services_->server().Drain(kDrainGrace);
    });
  }
  stopping.Add("end clients' threads", kThreadEndMax, [this] {
    if (replica_ != nullptr) replica_->StopAccepting();
    if (security_ != nullptr && !security_->EndReloading(kThreadEndMax)) {
      security_->EndAudit();
      EndAtOnce(
          "the disk or network with its certificates or access rules does not answer. What was "
          "acknowledged is on disk");
    }
    http_.reset();  // No more scrapes: they read what ends below.
    io_.Stop();
    if (gossip_ != nullptr) gossip_->Stop();
  });
  if (running_) {
    stopping.Add("farewell", kFarewellMax,
                 [this] { BidFarewell(*replica_, *peers_, replica_thread(), clock_); });
  }
  stopping.Add("end the replica", kThreadEndMax, [this] {
    if (log_ != nullptr) {
      OnReplicaThread([this] {
        peers_->Stop();
        tick_timer_->Cancel();
        alarm_timer_->Cancel();
      });
    }
    // These still owe the replica answers, which come before its thread ends.
    if (log_thread_ != nullptr) log_thread_->Stop();
    if (background_thread_ != nullptr) background_thread_->Stop();
    if (snapshot_thread_ != nullptr) snapshot_thread_->Stop();
    if (snapshot_writer_thread_ != nullptr) snapshot_writer_thread_->Stop();
    replica_io_.Stop();
  });
  stopping.Add("close the log", kThreadEndMax, [this] {
    if (log_space_thread_ != nullptr) log_space_thread_->Stop();
    if (log_ != nullptr) log_->Close();
  });
  stopping.Add("let go", kThreadEndMax, [this] {
    // Writes and reads without an answer hold responders, which must go before their server.
    gossip_.reset();
    peers_.reset();
    replica_.reset();
    request_log_.Close();
    if (request_log_thread_ != nullptr) request_log_thread_->Stop();
    if (security_ != nullptr) security_->EndAudit();
  });
}

absl::StatusOr<std::unique_ptr<Node>> Node::Start(const Config& config) {
  for (const std::string& warning : config.warnings) LogWarn(warning);
  auto impl = std::make_unique<Impl>(config);
  MOKV_RETURN_IF_ERROR(impl->Start());
  return std::unique_ptr<Node>(new Node(std::move(impl)));
}

Node::Node(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Node::~Node() = default;
void Node::Stop() { impl_->Stop(); }
void Node::Reload() { impl_->Reload(); }

std::string_view Version() { return MOKV_VERSION; }

}  // namespace mokv
