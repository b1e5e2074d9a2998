#include "node/config_keys.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "base/json.h"
#include "base/status.h"
#include "node/node_name.h"

namespace mokv {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using telemetry::RequestLogMode;

// A message is copied and logged as a whole: far larger ones stall everybody else's writes.
constexpr uint64_t kValueBytesMax = uint64_t{64} << 20;
constexpr uint64_t kSnapshotLogBytesMin = uint64_t{64} << 10;
constexpr uint64_t kAuditLogBytesMin = uint64_t{64} << 10;
constexpr uint64_t kTransactionOperationsMax = 65'536;
constexpr uint64_t kAnyBytesMax = std::numeric_limits<int64_t>::max();
constexpr Duration kTimerMin = milliseconds(1);
constexpr Duration kTimerMax = minutes(1);
constexpr Duration kRemovalMax = hours(24 * 365);

using Texts = std::vector<std::string>;

KeyType Text(std::string Config::*member) {
  return {.label = "TEXT", .expected = "a text", .set = [=](Config& config, const Texts& texts) {
            config.*member = texts[0];
            return true;
          }};
}

KeyType Path(std::string Config::*member) {
  KeyType type = Text(member);
  type.label = "PATH";
  type.expected = "a path";
  return type;
}

KeyType ReadableFile(std::string Config::*member) {
  KeyType type = Path(member);
  type.expected = "the path of a file that can be read";
  type.readable_file = member;
  return type;
}

KeyType RequiredPath(std::string Config::*member) {
  return {.label = "PATH", .expected = "a path", .set = [=](Config& config, const Texts& texts) {
            config.*member = texts[0];
            return !texts[0].empty();
          }};
}

KeyType NodeName() {
  return {.label = "NAME",
          .expected = fmt::format("1 to {} letters, digits, dots, dashes or underscores",
                                  kNodeNameBytesMax),
          .set = [](Config& config, const Texts& texts) {
            config.node_name = texts[0];
            return IsNodeName(texts[0]);
          }};
}

KeyType Switch(bool Config::*member) {
  return {.shape = KeyType::Shape::kSwitch,
          .label = "BOOL",
          .expected = "true or false",
          .set = [=](Config& config, const Texts& texts) {
            const std::optional<bool> value = ParseBool(texts[0]);
            config.*member = value.value_or(false);
            return value.has_value();
          }};
}

template <typename Integer>
KeyType Number(Integer Config::*member, std::string label, uint64_t min, uint64_t max) {
  return {.label = std::move(label),
          .expected = fmt::format("a number from {} to {}", min, max),
          .set = [=](Config& config, const Texts& texts) {
            const std::optional<uint64_t> value = ParseUnsigned(texts[0]);
            if (!value.has_value() || *value < min || *value > max) return false;
            config.*member = static_cast<Integer>(*value);
            return true;
          }};
}

KeyType Port(uint16_t Config::*member) { return Number(member, "PORT", 1, 65535); }

std::string DescribeDuration(Duration duration) {
  if (duration == Duration::zero()) return "0";
  if (duration % minutes(1) != Duration::zero()) {
    return fmt::format("{}ms", duration / milliseconds(1));
  }
  if (duration % hours(1) == Duration::zero()) return fmt::format("{}h", duration / hours(1));
  return fmt::format("{}m", duration / minutes(1));
}

KeyType Time(Duration Config::*member, Duration min, Duration max) {
  return {.label = "DURATION",
          .expected = fmt::format("a duration such as 200ms, 5s, 10m or 1h, from {} to {}",
                                  DescribeDuration(min), DescribeDuration(max)),
          .set = [=](Config& config, const Texts& texts) {
            const std::optional<Duration> value = ParseDuration(texts[0]);
            if (!value.has_value() || *value < min || *value > max) return false;
            config.*member = *value;
            return true;
          }};
}

KeyType Size(uint64_t Config::*member, uint64_t min, uint64_t max) {
  std::string expected = "a size such as 512KiB, 64MiB or 1GiB";
  if (max != kAnyBytesMax) {
    expected += fmt::format(", from {} to {} bytes", min, max);
  } else if (min != 0) {
    expected += fmt::format(", at least {} bytes", min);
  }
  return {.label = "SIZE", .expected = expected, .set = [=](Config& config, const Texts& texts) {
            const std::optional<uint64_t> value = ParseSize(texts[0]);
            if (!value.has_value() || *value < min || *value > max) return false;
            config.*member = *value;
            return true;
          }};
}

KeyType Address(net::HostPort Config::*member) {
  return {.label = "HOST:PORT",
          .expected = "host:port, with an IPv6 address in brackets and a port from 1 to 65535",
          .set = [=](Config& config, const Texts& texts) {
            const std::optional<net::HostPort> value = ParseAddress(texts[0]);
            config.*member = value.value_or(net::HostPort());
            return value.has_value();
          }};
}

KeyType Addresses(std::vector<std::string> Config::*member) {
  return {.shape = KeyType::Shape::kList,
          .label = "HOST:PORT,..",
          .expected = "a list of host:port",
          .set = [=](Config& config, const Texts& texts) {
            config.*member = texts;
            return std::all_of(texts.begin(), texts.end(), [](const std::string& text) {
              return ParseAddress(text).has_value();
            });
          }};
}

KeyType Names(std::vector<std::string> Config::*member) {
  return {.shape = KeyType::Shape::kList,
          .label = "NAME,..",
          .expected = "a list of names, none of them empty",
          .set = [=](Config& config, const Texts& texts) {
            config.*member = texts;
            return std::none_of(texts.begin(), texts.end(),
                                [](const std::string& text) { return text.empty(); });
          }};
}

KeyType GossipKey(std::string Config::*member) {
  return {.label = "BASE64",
          .expected = "base64 of 16, 24 or 32 bytes",
          .set = [=](Config& config, const Texts& texts) {
            config.*member = texts[0];
            return texts[0].empty() || IsGossipKey(texts[0]);
          }};
}

std::string Lower(std::string text) {
  for (char& c : text) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return text;
}

// One of a few words, in any case.
template <typename Enum>
KeyType Choice(Enum Config::*member, std::vector<std::pair<std::string, Enum>> choices) {
  std::string expected;
  for (size_t i = 0; i < choices.size(); ++i) {
    if (i > 0) expected += i + 1 == choices.size() ? " or " : ", ";
    expected += choices[i].first;
  }
  return {.label = "WORD", .expected = expected, .set = [=](Config& config, const Texts& texts) {
            for (const auto& [word, value] : choices) {
              if (Lower(word) != Lower(texts[0])) continue;
              config.*member = value;
              return true;
            }
            return false;
          }};
}

// Reasons for `not_yet`.
constexpr std::string_view kNoHistory = "old versions are not kept in this version";
constexpr std::string_view kNoTransactions = "there are no transactions in this version";

// Where a node keeps what, what it is called and where it is found.
std::vector<ConfigKey> IdentityKeys() {
  return {
      {"config-file", "", "none", "YAML file with any of the other keys; only as flag or variable",
       RequiredPath(&Config::config_file)},
      {"data-dir", "$HOME/.mokv/data", "", "directory of the log, snapshots and node identity",
       RequiredPath(&Config::data_dir)},
      {"node-name", "", "host name", "unique id of the node in its cluster", NodeName()},
      {"bind-addr", "127.0.0.1:8401", "",
       "Serf's address, UDP and TCP; its host is also where RPC and metrics listen; a wildcard "
       "such as 0.0.0.0 needs advertise-addr",
       Address(&Config::bind_addr)},
      {"advertise-addr", "", "bind-addr", "what others dial, when it differs from bind-addr",
       Address(&Config::advertise_addr)},
      {"rpc-port", "8400", "", "port of gRPC and Raft", Port(&Config::rpc_port)},
      {"metrics-port", "4000", "", "port of HTTP: /metrics, /livez, /readyz",
       Port(&Config::metrics_port)},
      {"start-join-addrs", "", "none",
       "Serf addresses of nodes to join; tried again until one answers",
       Addresses(&Config::start_join_addrs)},
      {"bootstrap", "false", "",
       "start a new cluster with this node as its first voter; ignored when the data directory "
       "already has state",
       Switch(&Config::bootstrap)},
  };
}

// Who may talk to a node, and what they may do.
std::vector<ConfigKey> SecurityKeys() {
  return {
      {"server-tls-cert-file", "", "none", "certificate that the node presents to its callers",
       ReadableFile(&Config::server_tls_cert_file)},
      {"server-tls-key-file", "", "none", "private key of that certificate",
       ReadableFile(&Config::server_tls_key_file)},
      {"server-tls-ca-file", "", "none", "CA that callers' certificates must be signed by",
       ReadableFile(&Config::server_tls_ca_file)},
      {"server-tls-crl-file", "", "none", "revoked client certificates",
       ReadableFile(&Config::server_tls_crl_file)},
      {"peer-tls-cert-file", "", "none", "certificate that the node presents to other nodes",
       ReadableFile(&Config::peer_tls_cert_file)},
      {"peer-tls-key-file", "", "none", "private key of that certificate",
       ReadableFile(&Config::peer_tls_key_file)},
      {"peer-tls-ca-file", "", "none", "CA that other nodes' certificates must be signed by",
       ReadableFile(&Config::peer_tls_ca_file)},
      {"peer-allowed-names", "", "CN of the peer certificate", "subjects that may speak Raft",
       Names(&Config::peer_allowed_names)},
      {"insecure", "false", "",
       "run in clear text, without TLS; must be true when the server-tls files are not set, and "
       "goes with neither TLS nor ACL files",
       Switch(&Config::insecure)},
      {"acl-model-file", "", "none",
       "Casbin model; without it every authenticated subject may do everything",
       ReadableFile(&Config::acl_model_file)},
      {"acl-policy-file", "", "none", "Casbin policy; goes with acl-model-file",
       ReadableFile(&Config::acl_policy_file)},
      {"acl-object", "key", "",
       "what the policy sees as object: `key` is the key asked for, `any` is always `*`",
       Choice<AclObject>(&Config::acl_object,
                         {{"key", AclObject::kKey}, {"any", AclObject::kAny}})},
      {"audit-log-file", "", "none", "file of JSON lines that records who did what",
       Path(&Config::audit_log_file)},
      {"audit", "writes", "",
       "what the audit log gets: `writes` and what is denied, or `all`, reads too",
       Choice<AuditScope>(&Config::audit,
                          {{"writes", AuditScope::kWrites}, {"all", AuditScope::kAll}})},
      {"audit-log-bytes", "100MiB", "",
       "size at which the audit log is rotated; one old file is kept, with .1 at its end",
       Size(&Config::audit_log_bytes, kAuditLogBytesMin, kAnyBytesMax)},
      {"serf-encrypt-key", "", "none", "base64 of 16, 24 or 32 bytes: encrypts gossip",
       GossipKey(&Config::serf_encrypt_key), "", /*secret=*/true},
      {"serf-keyring-file", "", "none",
       "JSON list of such keys, of which the first encrypts; instead of serf-encrypt-key",
       ReadableFile(&Config::serf_keyring_file)},
  };
}

// What is logged, and how much of the machine is used.
std::vector<ConfigKey> OperationKeys() {
  return {
      {"log-level", "INFO", "", "least severe level that is logged",
       Choice<LogLevel>(&Config::log_level, {{"DEBUG", LogLevel::kDebug},
                                             {"INFO", LogLevel::kInfo},
                                             {"WARN", LogLevel::kWarn},
                                             {"ERROR", LogLevel::kError}})},
      {"log-format", "", "text on a terminal, else json", "how a line of the log looks",
       Choice<LogFormat>(&Config::log_format,
                         {{"text", LogFormat::kText}, {"json", LogFormat::kJson}})},
      {"request-log", "errors", "", "which calls are logged",
       Choice<RequestLogMode>(&Config::request_log, {{"all", RequestLogMode::kAll},
                                                     {"slow", RequestLogMode::kSlow},
                                                     {"errors", RequestLogMode::kErrors},
                                                     {"off", RequestLogMode::kOff}})},
      {"slow-request-threshold", "100ms", "", "slower calls are logged with request-log: slow",
       Time(&Config::slow_request_threshold, Duration::zero(), kRemovalMax)},
      {"io-threads", "", "cores", "threads that serve connections",
       Number(&Config::io_threads, "NUMBER", 1, kIoThreadsMax)},
      {"max-value-bytes", "1MiB", "", "larger values are refused",
       Size(&Config::max_value_bytes, 1, kValueBytesMax)},
      {"max-memory-bytes", "0", "0 (no limit)",
       "memory of the store at which sets are refused; deletes work",
       Size(&Config::max_memory_bytes, 0, kAnyBytesMax)},
      {"snapshot-log-bytes", "256MiB", "",
       "growth of the log that triggers a snapshot; at least half the size of the data, too",
       Size(&Config::snapshot_log_bytes, kSnapshotLogBytesMin, kAnyBytesMax)},
      {"history-age", "10m", "", "how long old versions are kept; 0: none",
       Time(&Config::history_age, Duration::zero(), kRemovalMax), kNoHistory},
      {"history-bytes", "64MiB", "", "memory that old versions may take; 0: none",
       Size(&Config::history_bytes, 0, kAnyBytesMax), kNoHistory},
      {"max-txn-ops", "128", "", "operations of one transaction",
       Number(&Config::max_txn_ops, "NUMBER", 1, kTransactionOperationsMax), kNoTransactions},
  };
}

// How the nodes of a cluster keep together.
std::vector<ConfigKey> ClusterKeys() {
  return {
      {"heartbeat-interval", "50ms", "", "time between two heartbeats of a leader",
       Time(&Config::heartbeat_interval, kTimerMin, kTimerMax)},
      {"election-timeout", "500ms", "",
       "silence of the leader after which others stand for election; more than twice "
       "heartbeat-interval",
       Time(&Config::election_timeout, kTimerMin, kTimerMax)},
      {"read-lease", "false", "", "the leader answers linearizable reads from its lease",
       Switch(&Config::read_lease)},
      {"leave-on-stop", "false", "", "SIGTERM removes the node from its cluster for good",
       Switch(&Config::leave_on_stop)},
      {"left-node-timeout", "10m", "",
       "a node that left and has not come back is removed; 0: never",
       Time(&Config::left_node_timeout, Duration::zero(), kRemovalMax)},
      {"dead-node-timeout", "0", "0 (never)", "the same for a node that failed",
       Time(&Config::dead_node_timeout, Duration::zero(), kRemovalMax)},
  };
}

size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, replaced});
    }
  }
  return row[b.size()];
}

}  // namespace

const std::vector<ConfigKey>& ConfigKeys() {
  static const std::vector<ConfigKey>* const keys = [] {
    auto* all = new std::vector<ConfigKey>();
    for (const auto& group : {IdentityKeys(), SecurityKeys(), OperationKeys(), ClusterKeys()}) {
      all->insert(all->end(), group.begin(), group.end());
    }
    return all;
  }();
  return *keys;
}

const ConfigKey* FindConfigKey(std::string_view name) {
  for (const ConfigKey& key : ConfigKeys()) {
    if (key.name == name) return &key;
  }
  return nullptr;
}

std::string Suggestion(std::string_view name, std::string_view prefix) {
  // People write what other programs call it (`rpc_port`, `rpcPort`, `RPC_PORT`), so only letters
  // are compared; a third of them wrong is another word.
  const std::string wanted = Lower(std::string(name));
  const ConfigKey* nearest = nullptr;
  size_t nearest_distance = wanted.size() / 3 + 1;
  for (const ConfigKey& key : ConfigKeys()) {
    const size_t distance = EditDistance(wanted, key.name);
    if (distance >= nearest_distance) continue;
    nearest = &key;
    nearest_distance = distance;
  }
  if (nearest == nullptr) return "";
  return fmt::format(" (did you mean {}{}?)", prefix, nearest->name);
}

std::string FlagName(const ConfigKey& key) { return fmt::format("--{}", key.name); }

std::string VariableName(const ConfigKey& key) {
  std::string name = "MOKV_";
  for (const char c : key.name) {
    name += c == '-' ? '_' : static_cast<char>(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);
  }
  return name;
}

absl::Status ValueError(const GivenValue& given, std::string_view trouble) {
  std::string value;
  for (const std::string& text : given.texts) {
    if (!value.empty()) value += ", ";
    value += JsonString(text);
  }
  if (given.key->type.shape == KeyType::Shape::kList) value = fmt::format("[{}]", value);
  if (given.key->secret) value = "(not shown)";
  return InvalidArgument("{}: {} is {}, {}", given.where, given.key->name, value, trouble);
}

absl::Status StoreValue(const GivenValue& given, Config& config) {
  const KeyType& type = given.key->type;
  if (type.set(config, given.texts)) return absl::OkStatus();
  return ValueError(given, fmt::format("expected {}", type.expected));
}

}  // namespace mokv
