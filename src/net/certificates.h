// Certificates and revocation lists in PEM files, and whom a certificate names. Pure functions of
// the files. Internal to net/; others use tls.h.
//
// Errors: INVALID_ARGUMENT naming the file.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <openssl/x509.h>

#include <memory>
#include <string>
#include <vector>

namespace mokv::net {

struct X509Deleter {
  void operator()(X509* certificate) const { X509_free(certificate); }
  void operator()(X509_CRL* list) const { X509_CRL_free(list); }
};
using X509Ptr = std::unique_ptr<X509, X509Deleter>;
using CrlPtr = std::unique_ptr<X509_CRL, X509Deleter>;

// A longer one is nobody's name: X.520 allows 64 characters.
inline constexpr size_t kCommonNameBytesMax = 256;

// All in the file, at least one.
absl::StatusOr<std::vector<X509Ptr>> ReadCertificates(const std::string& path);
// Expired, or not valid yet.
absl::Status CheckValidity(const std::string& path, const X509& certificate);
// All in the file, at least one, whoever has signed them.
absl::StatusOr<std::vector<CrlPtr>> ReadLists(const std::string& path);
// As people read it.
std::string TimeText(const ASN1_TIME* time);

// The one common name. INVALID_ARGUMENT, without a file, when there is none, an empty one, more than
// one (which of them would it be?), one with control characters (NUL among them), or one that is too
// long. In UTF-8, whatever the certificate has it in.
absl::StatusOr<std::string> CommonNameOf(const X509& certificate);

}  // namespace mokv::net
