#include "cli/certificates.h"

#include <absl/strings/escaping.h>
#include <fcntl.h>
#include <openssl/rand.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>

#include "base/file.h"
#include "base/random.h"
#include "base/status.h"
#include "cli/pki.h"
#include "cli/policy_files.h"

namespace mokv {
namespace {

constexpr mode_t kSecretMode = 0600;
constexpr mode_t kPublicMode = 0644;
constexpr size_t kGossipKeyBytes = 32;
constexpr size_t kNameBytesMax = 64;  // X.509's own limit of a common name.

bool Exists(const std::string& path) {
  struct stat info;
  return lstat(path.c_str(), &info) == 0;
}

absl::Status LastError(std::string_view what, const std::string& path) {
  const int error = errno;
  return ErrnoStatus(error, fmt::format("{} {}", what, path));
}

absl::Status WriteAndSync(int fd, std::string_view bytes, mode_t mode, const std::string& path) {
  while (!bytes.empty()) {
    const ssize_t written = write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return LastError("write", path);
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  // The umask may have taken bits from a public file's mode.
  if (fchmod(fd, mode) != 0) return LastError("change the mode of", path);
  if (fsync(fd) != 0) return LastError("sync", path);
  return absl::OkStatus();
}

// Unlike a rename, a link never replaces what another process put there meanwhile.
absl::Status WriteNewFile(const std::string& path, std::string_view bytes, mode_t mode) {
  const std::string temporary = fmt::format("{}.{}.tmp", path, NewUniqueId());
  const int fd = open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, kSecretMode);
  if (fd < 0) return LastError("create", temporary);
  absl::Status status = WriteAndSync(fd, bytes, mode, temporary);
  if (close(fd) != 0 && status.ok()) status = LastError("close", temporary);
  if (status.ok() && link(temporary.c_str(), path.c_str()) != 0) status = LastError("make", path);
  unlink(temporary.c_str());
  return status;
}

// The certificates of one directory.
class Directory {
 public:
  explicit Directory(const std::string& path) : path_(path) {}

  absl::Status Create() {
    const bool is_new = !Exists(path_);
    MOKV_RETURN_IF_ERROR(PosixFileSystem().CreateDirectories(path_));
    if (is_new && chmod(path_.c_str(), 0700) != 0) return LastError("change the mode of", path_);
    return absl::OkStatus();
  }

  absl::Status LoadOrMakeCa() {
    MOKV_ASSIGN_OR_RETURN(ca_, Load("ca"));
    if (ca_.has_value()) return CheckCa();
    MOKV_ASSIGN_OR_RETURN(ca_, pki::NewCa("mokv CA"));
    return Save("ca", *ca_);
  }

  absl::Status LoadCa() {
    MOKV_ASSIGN_OR_RETURN(ca_, Load("ca"));
    if (ca_.has_value()) return CheckCa();
    return FailedPrecondition(
        "{} is not there; make a CA first, with `mokvctl cert init` or "
        "`make gencert`",
        PathOf("ca.pem"));
  }

  // `name.pem` and `name-key.pem`. Needs the CA.
  absl::Status LoadOrMakeLeaf(const std::string& name, const pki::LeafSpec& spec) {
    MOKV_ASSIGN_OR_RETURN(const std::optional<pki::KeyPair> kept, Load(name));
    if (kept.has_value()) return CheckLeaf(name, spec, *kept);
    MOKV_ASSIGN_OR_RETURN(const pki::KeyPair made, pki::NewLeaf(spec, *ca_));
    return Save(name, made);
  }

  absl::Status CopyIfMissing(const std::string& name, std::string_view text) {
    const std::string path = PathOf(name);
    if (Exists(path)) {
      Report(path, /*made=*/false);
      return absl::OkStatus();
    }
    MOKV_RETURN_IF_ERROR(WriteNewFile(path, text, kPublicMode));
    Report(path, /*made=*/true);
    return absl::OkStatus();
  }

  absl::StatusOr<CertificateReport> Finish() {
    MOKV_RETURN_IF_ERROR(PosixFileSystem().SyncDirectory(path_));
    return std::move(report_);
  }

 private:
  std::string PathOf(const std::string& file_name) const {
    return fmt::format("{}/{}", path_, file_name);
  }

  void Report(const std::string& path, bool made, std::string note = "") {
    report_.files.push_back({.path = path, .made = made, .note = std::move(note)});
  }

  // Nothing when neither file is there. One without the other is an error: a new key would not
  // match the certificate, which others may already hold.
  absl::StatusOr<std::optional<pki::KeyPair>> Load(const std::string& name) {
    const std::string certificate_path = PathOf(name + ".pem");
    const std::string key_path = PathOf(name + "-key.pem");
    const bool has_certificate = Exists(certificate_path);
    const bool has_key = Exists(key_path);
    if (!has_certificate && !has_key) return std::optional<pki::KeyPair>();
    if (has_certificate != has_key) {
      const std::string& there = has_key ? key_path : certificate_path;
      const std::string& missing = has_key ? certificate_path : key_path;
      return FailedPrecondition(
          "{} is there, but {} is not; bring it back, or remove the first to "
          "have both made anew",
          there, missing);
    }
    MOKV_ASSIGN_OR_RETURN(const std::string certificate,
                          PosixFileSystem().ReadFile(certificate_path));
    MOKV_ASSIGN_OR_RETURN(const std::string key, PosixFileSystem().ReadFile(key_path));
    absl::StatusOr<pki::KeyPair> pair = pki::KeyPair::FromPem(certificate, key);
    if (!pair.ok()) {
      return FailedPrecondition("{} and {}: {}", certificate_path, key_path,
                                MessageOf(pair.status()));
    }
    if (pair->IsExpired()) {
      return FailedPrecondition("{} expired on {}; remove it and {} to have both made anew",
                                certificate_path, pair->ExpiryText(), key_path);
    }
    return std::optional<pki::KeyPair>(*std::move(pair));
  }

  absl::Status CheckCa() {
    if (!ca_->IsCa()) {
      return FailedPrecondition("{} is not the certificate of a CA", PathOf("ca.pem"));
    }
    Report(PathOf("ca.pem"), /*made=*/false);
    Report(PathOf("ca-key.pem"), /*made=*/false);
    return absl::OkStatus();
  }

  absl::Status CheckLeaf(const std::string& name, const pki::LeafSpec& spec,
                         const pki::KeyPair& kept) {
    const std::string path = PathOf(name + ".pem");
    if (!kept.IsSignedBy(*ca_)) {
      return FailedPrecondition(
          "{} was not signed by {}; remove it and its key to have both made "
          "anew",
          path, PathOf("ca.pem"));
    }
    const bool is_subject = spec.is_client && !spec.is_server;  // Known to policies by its name.
    if (is_subject && kept.CommonName() != spec.common_name) {
      return FailedPrecondition("{} is there for \"{}\", not for \"{}\"", path, kept.CommonName(),
                                spec.common_name);
    }
    std::string uncovered;
    for (const std::string& host : spec.hosts) {
      if (!kept.Covers(host)) uncovered += (uncovered.empty() ? "" : ", ") + host;
    }
    Report(path, /*made=*/false, uncovered.empty() ? "" : "is not valid for " + uncovered);
    Report(PathOf(name + "-key.pem"), /*made=*/false);
    return absl::OkStatus();
  }

  absl::Status Save(const std::string& name, const pki::KeyPair& pair) {
    MOKV_ASSIGN_OR_RETURN(const std::string certificate, pair.CertificatePem());
    MOKV_ASSIGN_OR_RETURN(const std::string key, pair.KeyPem());
    const std::string certificate_path = PathOf(name + ".pem");
    const std::string key_path = PathOf(name + "-key.pem");
    MOKV_RETURN_IF_ERROR(WriteNewFile(key_path, key, kSecretMode));
    absl::Status status = WriteNewFile(certificate_path, certificate, kPublicMode);
    if (!status.ok()) {
      unlink(key_path.c_str());  // Made a moment ago; alone it would stand in the way for ever.
      return status;
    }
    Report(certificate_path, /*made=*/true);
    Report(key_path, /*made=*/true);
    return absl::OkStatus();
  }

  const std::string path_;
  std::optional<pki::KeyPair> ca_;
  CertificateReport report_;
};

// `name` becomes a subject of the policy and a part of a file's name; `x-key.pem` is the key of
// `x`.
absl::Status CheckName(const std::string& name) {
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-' || c == '@';
  };
  if (!name.empty() && name.size() <= kNameBytesMax && name[0] != '.' && name[0] != '-' &&
      !name.ends_with("-key") && std::all_of(name.begin(), name.end(), allowed)) {
    return absl::OkStatus();
  }
  return InvalidArgument(
      "\"{}\" cannot be the name of a certificate, expected 1 to {} letters, "
      "digits or any of . _ - @, not beginning with . or - nor ending in -key",
      name, kNameBytesMax);
}

// Without repetitions, in the order given.
absl::StatusOr<std::vector<std::string>> CheckedHosts(const std::vector<std::string>& hosts) {
  std::vector<std::string> checked;
  for (const std::string& host : hosts) {
    MOKV_RETURN_IF_ERROR(pki::CheckHost(host));
    if (std::find(checked.begin(), checked.end(), host) == checked.end()) checked.push_back(host);
  }
  return checked;
}

pki::LeafSpec Client(const std::string& name) {
  return {.common_name = name, .is_server = false, .is_client = true, .hosts = {}};
}

}  // namespace

absl::StatusOr<CertificateReport> InitCertificates(const CertificateOptions& options) {
  std::vector<std::string> hosts = {"localhost", "127.0.0.1", "::1"};
  hosts.insert(hosts.end(), options.server_hosts.begin(), options.server_hosts.end());
  MOKV_ASSIGN_OR_RETURN(hosts, CheckedHosts(hosts));
  const pki::LeafSpec server = {
      .common_name = "mokv-server", .is_server = true, .is_client = false, .hosts = hosts};
  const pki::LeafSpec peer = {
      .common_name = "mokv-peer", .is_server = true, .is_client = true, .hosts = {}};

  Directory directory(options.directory);
  MOKV_RETURN_IF_ERROR(directory.Create());
  MOKV_RETURN_IF_ERROR(directory.LoadOrMakeCa());
  MOKV_RETURN_IF_ERROR(directory.LoadOrMakeLeaf("server", server));
  MOKV_RETURN_IF_ERROR(directory.LoadOrMakeLeaf("peer", peer));
  MOKV_RETURN_IF_ERROR(directory.LoadOrMakeLeaf("root-client", Client("root")));
  MOKV_RETURN_IF_ERROR(directory.LoadOrMakeLeaf("nobody-client", Client("nobody")));
  MOKV_RETURN_IF_ERROR(directory.CopyIfMissing("model.conf", ShippedModel()));
  MOKV_RETURN_IF_ERROR(directory.CopyIfMissing("policy.csv", ShippedPolicy()));
  return directory.Finish();
}

absl::StatusOr<CertificateReport> MakeClientCertificate(const std::string& directory_path,
                                                        const std::string& name) {
  MOKV_RETURN_IF_ERROR(CheckName(name));
  Directory directory(directory_path);
  MOKV_RETURN_IF_ERROR(directory.LoadCa());
  MOKV_RETURN_IF_ERROR(directory.LoadOrMakeLeaf(name + "-client", Client(name)));
  return directory.Finish();
}

absl::StatusOr<CertificateReport> MakeServerCertificate(const std::string& directory_path,
                                                        const std::string& name,
                                                        const std::vector<std::string>& hosts) {
  MOKV_RETURN_IF_ERROR(CheckName(name));
  if (hosts.empty()) return InvalidArgument("a server certificate needs at least one host");
  MOKV_ASSIGN_OR_RETURN(std::vector<std::string> checked, CheckedHosts(hosts));
  if (name == "ca") return InvalidArgument("\"ca\" is the name of the CA's own certificate");
  Directory directory(directory_path);
  MOKV_RETURN_IF_ERROR(directory.LoadCa());
  MOKV_RETURN_IF_ERROR(directory.LoadOrMakeLeaf(
      name,
      {.common_name = name, .is_server = true, .is_client = false, .hosts = std::move(checked)}));
  return directory.Finish();
}

absl::StatusOr<std::string> NewGossipKey() {
  std::string bytes(kGossipKeyBytes, '\0');
  if (RAND_bytes(reinterpret_cast<unsigned char*>(bytes.data()), static_cast<int>(bytes.size())) !=
      1) {
    return MakeStatus(absl::StatusCode::kInternal, "no random bytes for a gossip key");
  }
  return absl::Base64Escape(absl::string_view(bytes.data(), bytes.size()));
}

std::string MachineHostName() {
  std::array<char, 256> name{};
  if (gethostname(name.data(), name.size() - 1) != 0) return "";
  return pki::CheckHost(name.data()).ok() ? name.data() : "";
}

}  // namespace mokv
