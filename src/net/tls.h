// TLS contexts: what a node presents, and whom it believes. TLS 1.2 or newer; both sides present a
// certificate (unless TlsFiles says otherwise), and a client's must name exactly one subject
// (net/certificates.h). Clients may resume a session of TLS 1.3 with the server's context that they
// began it with; that skips no check (net/session_tickets.h). Our own clients do not.
//
// Threads: immutable once made; thread-safe.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

struct ssl_ctx_st;
struct ssl_st;

namespace mokv::net {

class RevocationLists;

struct TlsFiles {
  // PEM, leaf first, intermediates after it. A client that has neither of these two presents none.
  std::string certificate_file;
  std::string key_file;
  std::string ca_file;  // Whom the other side must be signed by.
  // Whom of these not to believe any more; empty: there is no list. An authority need not have one,
  // and one that should have been renewed counts as it is, with a warning.
  std::string crl_file;
  // A server for everybody: it asks clients for no certificate, and reads neither of the two above.
  bool any_client = false;
};

class TlsContext {
 public:
  // Both read the files at once and check them: INVALID_ARGUMENT naming the file that is missing,
  // does not parse, has expired or is not valid yet, or whose key is another certificate's.
  //
  // `alpn_protocols` are those that the server takes (it picks the client's first that it knows;
  // none in common ends the handshake) or that the client offers.
  //
  // `in_use` is the context that the new one will replace, if any. Its own certificate may have
  // expired by now: that is no reason to do without the rest of the files.
  static absl::StatusOr<std::shared_ptr<const TlsContext>> ForServer(
      const TlsFiles& files, const std::vector<std::string>& alpn_protocols,
      const TlsContext* in_use = nullptr);
  static absl::StatusOr<std::shared_ptr<const TlsContext>> ForClient(
      const TlsFiles& files, const std::vector<std::string>& alpn_protocols,
      const TlsContext* in_use = nullptr);

  ~TlsContext();

  // Whether the other side of an established connection, which another context has believed, or this
  // one before, is believed by this one now. UNAUTHENTICATED says why not. Otherwise: until when, as
  // PeerValidUntil has it.
  absl::StatusOr<int64_t> VerifyAgain(const ssl_st* ssl) const;

  // What people should see to, now: an own certificate that has expired, lists that are late.
  std::vector<std::string> Warnings() const;

  ssl_ctx_st* get() const { return context_; }
  bool is_server() const { return is_server_; }

 private:
  TlsContext(bool is_server, std::vector<std::string> alpn_protocols);

  absl::Status Load(const TlsFiles& files, const TlsContext* in_use);
  void SetDefaults();
  absl::Status LoadOwn(const TlsFiles& files, const TlsContext* in_use);
  absl::Status LoadTrusted(const TlsFiles& files);
  absl::Status SetAlpn();

  ssl_ctx_st* context_;
  bool is_server_;
  bool any_client_ = false;  // TlsFiles::any_client.
  std::vector<std::string> alpn_protocols_;
  std::string certificate_file_;
  std::unique_ptr<const RevocationLists> revoked_;  // Null: no list.
};

// INVALID_ARGUMENT, naming the files, unless at least one of the certificates was signed by the CA:
// a CA that signed none of a node's own certificates is nearly always the wrong file.
absl::Status CheckSignedByCa(const std::string& ca_file,
                             const std::vector<std::string>& certificate_files);

// Common name of the certificate in a file. INVALID_ARGUMENT naming the file when there is none.
absl::StatusOr<std::string> CertificateCommonName(const std::string& certificate_file);

// Why a handshake on this thread did not believe the other side, by OpenSSL's number.
std::string VerificationText(long error);

// What OpenSSL says about the last error on this thread; clears it.
std::string TakeOpenSslError();

// Common name of the verified certificate of the other side; empty when there is none.
std::string PeerCommonName(const ssl_st* ssl);

// When the first certificate of the chain that was verified ends, from the other side's own to that of
// the authority: seconds since 1970. Of a resumed session: that of its beginning. Nothing when none was
// verified.
std::optional<int64_t> PeerValidUntil(const ssl_st* ssl);

}  // namespace mokv::net
