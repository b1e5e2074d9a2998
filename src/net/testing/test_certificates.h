// Keys and certificates for tests, made on the spot in a directory that goes away again.
#pragma once

#include <memory>
#include <string>

#include "net/tls.h"

namespace mokv::net {

class TestCertificates {
 public:
  struct Options {
    std::string common_name;
    // Subject alternative name as OpenSSL writes it: `DNS:node1,IP:127.0.0.1`. Empty: none.
    std::string names = "DNS:localhost,IP:127.0.0.1";
    // Seconds from now.
    long valid_from = -3600;
    long valid_until = 3600;
  };

  TestCertificates();
  ~TestCertificates();

  const std::string& directory() const { return directory_; }
  std::string Path(const std::string& file) const { return directory_ + "/" + file; }

  // NAME.pem and NAME-key.pem: a certificate authority.
  void MakeCa(const std::string& name);
  // NAME.pem and NAME-key.pem, signed by the authority `ca`.
  void Make(const std::string& name, const std::string& ca, const Options& options);
  // The same key again, behind a pass phrase.
  void EncryptKey(const std::string& name, const std::string& encrypted_name);
  void WriteText(const std::string& file, const std::string& text);

  TlsFiles Files(const std::string& name, const std::string& ca) const {
    return {Path(name + ".pem"), Path(name + "-key.pem"), Path(ca + ".pem")};
  }

 private:
  class Impl;
  std::string directory_;
  std::unique_ptr<Impl> impl_;
};

}  // namespace mokv::net
