#include "node/check_start.h"

#include "base/file.h"
#include "base/status.h"
#include "net/io_pool.h"
#include "net/listener.h"
#include "node/authorizer_setup.h"
#include "node/gossip_keys.h"
#include "node/identity.h"
#include "node/tls_setup.h"

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

// What is there must belong to this node; what is not there is made by the start.
absl::Status CheckDataDirectory(FileSystem& files, const Config& config) {
  if (absl::IsNotFound(files.ReadFile(config.data_dir + "/identity").status())) {
    return absl::OkStatus();
  }
  return LoadOrMakeIdentity(files, config.data_dir, config.node_name).status();
}

bool IsRunning(FileSystem& files, const Config& config) {
  const std::string path = config.data_dir + "/lock";
  return files.ReadFile(path).ok() && !files.Lock(path).ok();
}

}  // namespace

absl::Status CheckStart(const Config& config) {
  FileSystem& files = PosixFileSystem();
  MOKV_RETURN_IF_ERROR(SetUpTls(config).status());
  MOKV_RETURN_IF_ERROR(LoadAuthorizer(config).status());
  MOKV_RETURN_IF_ERROR(LoadGossipKeys(config).status());
  MOKV_RETURN_IF_ERROR(CheckDataDirectory(files, config));
  // The node that runs with it has its ports.
  if (IsRunning(files, config)) return absl::OkStatus();
  net::IoPool pool(1);
  const std::string& host = config.bind_addr.host;
  MOKV_RETURN_IF_ERROR(CheckPort(pool, "rpc-port", host, config.rpc_port));
  MOKV_RETURN_IF_ERROR(CheckPort(pool, "metrics-port", host, config.metrics_port));
  return CheckPort(pool, "bind-addr", host, config.bind_addr.port);
}

}  // namespace mokv
