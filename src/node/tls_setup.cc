#include "node/tls_setup.h"

#include "base/status.h"
#include "peer/frame.h"

namespace mokv {

namespace {

// Errors name the file; these say in which settings it stands.
template <typename T>
absl::StatusOr<T> Naming(std::string_view settings, absl::StatusOr<T> result) {
  if (result.ok()) return result;
  return absl::Status(result.status().code(),
                      fmt::format("{}: {}", settings, MessageOf(result.status())));
}

}  // namespace

absl::StatusOr<TlsSetup> SetUpTls(const Config& config, const TlsSetup* in_use) {
  TlsSetup setup{.peer_allowed_names = config.peer_allowed_names};
  if (config.insecure) return setup;
  const net::TlsFiles server{config.server_tls_cert_file, config.server_tls_key_file,
                             config.server_tls_ca_file, config.server_tls_crl_file};
  MOKV_ASSIGN_OR_RETURN(
      setup.server, Naming("server-tls-*-file",
                           net::TlsContext::ForServer(server, {"h2", std::string(peer::kAlpn)},
                                                      in_use ? in_use->server.get() : nullptr)));
  std::vector<std::string> own_certificates = {config.server_tls_cert_file};
  if (!config.peer_tls_cert_file.empty()) {
    const net::TlsFiles peer{
        config.peer_tls_cert_file, config.peer_tls_key_file, config.peer_tls_ca_file,
        // The lists are those of the authorities in one file.
        config.peer_tls_ca_file == config.server_tls_ca_file ? config.server_tls_crl_file : ""};
    MOKV_ASSIGN_OR_RETURN(
        setup.peer, Naming("peer-tls-*-file",
                           net::TlsContext::ForClient(peer, {std::string(peer::kAlpn)},
                                                      in_use ? in_use->peer.get() : nullptr)));
    own_certificates.push_back(config.peer_tls_cert_file);
    MOKV_ASSIGN_OR_RETURN(const std::string name,
                          net::CertificateCommonName(config.peer_tls_cert_file));
    if (setup.peer_allowed_names.empty()) setup.peer_allowed_names = {name};
    if (config.peer_tls_cert_file.ends_with("-client.pem")) {
      setup.warnings.push_back(
          fmt::format("peer-tls-cert-file {} is an ordinary client's certificate: whoever has it "
                      "may speak Raft; mokvctl cert init makes one for nodes alone",
                      config.peer_tls_cert_file));
    }
  }
  MOKV_RETURN_IF_ERROR(net::CheckSignedByCa(config.server_tls_ca_file, own_certificates));
  return setup;
}

std::set<std::string> WarningsOf(const TlsSetup& setup) {
  std::set<std::string> warnings(setup.warnings.begin(), setup.warnings.end());
  for (const net::TlsContext* context : {setup.server.get(), setup.peer.get()}) {
    if (context == nullptr) continue;
    for (std::string& warning : context->Warnings()) warnings.insert(std::move(warning));
  }
  return warnings;
}

}  // namespace mokv
