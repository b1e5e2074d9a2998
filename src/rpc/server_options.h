// ServerOptions: the limits of a server, and its patience.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

#include "base/clock.h"

namespace mokv::rpc {

struct ServerOptions {
  // A larger request is RESOURCE_EXHAUSTED, as gRPC has it; 4 MiB is what gRPC's own servers take.
  uint64_t message_bytes_max = uint64_t{4} << 20;
  // A call that would answer with a larger message is RESOURCE_EXHAUSTED. gRPC's own servers have no
  // limit here: clients have. It is at most what a message's prefix can say.
  uint64_t response_message_bytes_max = UINT32_MAX;
  // Calls in progress on one connection; further ones wait at the client (HTTP/2, 5.1.2).
  uint32_t calls_per_connection_max = 1024;
  // Requests in assembly on one connection; the call that passes it is RESOURCE_EXHAUSTED.
  uint64_t assembly_bytes_max = uint64_t{64} << 20;
  // Messages of streams that wait on one connection until their handlers have room, before the client
  // has to wait with all of its calls.
  size_t held_bytes_max = size_t{64} << 20;
  // Answers that wait on one connection for its client to take them; see AnswerBudget. As much as 128 KiB
  // for each of its calls: clients that read meet it with many large answers at once only.
  uint64_t answer_bytes_max = uint64_t{128} << 20;
  // Header bytes of one call; gRPC's usual limit is 8 KiB.
  size_t header_bytes_max = size_t{16} << 10;
  // A call whose client sends or takes nothing for so long while the server waits for it, or so little
  // (kProgressBytes) that it never ends, is ended. So is a connection whose headers take so long.
  Duration stall_timeout = std::chrono::seconds(60);
  // A client that has sent nothing for `keepalive_idle` is sent a PING; it must send something
  // within `keepalive_timeout`, or its connection is closed with all its calls.
  Duration keepalive_idle = std::chrono::seconds(60);
  Duration keepalive_timeout = std::chrono::seconds(20);
  // How often a client may send a PING, as gRPC's servers limit it, between answers: one that comes
  // earlier is a strike, and one strike more than `ping_strikes_max` ends the connection with GOAWAY
  // `too_many_pings`. gRPC's servers want five minutes, two hours when no call is open, and so lose
  // clients that watch their link closely. Half of the ten seconds that gRPC's clients keep at least
  // lets them all live, however unevenly their PINGs arrive. Zero: no limit.
  Duration ping_interval_min = std::chrono::seconds(5);
  Duration ping_interval_min_without_calls = std::chrono::seconds(5);
  int ping_strikes_max = 2;
  // A connection that has had no call for `connection_idle_max`, or is older than
  // `connection_age_max` give or take a tenth, is told to go away and closed when its calls are over,
  // at the latest after `connection_grace`. Zero: it may stay. Connections that come anew find servers
  // that were added, and names that have moved.
  Duration connection_idle_max{0};
  Duration connection_age_max{0};
  Duration connection_grace = std::chrono::seconds(60);
  // How long a client has to notice that the server, or its connection, is going away.
  Duration goaway_notice = std::chrono::seconds(1);
  // The clock of deadlines, stalled calls and silent clients. It must outlive the server.
  const Clock* clock = &SystemClock();
};

}  // namespace mokv::rpc
