// Keys and X.509 certificates on OpenSSL, in memory only; private to the certificate tools.
//
// Threads: a KeyPair is confined to one thread.
// Errors:  Internal with OpenSSL's own words when it fails; FailedPrecondition and InvalidArgument
//          as each function says. OpenSSL's error queue is empty afterwards.
#pragma once

#include <absl/status/statusor.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace mokv::pki {

// A certificate with its private key.
class KeyPair {
 public:
  // InvalidArgument when a text is not PEM of its kind or the two do not belong together.
  static absl::StatusOr<KeyPair> FromPem(std::string_view certificate_pem,
                                         std::string_view key_pem);

  KeyPair(KeyPair&&) noexcept;
  KeyPair& operator=(KeyPair&&) noexcept;
  ~KeyPair();

  absl::StatusOr<std::string> CertificatePem() const;
  absl::StatusOr<std::string> KeyPem() const;

  std::string CommonName() const;
  bool IsCa() const;
  bool IsSignedBy(const KeyPair& ca) const;
  bool IsExpired() const;
  std::string ExpiryText() const;
  // Whether a client that dials `host` would take this certificate for it.
  bool Covers(const std::string& host) const;

 private:
  struct Impl;
  friend absl::StatusOr<KeyPair> NewCa(const std::string& common_name);
  friend absl::StatusOr<KeyPair> NewLeaf(const struct LeafSpec& spec, const KeyPair& ca);
  explicit KeyPair(std::unique_ptr<Impl> impl);

  std::unique_ptr<Impl> impl_;
};

struct LeafSpec {
  std::string common_name;
  bool is_server = false;          // May answer as a server.
  bool is_client = false;          // May call as a client.
  std::vector<std::string> hosts;  // DNS names and IP addresses; checked with CheckHost before.
};

// A new self-signed CA for ten years, that signs leaves only.
absl::StatusOr<KeyPair> NewCa(const std::string& common_name);

// A new key, certified by `ca` for 825 days: the most that Apple's TLS takes.
absl::StatusOr<KeyPair> NewLeaf(const LeafSpec& spec, const KeyPair& ca);

// InvalidArgument unless `host` is an IP address, a DNS name or a wildcard of one
// (`*.example.com`).
absl::Status CheckHost(const std::string& host);

}  // namespace mokv::pki
