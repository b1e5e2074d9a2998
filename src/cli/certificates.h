// Makes the certificates, keys and policy files that a cluster starts with: what `make gencert`,
// `mokvctl cert` and `mokvctl keygen` do.
//
// Threads: thread-safe; two processes that fill one directory at the same time cannot overwrite
//          each other's files, but one of them may fail.
// Files:   PEM; private keys are unencrypted PKCS#8 (ECDSA on P-256) with mode 0600. A file appears
//          whole or not at all, and one that is there is never changed or replaced.
// Errors:  FailedPrecondition naming the file when what is there does not fit together (a key
//          without its certificate, a certificate of another CA, an expired one); InvalidArgument
//          for a name or host that cannot stand in a certificate; else what the file system said.
#pragma once

#include <absl/status/statusor.h>

#include <string>
#include <string_view>
#include <vector>

namespace mokv {

struct CertificateOptions {
  std::string directory;  // Created with mode 0700 if missing.
  // DNS names and IP addresses of the server, besides `localhost`, `127.0.0.1` and `::1`: the
  // machine's own name and what the user adds.
  std::vector<std::string> server_hosts;
};

struct CertificateReport {
  struct FileReport {
    std::string path;
    bool made = false;  // False: it was there, and was kept.
    std::string note;   // What the user should know about a kept file; mostly empty.
  };
  std::vector<FileReport> files;  // In the order in which they were looked at.
};

// Makes what is missing of a CA, `server`, `peer` (CN mokv-peer), `root-client` (CN root),
// `nobody-client` (CN nobody), `model.conf` and `policy.csv`.
absl::StatusOr<CertificateReport> InitCertificates(const CertificateOptions& options);

// `NAME-client.pem` and `NAME-client-key.pem` with CN `name`, signed by the CA in `directory`.
absl::StatusOr<CertificateReport> MakeClientCertificate(const std::string& directory,
                                                        const std::string& name);

// `NAME.pem` and `NAME-key.pem` for a server that is reached under `hosts` (at least one).
absl::StatusOr<CertificateReport> MakeServerCertificate(const std::string& directory,
                                                        const std::string& name,
                                                        const std::vector<std::string>& hosts);

// Base64 of 32 random bytes, for `serf-encrypt-key` and keyrings.
absl::StatusOr<std::string> NewGossipKey();

// The machine's name, as a server certificate would carry it; empty when there is none.
std::string MachineHostName();

}  // namespace mokv
