#include "node/node.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <future>
#include <optional>

#include "auth/authorizer.h"
#include "base/check.h"
#include "base/logging.h"
#include "base/random.h"
#include "base/status.h"
#include "net/listener.h"
#include "net/tls.h"
#include "net/worker.h"
#include "node/identity.h"
#include "node/node_metrics.h"
#include "replica/replica.h"
#include "rpc/server.h"
#include "service/call_log.h"
#include "service/cluster_service.h"
#include "service/health_service.h"
#include "service/kv_service.h"
#include "store/store.h"
#include "telemetry/exposition.h"
#include "telemetry/http_server.h"
#include "telemetry/request_log.h"
#include "wal/log.h"

namespace mokv {
namespace {

// Calls in progress get this long to finish when the node stops.
constexpr Duration kDrainGrace = std::chrono::seconds(10);
// How often the replica looks for waits whose time is up.
constexpr Duration kTickInterval = std::chrono::milliseconds(50);
// A request that passes the engine's limit is RESOURCE_EXHAUSTED by the transport; values just over
// max-value-bytes must get as far as the service, which says INVALID_ARGUMENT.
constexpr uint64_t kMessageBytesMin = uint64_t{4} << 20;
constexpr uint64_t kMessageBytesBeyondValue = uint64_t{1} << 20;

absl::StatusOr<std::shared_ptr<const net::TlsContext>> LoadTls(const Config& config) {
  if (config.insecure) return std::shared_ptr<const net::TlsContext>();
  const net::TlsFiles server{config.server_tls_cert_file, config.server_tls_key_file,
                             config.server_tls_ca_file};
  std::vector<std::string> own_certificates = {config.server_tls_cert_file};
  if (!config.peer_tls_cert_file.empty()) {
    const net::TlsFiles peer{config.peer_tls_cert_file, config.peer_tls_key_file,
                             config.peer_tls_ca_file};
    MOKV_RETURN_IF_ERROR(net::TlsContext::ForClient(peer, {"h2"}).status());
    own_certificates.push_back(config.peer_tls_cert_file);
  }
  MOKV_ASSIGN_OR_RETURN(std::shared_ptr<const net::TlsContext> context,
                        net::TlsContext::ForServer(server, {"h2"}));
  MOKV_RETURN_IF_ERROR(net::CheckSignedByCa(config.server_tls_ca_file, own_certificates));
  return context;
}

absl::StatusOr<std::shared_ptr<const auth::Authorizer>> LoadAuthorizer(const Config& config) {
  if (config.acl_model_file.empty()) {
    LogWarn("no acl-model-file and acl-policy-file: every authenticated subject may do everything");
    return auth::Authorizer::AllowAll();
  }
  FileSystem& files = PosixFileSystem();
  MOKV_ASSIGN_OR_RETURN(const std::string model, files.ReadFile(config.acl_model_file));
  MOKV_ASSIGN_OR_RETURN(const std::string policy, files.ReadFile(config.acl_policy_file));
  return auth::Authorizer::Create(model, config.acl_model_file, policy, config.acl_policy_file);
}

}  // namespace

class Node::Impl {
 public:
  explicit Impl(const Config& config)
      : config_(config),
        rpc_address_(net::HostPort{config.advertise_addr.host, config.rpc_port}.ToString()),
        request_log_(config.request_log),
        call_log_(request_log_),
        io_(config.io_threads) {}
  ~Impl() { Stop(); }

  absl::Status Start();
  void Stop();

 private:
  absl::Status OpenDataDirectory();
  void MakeReplica();
  absl::Status MakeServer();
  absl::Status StartHttp();
  absl::Status RecoverLog();
  absl::Status RecoverLogOnReplicaThread();
  void Tick();

  FileSystem& files_ = PosixFileSystem();
  const Clock& clock_ = SystemClock();
  const Config config_;
  const std::string rpc_address_;
  bool stopped_ = false;

  // In the order in which they are needed; destroyed the other way round.
  std::unique_ptr<FileLock> lock_;
  Identity identity_;
  std::shared_ptr<const net::TlsContext> tls_;
  std::shared_ptr<const auth::Authorizer> authorizer_;
  telemetry::RequestLog request_log_;
  service::CallLog call_log_;
  service::HealthService health_;
  LogSyncTimes sync_times_;
  store::Store store_;
  std::unique_ptr<replica::Replica> replica_;
  std::unique_ptr<wal::Log> log_;
  std::atomic<const wal::Log*> open_log_{nullptr};  // For scrapes, once it is open.
  net::IoPool io_;
  std::unique_ptr<net::Timer> tick_timer_;
  std::unique_ptr<rpc::Server> server_;
  std::unique_ptr<service::KvService> kv_;
  std::unique_ptr<service::ClusterService> cluster_;
  std::unique_ptr<net::Listener> listener_;
  telemetry::MetricsPage metrics_;
  std::unique_ptr<net::Worker> log_thread_;
  std::unique_ptr<net::Worker> log_space_thread_;
  std::unique_ptr<net::Worker> replica_thread_;
  std::unique_ptr<net::Worker> request_log_thread_;
  std::unique_ptr<telemetry::HttpServer> http_;
};

absl::Status Node::Impl::Start() {
  MOKV_ASSIGN_OR_RETURN(tls_, LoadTls(config_));
  MOKV_ASSIGN_OR_RETURN(authorizer_, LoadAuthorizer(config_));
  MOKV_RETURN_IF_ERROR(OpenDataDirectory());
  MakeReplica();
  MOKV_RETURN_IF_ERROR(MakeServer());
  MOKV_RETURN_IF_ERROR(StartHttp());

  request_log_thread_ = std::make_unique<net::Worker>("request-log");
  request_log_thread_->Post([this] {
    while (request_log_.DrainOnce(std::chrono::seconds(1))) {
    }
  });
  io_.Start();
  // Health answers NOT_SERVING, and reads wait, until the log has been recovered.
  listener_->Start();
  MOKV_RETURN_IF_ERROR(RecoverLog());
  tick_timer_ = std::make_unique<net::Timer>(io_.thread(0));
  io_.thread(0).Post([this] { Tick(); });
  LogInfo("node started",
          {{"node", config_.node_name},
           {"version", Version()},
           {"rpc", net::HostPort{config_.bind_addr.host, listener_->port()}.ToString()},
           {"metrics", net::HostPort{config_.bind_addr.host, http_->port()}.ToString()},
           {"tls", tls_ != nullptr ? "mutual" : "off"},
           {"cluster", identity_.cluster_id},
           {"keys", store_.stats().keys}});
  return absl::OkStatus();
}

absl::Status Node::Impl::OpenDataDirectory() {
  const auto named = [&](const absl::Status& status) {
    return absl::Status(status.code(),
                        fmt::format("data-dir {}: {}", config_.data_dir, MessageOf(status)));
  };
  if (absl::Status status = files_.CreateDirectories(config_.data_dir); !status.ok()) {
    return named(status);
  }
  absl::StatusOr<std::unique_ptr<FileLock>> lock = files_.Lock(config_.data_dir + "/lock");
  if (!lock.ok()) return named(lock.status());
  lock_ = std::move(*lock);
  MOKV_ASSIGN_OR_RETURN(identity_, LoadOrMakeIdentity(files_, config_.data_dir, config_.node_name));
  return absl::OkStatus();
}

void Node::Impl::MakeReplica() {
  log_thread_ = std::make_unique<net::Worker>("log");
  log_space_thread_ = std::make_unique<net::Worker>("log-space");
  replica_thread_ = std::make_unique<net::Worker>("replica");
  replica::Replica::Callbacks callbacks;
  callbacks.on_serving_changed = [this](bool serving) { health_.SetServing(serving); };
  callbacks.on_fatal = [](const absl::Status& reason) {
    // Nothing more can be promised, and what was promised is on disk: end at once.
    LogError("the log failed; stopping", {{"reason", MessageOf(reason)}});
    std::_Exit(EXIT_FAILURE);
  };
  replica_ = std::make_unique<replica::Replica>(
      *replica_thread_, clock_, store_,
      replica::Replica::Options{.node_id = config_.node_name,
                                .instance_id = identity_.instance_id,
                                .rpc_address = rpc_address_,
                                .memory_bytes_max = config_.max_memory_bytes},
      std::move(callbacks));
}

absl::Status Node::Impl::MakeServer() {
  rpc::Server::Options options;
  options.message_bytes_max =
      std::max(kMessageBytesMin, config_.max_value_bytes + kMessageBytesBeyondValue);
  server_ = std::make_unique<rpc::Server>(io_, options, &call_log_);
  const bool object_is_any = config_.acl_object == AclObject::kAny;
  kv_ = std::make_unique<service::KvService>(
      io_, store_, *replica_, authorizer_,
      service::KvService::Options{.value_bytes_max = config_.max_value_bytes,
                                  .object_is_any = object_is_any,
                                  .node_id = config_.node_name,
                                  .rpc_address = rpc_address_});
  cluster_ = std::make_unique<service::ClusterService>(
      store_, *replica_, authorizer_,
      service::ClusterService::Options{.node_id = config_.node_name,
                                       .instance_id = identity_.instance_id,
                                       .rpc_address = rpc_address_,
                                       .version = std::string(Version()),
                                       .object_is_any = object_is_any,
                                       .serving = [this] { return health_.serving(); }});
  kv_->Register(*server_);
  cluster_->Register(*server_);
  health_.Register(*server_);
  call_log_.Prepare(*server_, io_.size());

  net::Listener::Options listen;
  listen.address = {config_.bind_addr.host, config_.rpc_port};
  listen.tls = tls_;
  absl::StatusOr<std::unique_ptr<net::Listener>> listener = net::Listener::Bind(io_, listen);
  if (!listener.ok()) {
    return absl::Status(listener.status().code(), fmt::format("rpc-port {}: {}", config_.rpc_port,
                                                              MessageOf(listener.status())));
  }
  listener_ = std::move(*listener);
  listener_->AddProtocol(server_->protocol());
  return absl::OkStatus();
}

absl::Status Node::Impl::StartHttp() {
  RegisterNodeMetrics(metrics_, {.server = server_.get(),
                                 .listener = listener_.get(),
                                 .store = &store_,
                                 .replica = replica_.get(),
                                 .calls = &call_log_,
                                 .request_log = &request_log_,
                                 .sync_times = &sync_times_,
                                 .log = &open_log_,
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
  MOKV_ASSIGN_OR_RETURN(http_, telemetry::HttpServer::Start(std::move(options), &metrics_));
  return absl::OkStatus();
}

absl::Status Node::Impl::RecoverLog() {
  std::promise<absl::Status> recovered;
  replica_thread_->Post([&] { recovered.set_value(RecoverLogOnReplicaThread()); });
  return recovered.get_future().get();
}

absl::Status Node::Impl::RecoverLogOnReplicaThread() {
  wal::Options options;
  options.directory = config_.data_dir + "/log";
  options.segment_bytes = std::max(options.segment_bytes, 4 * config_.max_value_bytes);
  wal::Log::Callbacks callbacks;
  callbacks.on_durable = [this](const wal::Durable& durable) {
    replica_->OnDurable(durable.last, durable.last_term);
  };
  callbacks.on_failure = [this](absl::Status reason) { replica_->OnLogFailure(std::move(reason)); };
  callbacks.on_sync = [this](Duration duration) { sync_times_.Record(duration); };
  MOKV_ASSIGN_OR_RETURN(
      log_, wal::Log::Open(files_, clock_, *log_thread_, *log_space_thread_, std::move(options),
                           std::move(callbacks), [this](const wal::EntryView& entry) {
                             return replica_->Recover(entry);
                           }));
  open_log_ = log_.get();
  const std::string& log_cluster = replica_->cluster_id();
  if (!identity_.cluster_id.empty() && !log_cluster.empty() &&
      identity_.cluster_id != log_cluster) {
    return FailedPrecondition(
        "data-dir {} is mixed up: its identity is of cluster {}, its log of {}", config_.data_dir,
        identity_.cluster_id, log_cluster);
  }
  const bool has_state = log_->recovery().last_index != Index(0);
  std::optional<std::string> new_cluster_id;
  if (config_.bootstrap && has_state) {
    LogInfo("bootstrap is ignored: the data directory already has state",
            {{"data-dir", config_.data_dir}, {"cluster", log_cluster}});
  } else if (config_.bootstrap) {
    new_cluster_id = NewUniqueId();
  } else if (!has_state) {
    LogInfo("no state yet and bootstrap is off: waiting to be added to a cluster",
            {{"node", config_.node_name}});
  }
  replica_->Start(*log_, new_cluster_id);
  const std::string cluster_id = new_cluster_id.value_or(log_cluster);
  if (cluster_id != identity_.cluster_id) {
    identity_.cluster_id = cluster_id;
    MOKV_RETURN_IF_ERROR(SaveIdentity(files_, config_.data_dir, identity_));
  }
  return absl::OkStatus();
}

void Node::Impl::Tick() {
  replica_thread_->Post([this] { replica_->Tick(); });
  tick_timer_->Start(kTickInterval, [this] { Tick(); });
}

void Node::Impl::Stop() {
  if (stopped_) return;
  stopped_ = true;
  health_.Stop();
  if (log_ != nullptr) {
    LogInfo("stopping", {{"node", config_.node_name}});
    listener_->Stop();
    server_->Drain(kDrainGrace);
  }
  if (replica_ != nullptr) replica_->StopAccepting();
  // No more scrapes: they read what ends below.
  http_.reset();
  io_.Stop();
  // Each of the two may still have posted to the other: what the log owes the replica comes first.
  if (log_thread_ != nullptr) log_thread_->Stop();
  if (replica_thread_ != nullptr) replica_thread_->Stop();
  if (log_space_thread_ != nullptr) log_space_thread_->Stop();
  if (log_ != nullptr) log_->Close();
  // What nobody has answered still holds responders, which must go before the server that they
  // belong to.
  replica_.reset();
  request_log_.Close();
  if (request_log_thread_ != nullptr) request_log_thread_->Stop();
  if (log_ != nullptr) LogInfo("stopped", {{"node", config_.node_name}});
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

std::string_view Version() { return MOKV_VERSION; }

}  // namespace mokv
