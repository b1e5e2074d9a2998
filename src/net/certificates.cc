#include "net/certificates.h"

#include <openssl/err.h>
#include <openssl/pem.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string_view>

#include "base/status.h"
#include "net/tls.h"

namespace mokv::net {
namespace {

struct FileCloser {
  void operator()(FILE* file) const { std::fclose(file); }
};
using FilePtr = std::unique_ptr<FILE, FileCloser>;

// What stands behind the last block is a comment; what is in a block must parse.
bool IsEndOfFile() {
  const unsigned long error = ERR_peek_last_error();
  return ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE;
}

}  // namespace

std::string TimeText(const ASN1_TIME* time) {
  const std::unique_ptr<BIO, decltype(&BIO_free_all)> bio(BIO_new(BIO_s_mem()), BIO_free_all);
  ASN1_TIME_print(bio.get(), time);
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return std::string(data, static_cast<size_t>(size));
}

absl::StatusOr<std::vector<X509Ptr>> ReadCertificates(const std::string& path) {
  const FilePtr file(std::fopen(path.c_str(), "re"));
  if (file == nullptr) {
    return InvalidArgument("cannot read certificate {}: {}", path, std::strerror(errno));
  }
  std::vector<X509Ptr> found;
  ERR_clear_error();
  while (X509Ptr next{PEM_read_X509(file.get(), nullptr, nullptr, nullptr)}) {
    found.push_back(std::move(next));
  }
  if (found.empty() || !IsEndOfFile()) {
    const std::string_view what = found.empty() ? "holds no" : "holds a damaged";
    return InvalidArgument("{} {} PEM certificate ({})", path, what, TakeOpenSslError());
  }
  ERR_clear_error();
  return found;
}

absl::Status CheckValidity(const std::string& path, const X509& certificate) {
  const ASN1_TIME* not_before = X509_get0_notBefore(&certificate);
  const ASN1_TIME* not_after = X509_get0_notAfter(&certificate);
  if (X509_cmp_current_time(not_after) < 0) {
    return InvalidArgument("certificate {} expired on {}", path, TimeText(not_after));
  }
  if (X509_cmp_current_time(not_before) > 0) {
    return InvalidArgument("certificate {} is not valid before {}", path, TimeText(not_before));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<CrlPtr>> ReadLists(const std::string& path) {
  const FilePtr file(std::fopen(path.c_str(), "re"));
  if (file == nullptr) {
    return InvalidArgument("cannot read revocation list {}: {}", path, std::strerror(errno));
  }
  std::vector<CrlPtr> found;
  ERR_clear_error();
  while (CrlPtr next{PEM_read_X509_CRL(file.get(), nullptr, nullptr, nullptr)}) {
    found.push_back(std::move(next));
  }
  if (found.empty() || !IsEndOfFile()) {
    const std::string_view what = found.empty() ? "holds no" : "holds a damaged";
    return InvalidArgument("{} {} PEM revocation list ({})", path, what, TakeOpenSslError());
  }
  ERR_clear_error();
  return found;
}

absl::StatusOr<std::string> CommonNameOf(const X509& certificate) {
  const X509_NAME* subject = X509_get_subject_name(&certificate);
  const int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
  if (at < 0) return absl::InvalidArgumentError("it has no common name");
  if (X509_NAME_get_index_by_NID(subject, NID_commonName, at) >= 0) {
    return absl::InvalidArgumentError("it has more than one common name");
  }
  unsigned char* bytes = nullptr;
  const int size =
      ASN1_STRING_to_UTF8(&bytes, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
  const std::unique_ptr<unsigned char, void (*)(unsigned char*)> owner(
      bytes, [](unsigned char* text) { OPENSSL_free(text); });
  if (size < 0) {
    ERR_clear_error();
    return absl::InvalidArgumentError("its common name is not a text");
  }
  std::string name(reinterpret_cast<const char*>(bytes), static_cast<size_t>(size));
  if (name.empty()) return absl::InvalidArgumentError("its common name is empty");
  if (name.size() > kCommonNameBytesMax) {
    return InvalidArgument("its common name has {} bytes; at most {} are taken", name.size(),
                           kCommonNameBytesMax);
  }
  const auto is_control = [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte < 0x20 || byte == 0x7f;
  };
  if (std::any_of(name.begin(), name.end(), is_control)) {
    return absl::InvalidArgumentError("its common name has control characters");
  }
  return name;
}

}  // namespace mokv::net
