// The configuration of a node: from flags, environment variables, a YAML file and defaults, in this
// order of precedence. Every key is described once, in config_keys.cc; flags, variables, the file,
// `--help` and the table of docs/reference.md come out of that description.
//
// Threads: Config is a value, immutable once the node runs. The functions touch only the file
//          system and what they are given.
// Units:   durations are nanoseconds with a type, sizes are `_bytes`.
// Errors:  InvalidArgument with one line that names the key, its value, where it came from
//          (`config.yaml:12`, `--rpc-port`, `MOKV_RPC_PORT`) and what was expected.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/logging.h"
#include "net/address.h"
#include "node/config_values.h"
#include "telemetry/audit_log.h"
#include "telemetry/request_log.h"

namespace mokv {

enum class AclObject { kKey, kAny };
using telemetry::AuditScope;

// More than the cores of any machine we know.
constexpr uint64_t kIoThreadsMax = 256;

// ParseCommandLine has checked it as a whole: nobody need check again. Empty texts and lists mean
// "none".
struct Config {
  std::string config_file;
  std::string data_dir;
  std::string node_name;

  net::HostPort bind_addr;       // Serf's; its host is also that of RPC and metrics.
  net::HostPort advertise_addr;  // What others dial; bind_addr unless given.
  uint16_t rpc_port = 0;
  uint16_t metrics_port = 0;
  std::vector<std::string> start_join_addrs;  // Each a valid host:port.
  bool bootstrap = false;

  std::string server_tls_cert_file;
  std::string server_tls_key_file;
  std::string server_tls_ca_file;
  std::string server_tls_crl_file;
  std::string peer_tls_cert_file;
  std::string peer_tls_key_file;
  std::string peer_tls_ca_file;
  std::vector<std::string> peer_allowed_names;  // Empty: the CN of the node's own peer certificate.
  bool insecure = false;                        // True exactly when there is no TLS.

  std::string acl_model_file;
  std::string acl_policy_file;  // Set exactly when the model is.
  AclObject acl_object = AclObject::kKey;
  std::string audit_log_file;
  AuditScope audit = AuditScope::kWrites;
  uint64_t audit_log_bytes = 0;

  std::string serf_encrypt_key;  // A secret: never logged.
  std::string serf_keyring_file;

  LogLevel log_level = LogLevel::kInfo;
  LogFormat log_format = LogFormat::kText;
  telemetry::RequestLogMode request_log = telemetry::RequestLogMode::kErrors;
  Duration slow_request_threshold{0};

  uint32_t io_threads = 0;  // At least 1 after parsing.
  Duration heartbeat_interval{0};
  Duration election_timeout{0};  // More than twice the heartbeat interval.
  bool read_lease = false;
  uint64_t snapshot_log_bytes = 0;
  Duration history_age{0};
  uint64_t history_bytes = 0;
  uint32_t max_txn_ops = 0;
  uint64_t max_value_bytes = 0;
  uint64_t max_memory_bytes = 0;  // 0: no limit.
  bool leave_on_stop = false;
  Duration left_node_timeout{0};  // 0: never.
  Duration dead_node_timeout{0};  // 0: never.

  // One line for each key that was given and has no effect yet, and for each unknown MOKV_*
  // variable. For the log, once logging is set up.
  std::vector<std::string> warnings;
};

struct ParsedCommandLine {
  enum class Action {
    kRun,          // Run a node with `config`.
    kCheckConfig,  // `config` is fine; print its warnings and stop.
    kShowText,     // `--help` or `--version`: print `text` and stop; there is no configuration.
  };

  Action action = Action::kRun;
  Config config;
  std::string text;
};

// `argv[0]` is the program's name. `environment` also serves the variables in file values.
absl::StatusOr<ParsedCommandLine> ParseCommandLine(int argc, const char* const* argv,
                                                   const Environment& environment);

// The process's own variables. Call before threads start.
Environment CurrentEnvironment();

// The configuration table of docs/reference.md, which config_test compares with it.
std::string ConfigReferenceMarkdown();

}  // namespace mokv
