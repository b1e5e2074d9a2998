#include "node/check_start.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>

#include "base/file.h"
#include "base/status.h"
#include "net/io_pool.h"
#include "net/listener.h"
#include "node/authorizer_setup.h"
#include "node/gossip_keys.h"
#include "node/identity.h"
#include "node/tls_setup.h"
#include "serf/shell/agent.h"
#include "serf/shell/socket_address.h"
#include "telemetry/audit_log.h"

namespace mokv {
namespace {

absl::Status CheckPort(net::IoPool& pool, std::string_view setting, const std::string& host,
                       uint16_t port) {
  net::Listener::Options options;
  options.address = {host, port};
  const auto listener = net::Listener::Bind(pool, options);
  if (listener.ok()) return absl::OkStatus();
  return absl::Status(listener.status().code(),
                      fmt::format("{} {}: {}", setting, port, MessageOf(listener.status())));
}

// The last directory of the path that exists: the start makes the others in it.
absl::Status CheckCanHold(const std::filesystem::path& directory) {
  std::filesystem::path nearest = std::filesystem::absolute(directory);
  struct stat found {};
  int error = 0;
  while (stat(nearest.c_str(), &found) != 0 && (error = errno) == ENOENT) {
    nearest = nearest.parent_path();
    error = 0;
  }
  if (error == 0 && !S_ISDIR(found.st_mode)) error = ENOTDIR;
  if (error == 0 && access(nearest.c_str(), W_OK | X_OK) != 0) error = errno;
  if (error == 0) return absl::OkStatus();
  return ErrnoStatus(
      error, fmt::format("data-dir {}: cannot write to {}", directory.string(), nearest.string()));
}

// What exists must belong to this node; what does not exist the start makes.
absl::Status CheckDataDirectory(FileSystem& files, const Config& config) {
  MOKV_RETURN_IF_ERROR(CheckCanHold(config.data_dir));
  if (absl::IsNotFound(files.ReadFile(config.data_dir + "/identity").status())) {
    return absl::OkStatus();
  }
  return LoadOrMakeIdentity(files, config.data_dir, config.node_name).status();
}

// Whether a process holds the lock of data-dir. The kernel's list is read: trying the lock could
// keep out a node that starts at this moment.
bool IsRunning(const Config& config) {
  struct stat lock {};
  if (stat((config.data_dir + "/lock").c_str(), &lock) != 0) return false;
  const std::string inode = fmt::format(":{} ", lock.st_ino);
  std::ifstream locks("/proc/locks");
  for (std::string line; std::getline(locks, line);) {
    if (line.find("FLOCK") != std::string::npos && line.find(inode) != std::string::npos) {
      return true;
    }
  }
  return false;
}

// Whether the audit log's directory is the data-dir, which a start makes.
bool WillBeMade(const Config& config) {
  const std::filesystem::path directory =
      std::filesystem::path(config.audit_log_file).parent_path();
  std::error_code ignored;
  return directory == std::filesystem::path(config.data_dir) &&
         !std::filesystem::exists(directory, ignored);
}

// Gossip takes its port for UDP and for TCP.
absl::Status CheckGossipPort(net::IoPool& pool, const Config& config) {
  serf::Agent::Options options;
  options.node_name = config.node_name;
  MOKV_ASSIGN_OR_RETURN(const serf::Endpoint bound, serf::Resolve(config.bind_addr));
  MOKV_ASSIGN_OR_RETURN(options.bind_address, net::ParseHostPort(serf::ToText(bound)));
  if (config.advertise_addr != config.bind_addr) options.advertise_address = config.advertise_addr;
  const auto agent = serf::Agent::Create(pool.thread(0), std::move(options), {});
  if (agent.ok()) return absl::OkStatus();
  return absl::Status(agent.status().code(),
                      fmt::format("bind-addr: {}", MessageOf(agent.status())));
}

}  // namespace

absl::StatusOr<std::set<std::string>> CheckStart(const Config& config) {
  FileSystem& files = PosixFileSystem();
  MOKV_ASSIGN_OR_RETURN(const TlsSetup tls, SetUpTls(config));
  MOKV_ASSIGN_OR_RETURN(const AccessTexts texts, ReadAccessFiles(config));
  MOKV_RETURN_IF_ERROR(CompileAccess(config, texts).status());
  MOKV_RETURN_IF_ERROR(LoadGossipKeys(config).status());
  if (!config.audit_log_file.empty() && !WillBeMade(config)) {
    MOKV_RETURN_IF_ERROR(telemetry::AuditLog::CheckPath(config.audit_log_file));
  }
  MOKV_RETURN_IF_ERROR(CheckDataDirectory(files, config));
  // A node runs with this configuration, and has its ports.
  std::set<std::string> warnings = WarningsOf(tls);
  if (IsRunning(config)) return warnings;
  net::IoPool pool(1);
  const std::string& host = config.bind_addr.host;
  MOKV_RETURN_IF_ERROR(CheckPort(pool, "rpc-port", host, config.rpc_port));
  MOKV_RETURN_IF_ERROR(CheckPort(pool, "metrics-port", host, config.metrics_port));
  MOKV_RETURN_IF_ERROR(CheckGossipPort(pool, config));
  return warnings;
}

}  // namespace mokv
