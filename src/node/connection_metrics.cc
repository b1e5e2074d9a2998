#include "node/connection_metrics.h"

#include <string>
#include <string_view>

namespace mokv {

void WriteConnectionMetrics(telemetry::MetricsWriter& writer, const rpc::ServerStats& rpc,
                            const net::ListenerStats& listener) {
  writer.Gauge("mokv_rpc_connections", "Connections that are open.",
               static_cast<double>(rpc.connections_open));
  writer.Gauge("mokv_rpc_calls_in_progress", "Calls that have no answer yet.",
               static_cast<double>(rpc.calls_open));
  writer.Counter("mokv_rpc_connections_total", "Connections that were served.",
                 rpc.connections_total);
  writer.Counter("mokv_rpc_streams_stalled_total",
                 "Calls that were ended because their client made no progress.",
                 rpc.streams_stalled);
  writer.Counter("mokv_rpc_connections_silent_total",
                 "Connections closed because their client answered no PING.",
                 rpc.connections_silent);
  writer.Counter("mokv_rpc_connections_distrusted_total",
                 "Connections closed because their client's certificate is not believed any more.",
                 rpc.connections_distrusted);
  writer.Counter("mokv_rpc_connections_retired_total",
                 "Connections that were told to go away because they were idle or old.",
                 rpc.connections_retired);
  writer.Counter(
      "mokv_rpc_answers_refused_total",
      "Calls whose answer was too large beside those that their client had not read yet.",
      rpc.answers_refused);
  writer.Counter("mokv_rpc_accepts_failed_total",
                 "Times that no connection could be accepted: no descriptors were left.",
                 listener.accepts_failed);
  for (const auto& [kind, count] : rpc.floods.get()) {
    writer.Counter("mokv_rpc_floods_total",
                   "Connections closed because their client sent too much of something, by what.",
                   count, {{"kind", kind}});
  }
  constexpr std::string_view kRefused = "mokv_rpc_connections_refused_total";
  constexpr std::string_view kRefusedHelp = "Connections that were not served, by reason.";
  const auto refused = [&](std::string_view reason, uint64_t count) {
    writer.Counter(kRefused, kRefusedHelp, count, {{"reason", std::string(reason)}});
  };
  refused("broken_http2", rpc.connections_broken);
  refused("too_many", listener.refused_full);
  refused("tls_handshake", listener.handshakes_failed);
  refused("handshake_timeout", listener.handshakes_timed_out);
  refused("handshakes_crowded_out", listener.handshakes_crowded_out);
  refused("no_descriptors", listener.turned_away);
  refused("unknown_protocol", listener.protocols_unknown);
  refused("closed_early", listener.closed_early);
}

}  // namespace mokv
