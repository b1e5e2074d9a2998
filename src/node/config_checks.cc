// What must hold between keys. Each check returns the one line that tells a user what to change.
#include <unistd.h>

#include <array>
#include <cerrno>

#include "base/json.h"
#include "base/status.h"
#include "node/config_keys.h"

namespace mokv {
namespace {

class Checker {
 public:
  Checker(const Config& config, const GivenValues& given) : config_(config), given_(given) {}

  absl::Status CheckAll() const {
    MOKV_RETURN_IF_ERROR(CheckAddresses());
    MOKV_RETURN_IF_ERROR(CheckPorts());
    MOKV_RETURN_IF_ERROR(CheckTls());
    MOKV_RETURN_IF_ERROR(CheckAcl());
    MOKV_RETURN_IF_ERROR(CheckRest());
    return CheckFiles();
  }

 private:
  // Where the winning value of a key came from.
  std::string Where(std::string_view key) const {
    const auto found = given_.find(key);
    return found == given_.end() ? "default" : found->second.where;
  }

  absl::Status CheckAddresses() const {
    if (IsWildcardHost(config_.advertise_addr.host) && given_.contains("advertise-addr")) {
      return InvalidArgument("{}: advertise-addr is {}, expected an address that others can dial",
                             Where("advertise-addr"),
                             JsonString(config_.advertise_addr.ToString()));
    }
    if (IsWildcardHost(config_.bind_addr.host) && !given_.contains("advertise-addr")) {
      return InvalidArgument(
          "{}: bind-addr is {}, a wildcard that others cannot dial; set "
          "advertise-addr too",
          Where("bind-addr"), JsonString(config_.bind_addr.ToString()));
    }
    return absl::OkStatus();
  }

  absl::Status CheckPorts() const {
    struct NamedPort {
      std::string_view key;
      uint16_t port;
    };
    const std::array<NamedPort, 3> ports = {{{"bind-addr", config_.bind_addr.port},
                                             {"rpc-port", config_.rpc_port},
                                             {"metrics-port", config_.metrics_port}}};
    for (size_t i = 0; i < ports.size(); ++i) {
      for (size_t j = 0; j < i; ++j) {
        if (ports[i].port != ports[j].port) continue;
        return InvalidArgument("{}: {} uses port {}, which {} ({}) uses too; give each its own",
                               Where(ports[i].key), ports[i].key, ports[i].port, ports[j].key,
                               Where(ports[j].key));
      }
    }
    return absl::OkStatus();
  }

  // The keys of `names` whose value is empty, for people to read.
  std::string Missing(std::initializer_list<std::string_view> names) const {
    std::string missing;
    for (const std::string_view name : names) {
      if (!ValueOf(name).empty()) continue;
      if (!missing.empty()) missing += ", ";
      missing += name;
    }
    return missing;
  }

  // The first of `names` whose value is not empty.
  std::optional<std::string_view> FirstSet(std::initializer_list<std::string_view> names) const {
    for (const std::string_view name : names) {
      if (!ValueOf(name).empty()) return name;
    }
    return std::nullopt;
  }

  const std::string& ValueOf(std::string_view name) const {
    return config_.*FindConfigKey(name)->type.readable_file;
  }

  absl::Status CheckTls() const {
    const auto server = {std::string_view("server-tls-cert-file"),
                         std::string_view("server-tls-key-file"),
                         std::string_view("server-tls-ca-file")};
    const auto peer = {std::string_view("peer-tls-cert-file"),
                       std::string_view("peer-tls-key-file"), std::string_view("peer-tls-ca-file")};
    if (config_.insecure) {
      for (const auto& names : {server, peer}) {
        const std::optional<std::string_view> set = FirstSet(names);
        if (!set.has_value()) continue;
        return InvalidArgument("{}: {} is set, yet insecure is true ({}); keep one of the two",
                               Where(*set), *set, Where("insecure"));
      }
      return absl::OkStatus();
    }
    const std::string missing = Missing(server);
    if (!missing.empty()) {
      const std::optional<std::string_view> set = FirstSet(server);
      return InvalidArgument(
          "{}: {} not set: a node needs its certificate, key and CA "
          "(`make gencert` makes them), or `insecure: true` to run without TLS",
          set.has_value() ? Where(*set) : Where("config-file"), missing);
    }
    const std::optional<std::string_view> set = FirstSet(peer);
    const std::string missing_peer = Missing(peer);
    if (set.has_value() && !missing_peer.empty()) {
      return InvalidArgument("{}: {} is set, so {} must be set too", Where(*set), *set,
                             missing_peer);
    }
    return absl::OkStatus();
  }

  absl::Status CheckAcl() const {
    const auto acl = {std::string_view("acl-model-file"), std::string_view("acl-policy-file")};
    const std::optional<std::string_view> set = FirstSet(acl);
    if (!set.has_value()) return absl::OkStatus();
    if (config_.insecure) {
      return InvalidArgument(
          "{}: {} is set, yet insecure is true ({}); without TLS nobody is "
          "authenticated, so there is nobody to allow anything",
          Where(*set), *set, Where("insecure"));
    }
    const std::string missing = Missing(acl);
    if (missing.empty()) return absl::OkStatus();
    return InvalidArgument("{}: {} is set, so {} must be set too", Where(*set), *set, missing);
  }

  absl::Status CheckRest() const {
    if (!config_.serf_encrypt_key.empty() && !config_.serf_keyring_file.empty()) {
      return InvalidArgument(
          "{}: serf-keyring-file is set, and serf-encrypt-key ({}) too; keep "
          "one of the two",
          Where("serf-keyring-file"), Where("serf-encrypt-key"));
    }
    if (config_.election_timeout <= 2 * config_.heartbeat_interval) {
      const auto milliseconds = [](Duration duration) {
        return fmt::format("{}ms", duration / std::chrono::milliseconds(1));
      };
      return InvalidArgument(
          "{}: election-timeout is {}, expected more than twice "
          "heartbeat-interval, which is {} ({})",
          Where("election-timeout"), milliseconds(config_.election_timeout),
          milliseconds(config_.heartbeat_interval), Where("heartbeat-interval"));
    }
    return absl::OkStatus();
  }

  absl::Status CheckFiles() const {
    for (const auto& [name, given] : given_) {
      if (given.key->type.readable_file == nullptr) continue;
      const std::string& path = ValueOf(name);
      if (path.empty() || access(path.c_str(), R_OK) == 0) continue;
      const int error = errno;
      const bool is_certificate = name.find("-tls-") != std::string_view::npos;
      return ValueError(given,
                        fmt::format("expected {}: {}{}", given.key->type.expected,
                                    MessageOf(ErrnoStatus(error, "open")),
                                    is_certificate ? " (`make gencert` makes certificates)" : ""));
    }
    return absl::OkStatus();
  }

  const Config& config_;
  const GivenValues& given_;
};

}  // namespace

absl::Status CheckConfig(const Config& config, const GivenValues& given) {
  return Checker(config, given).CheckAll();
}

}  // namespace mokv
