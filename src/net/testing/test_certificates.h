// Keys and certificates for tests, made on the spot in a directory that goes away again.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "net/tls.h"

namespace mokv::net {

class TestCertificates {
 public:
  enum class Key { kP256, kEd25519, kRsa2048, kRsa4096 };
  struct Options {
    std::string common_name;  // With any bytes.
    // Behind the first. An empty common name, and none of these: the certificate has none.
    std::vector<std::string> more_common_names;
    std::string signed_by;  // Of an authority: the one above it. Empty: itself.
    // Subject alternative name as OpenSSL writes it: `DNS:node1,IP:127.0.0.1`. Empty: none.
    std::string names = "DNS:localhost,IP:127.0.0.1";
    // Seconds from now.
    long valid_from = -3600;
    long valid_until = 3600;
    Key key = Key::kP256;
  };

  TestCertificates();
  ~TestCertificates();

  const std::string& directory() const { return directory_; }
  std::string Path(const std::string& file) const { return directory_ + "/" + file; }

  // NAME.pem and NAME-key.pem: a certificate authority.
  void MakeCa(const std::string& name) { MakeCa(name, {.common_name = name}); }
  void MakeCa(const std::string& name, const Options& options);
  // Another certificate for the key of the authority `name`, in the place of the first.
  void RenewCa(const std::string& name, const Options& options);
  // NAME.pem and NAME-key.pem, signed by the authority `ca`.
  void Make(const std::string& name, const std::string& ca, const Options& options);
  // The same key again, behind a pass phrase.
  void EncryptKey(const std::string& name, const std::string& encrypted_name);
  // LIST.pem: the authority's list of those that are not to be believed any more.
  struct ListOptions {
    std::vector<std::string> revoked;  // Names of certificates.
    // Seconds from now.
    long valid_from = -3600;
    long valid_until = 3600;
    // What a part of a list says of itself.
    std::string place;  // A URI.
    bool of_users_only = false;
    bool of_changes_only = false;
    bool has_unknown_part = false;
    bool has_unreadable_place = false;
  };
  void MakeRevocationList(const std::string& list, const std::string& ca,
                          const ListOptions& options);
  // Moves one certificate, with its key, into the place of another, as by two renamed files.
  void Replace(const std::string& name, const std::string& with);
  std::string ReadText(const std::string& file) const;
  void WriteText(const std::string& file, const std::string& text);

  TlsFiles Files(const std::string& name, const std::string& ca) const {
    return {.certificate_file = Path(name + ".pem"),
            .key_file = Path(name + "-key.pem"),
            .ca_file = Path(ca + ".pem"),
            .crl_file = ""};
  }

 private:
  class Impl;
  std::string directory_;
  std::unique_ptr<Impl> impl_;
};

}  // namespace mokv::net
