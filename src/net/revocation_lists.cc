#include "net/revocation_lists.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <utility>

#include "base/status.h"
#include "net/tls.h"

namespace mokv::net {
namespace {

std::string NameText(const X509_NAME* name) {
  const std::unique_ptr<char, void (*)(char*)> text(X509_NAME_oneline(name, nullptr, 0),
                                                    [](char* owned) { OPENSSL_free(owned); });
  return text.get();
}

bool Signed(X509& authority, X509_CRL& list) {
  const bool did =
      X509_NAME_cmp(X509_get_subject_name(&authority), X509_CRL_get_issuer(&list)) == 0 &&
      X509_CRL_verify(&list, X509_get0_pubkey(&authority)) == 1;
  ERR_clear_error();
  return did;
}

// A list may be published in parts, each at its own place (RFC 5280, section 5.2.5).
bool SayTheSamePlace(const X509_CRL& a, const X509_CRL& b) {
  const auto place = [](const X509_CRL& list) -> const ASN1_OCTET_STRING* {
    const int at = X509_CRL_get_ext_by_NID(&list, NID_issuing_distribution_point, -1);
    return at < 0 ? nullptr : X509_EXTENSION_get_data(X509_CRL_get_ext(&list, at));
  };
  const ASN1_OCTET_STRING* of_a = place(a);
  const ASN1_OCTET_STRING* of_b = place(b);
  if (of_a == nullptr || of_b == nullptr) return of_a == of_b;
  return ASN1_OCTET_STRING_cmp(of_a, of_b) == 0;
}

// What the list's distribution point, or the lack of one, leaves out. Empty: nothing.
std::string_view LeftOutByPlace(const X509_CRL& list) {
  int is_critical = 0;
  const std::unique_ptr<ISSUING_DIST_POINT, decltype(&ISSUING_DIST_POINT_free)> place(
      static_cast<ISSUING_DIST_POINT*>(
          X509_CRL_get_ext_d2i(&list, NID_issuing_distribution_point, &is_critical, nullptr)),
      ISSUING_DIST_POINT_free);
  if (place == nullptr) {
    ERR_clear_error();
    return is_critical == -1 ? "" : "says in a way that cannot be read what it is for";
  }
  if (place->onlysomereasons != nullptr) return "is for some reasons only";
  if (place->onlyuser > 0 || place->onlyCA > 0 || place->onlyattr > 0) {
    return "is for some kinds of certificates only";
  }
  return place->indirectCRL > 0 ? "tells of other issuers' certificates" : "";
}

// Why the list does not say all that its reader must know. Empty: it does.
std::string_view WhyPartial(const X509_CRL& list) {
  for (int i = 0; i < X509_CRL_get_ext_count(&list); ++i) {
    X509_EXTENSION* extension = X509_CRL_get_ext(&list, i);
    const int kind = OBJ_obj2nid(X509_EXTENSION_get_object(extension));
    if (kind == NID_delta_crl) return "lists changes to another list only";
    if (kind == NID_issuing_distribution_point || kind == NID_crl_number ||
        kind == NID_authority_key_identifier) {
      continue;
    }
    if (X509_EXTENSION_get_critical(extension) != 0) return "has a critical part that is unknown";
  }
  return LeftOutByPlace(list);
}

}  // namespace

absl::StatusOr<RevocationLists> RevocationLists::Read(const std::string& path,
                                                      const std::vector<X509Ptr>& authorities) {
  MOKV_ASSIGN_OR_RETURN(std::vector<CrlPtr> found, ReadLists(path));
  RevocationLists lists;
  lists.path_ = path;
  bool has_one_of_ours = false;
  for (CrlPtr& list : found) {
    if (const std::string_view why = WhyPartial(*list); !why.empty()) {
      return InvalidArgument("{}: the revocation list of {} {}; give the whole list", path,
                             NameText(X509_CRL_get_issuer(list.get())), why);
    }
    const auto signer =
        std::find_if(authorities.begin(), authorities.end(),
                     [&](const X509Ptr& authority) { return Signed(*authority, *list); });
    List& added = lists.lists_.emplace_back(List{.list = std::move(list), .signer = nullptr});
    if (signer == authorities.end()) continue;
    has_one_of_ours = true;
    X509_up_ref(signer->get());
    added.signer.reset(signer->get());
  }
  if (!has_one_of_ours) {
    return InvalidArgument(
        "{} holds no revocation list that a CA of ours has signed (it has one of {}); if that is "
        "an "
        "authority below one of them, put its certificate into the CA file, too",
        path, NameText(X509_CRL_get_issuer(lists.lists_.front().list.get())));
  }
  std::stable_sort(lists.lists_.begin(), lists.lists_.end(), [](const List& a, const List& b) {
    return ASN1_TIME_compare(X509_CRL_get0_lastUpdate(a.list.get()),
                             X509_CRL_get0_lastUpdate(b.list.get())) > 0;
  });
  return lists;
}

bool RevocationLists::List::IsSignedBy(X509& authority) const {
  if (signer == nullptr) return Signed(authority, *list);
  // Without a look at the whole list.
  return EVP_PKEY_eq(X509_get0_pubkey(signer.get()), X509_get0_pubkey(&authority)) == 1;
}

bool RevocationLists::Revokes(X509& certificate, X509& signer) const {
  std::vector<const X509_CRL*> asked;
  for (const List& list : lists_) {
    if (!list.IsSignedBy(signer)) continue;
    if (std::any_of(asked.begin(), asked.end(),
                    [&](const X509_CRL* newer) { return SayTheSamePlace(*newer, *list.list); })) {
      continue;
    }
    X509_REVOKED* entry = nullptr;  // The list's own.
    if (X509_CRL_get0_by_cert(list.list.get(), &entry, &certificate) == 1) return true;
    asked.push_back(list.list.get());
  }
  return false;
}

std::vector<std::string> RevocationLists::Warnings() const {
  std::vector<std::string> warnings;
  for (const List& list : lists_) {
    const std::string issuer = NameText(X509_CRL_get_issuer(list.list.get()));
    if (list.signer == nullptr) {
      warnings.push_back(fmt::format(
          "no CA of ours has signed the revocation list of {} in {}; it counts only for "
          "certificates that come with that of their authority",
          issuer, path_));
    }
    const ASN1_TIME* next = X509_CRL_get0_nextUpdate(list.list.get());
    if (next == nullptr || X509_cmp_current_time(next) > 0) continue;
    warnings.push_back(
        fmt::format("the revocation list of {} in {} should have been renewed by {}; it counts as "
                    "it is",
                    issuer, path_, TimeText(next)));
  }
  return warnings;
}

}  // namespace mokv::net
