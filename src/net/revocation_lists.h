// RevocationLists: whom the authorities do not vouch for any more, as their lists (RFC 5280, section
// 5) in one file say. Whether a certificate is on a list is asked with the certificate that signed
// it: two authorities of one name are told apart by their keys.
//
// What is asked of lists is little: an authority need not have one, and one that should have been
// renewed counts as it is, since it still says who was revoked.
//
// Threads: immutable once read; thread-safe.
// Errors:  INVALID_ARGUMENT naming the file.
// Internal to net/; others use tls.h.
#pragma once

#include <absl/status/statusor.h>
#include <openssl/x509.h>

#include <string>
#include <vector>

#include "net/certificates.h"

namespace mokv::net {

class RevocationLists {
 public:
  // None.
  RevocationLists() = default;
  // All in the PEM file `path`. One that none of `authorities` has signed is kept, with a warning: it
  // counts once a certificate comes with its signer, an authority below one of them. Errors: all are
  // such, or one says only a part: a list of changes, or one of some certificates or some reasons.
  static absl::StatusOr<RevocationLists> Read(const std::string& path,
                                              const std::vector<X509Ptr>& authorities);

  // Whether the newest list of the certificate's signer has it; the newest of each place, if the list
  // is published in parts.
  bool Revokes(X509& certificate, X509& signer) const;

  // What people should see to, now: lists that are late, and those of unknown signers.
  std::vector<std::string> Warnings() const;

 private:
  struct List {
    CrlPtr list;
    X509Ptr signer;  // Null: none that is known.

    bool IsSignedBy(X509& authority) const;
  };

  std::string path_;
  std::vector<List> lists_;  // The newest first.
};

}  // namespace mokv::net
