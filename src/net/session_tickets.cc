#include "net/session_tickets.h"

#include <openssl/rand.h>
#include <openssl/ssl.h>

#include <array>
#include <cstring>
#include <ctime>

#include "base/check.h"
#include "net/tls.h"

namespace mokv::net {
namespace {

// Long enough for who lost a connection; also bounds for how long what a thief has taken is of use.
constexpr long kTicketSeconds = 60 * 60;

// The client's certificate and that of the authority, which the context has.
constexpr int kChainMax = 2;

// What a ticket carries.
struct TicketData {
  int64_t valid_until = 0;  // The end of the client's certificate, or of one above it.
  int64_t handshake = 0;    // When the last full one was.
};

std::optional<TicketData> ReadData(SSL_SESSION* session) {
  void* data = nullptr;
  size_t size = 0;
  TicketData read;
  if (session == nullptr || SSL_SESSION_get0_ticket_appdata(session, &data, &size) != 1 ||
      size != sizeof(read)) {
    return std::nullopt;
  }
  std::memcpy(&read, data, sizeof(read));
  return read;
}

// Tickets of TLS 1.2 travel in clear and hold the secret of the very connection that they are given in:
// whoever learns their key, later, would read it.
int AllowForTls13Only(SSL* ssl, void*) {
  if (SSL_version(ssl) != TLS1_3_VERSION) SSL_set_options(ssl, SSL_OP_NO_TICKET);
  return 1;
}

// OpenSSL offers no way to give no ticket here; one without the data does not count.
int GiveTicket(SSL* ssl, void*) {
  if (SSL_session_reused(ssl) == 1) return 1;  // It still has its data.
  // What the client sent to be verified, beyond its own, does not tell: many send the root, too.
  if (sk_X509_num(SSL_get0_verified_chain(ssl)) > kChainMax) return 1;
  const std::optional<int64_t> until = PeerValidUntil(ssl);
  if (!until.has_value()) return 1;
  const TicketData data{.valid_until = *until, .handshake = std::time(nullptr)};
  return SSL_SESSION_set1_ticket_appdata(SSL_get_session(ssl), &data, sizeof(data));
}

SSL_TICKET_RETURN TakeTicket(SSL* ssl, SSL_SESSION* session, const unsigned char*, size_t,
                             SSL_TICKET_STATUS status, void*) {
  if (status != SSL_TICKET_SUCCESS && status != SSL_TICKET_SUCCESS_RENEW) {
    return SSL_TICKET_RETURN_IGNORE_RENEW;
  }
  const std::optional<TicketData> data = ReadData(session);
  const int64_t now = std::time(nullptr);
  // Each resumption gives a new ticket; a chain of them must not last for ever.
  const long lasts = SSL_CTX_get_timeout(SSL_get_SSL_CTX(ssl));
  const bool counts = SSL_version(ssl) == TLS1_3_VERSION && data.has_value() &&
                      now < data->valid_until && now < data->handshake + lasts;
  return counts ? SSL_TICKET_RETURN_USE_RENEW : SSL_TICKET_RETURN_IGNORE_RENEW;
}

}  // namespace

void AllowTickets(ssl_ctx_st* context) {
  // OpenSSL makes the keys, new ones for each context. This, in each ticket, is a second lock.
  std::array<unsigned char, SSL_MAX_SID_CTX_LENGTH> name{};
  MOKV_CHECK_EQ(RAND_bytes(name.data(), static_cast<int>(name.size())), 1);
  MOKV_CHECK_EQ(
      SSL_CTX_set_session_id_context(context, name.data(), static_cast<unsigned>(name.size())), 1);
  SSL_CTX_clear_options(context, SSL_OP_NO_TICKET);
  SSL_CTX_set_num_tickets(context, 1);
  SSL_CTX_set_timeout(context, kTicketSeconds);
  SSL_CTX_set_cert_cb(context, AllowForTls13Only, nullptr);
  SSL_CTX_set_session_ticket_cb(context, GiveTicket, TakeTicket, nullptr);
}

std::optional<int64_t> TicketValidUntil(const ssl_st* ssl) {
  if (SSL_session_reused(ssl) != 1) return std::nullopt;
  const std::optional<TicketData> data = ReadData(SSL_get_session(ssl));
  return data.has_value() ? std::optional(data->valid_until) : std::nullopt;
}

}  // namespace mokv::net
