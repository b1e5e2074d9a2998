// Session tickets: a client that comes back soon need not prove again what the same context has seen
// proved. They hold the client's certificate, sealed with keys that only the context has; the server
// keeps nothing (docs/decisions/0015-session-tickets.md).
//
// Invariant: a resumed connection has been checked as every other: by the same authorities and lists,
//            as no other context can read its tickets, and for time, here. What it was verified with
//            is known, so that it can be verified again: only clients without intermediates get a
//            ticket that counts, as tickets do not hold them.
// Internal to net/; others use tls.h.
#pragma once

#include <cstdint>
#include <optional>

struct ssl_ctx_st;
struct ssl_st;

namespace mokv::net {

// For a server's context, with keys of its own.
void AllowTickets(ssl_ctx_st* context);

// When the first certificate of the chain ends that was verified before the connection was resumed.
// Nothing: it was not resumed.
std::optional<int64_t> TicketValidUntil(const ssl_st* ssl);

}  // namespace mokv::net
