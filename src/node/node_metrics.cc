#include "node/node_metrics.h"

#include "node/node.h"
#include "telemetry/process_metrics.h"

namespace mokv {
namespace {

void WriteConnections(telemetry::MetricsWriter& writer, const NodeParts& parts) {
  const rpc::ServerStats& rpc = parts.server->stats();
  const net::ListenerStats& listener = parts.listener->stats();
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
  constexpr std::string_view kRefused = "mokv_rpc_connections_refused_total";
  constexpr std::string_view kRefusedHelp = "Connections that were not served, by reason.";
  const auto refused = [&](std::string_view reason, uint64_t count) {
    writer.Counter(kRefused, kRefusedHelp, count, {{"reason", std::string(reason)}});
  };
  refused("broken_http2", rpc.connections_broken);
  refused("too_many", listener.refused_full);
  refused("tls_handshake", listener.handshakes_failed);
  refused("handshake_timeout", listener.handshakes_timed_out);
  refused("unknown_protocol", listener.protocols_unknown);
  refused("closed_early", listener.closed_early);
}

void WriteReplica(telemetry::MetricsWriter& writer, const NodeParts& parts) {
  const replica::Status status = parts.replica->status();
  const bool leads = status.role == replica::Role::kLeader;
  writer.Gauge("mokv_raft_has_leader", "Whether this node knows a leader.", status.has_leader);
  writer.Gauge("mokv_raft_is_leader", "Whether this node is the leader.", leads);
  writer.Gauge("mokv_raft_term", "Raft term.", static_cast<double>(status.term.value()));
  writer.Gauge("mokv_raft_commit_index", "Last log index known to be committed.",
               static_cast<double>(status.commit_index.value()));
  writer.Gauge("mokv_raft_applied_index", "Last log index applied to the store.",
               static_cast<double>(status.applied_index.value()));
  writer.Gauge("mokv_proposals_pending", "Writes that wait for their outcome.",
               static_cast<double>(status.proposals_pending));
  writer.Counter("mokv_proposals_applied_total", "Writes proposed here that were applied.",
                 status.proposals_applied);
  writer.Counter("mokv_proposals_refused_total", "Writes that were refused without being tried.",
                 status.proposals_refused);
  writer.Counter("mokv_log_batches_total", "Batches that went to the log.", status.batches);
  writer.Histogram("mokv_log_fsync_duration_seconds", "Time of one fdatasync of the log.",
                   parts.sync_times->Snapshot());
}

void WriteLog(telemetry::MetricsWriter& writer, const NodeParts& parts) {
  const wal::Log* log = parts.log->load();
  if (log == nullptr) return;
  const wal::Stats stats = log->stats();
  writer.Counter("mokv_log_written_bytes_total", "Bytes of batches written to the log.",
                 stats.bytes);
  writer.Counter("mokv_log_filled_bytes_total",
                 "Zero bytes written besides, to prepare new files of the log.",
                 stats.filled_bytes);
  writer.Gauge("mokv_log_segments", "Files that the log consists of.",
               static_cast<double>(stats.segments));
  writer.Gauge("mokv_log_segments_ready", "Files that are prepared for what comes.",
               static_cast<double>(stats.segments_ready));
  writer.Gauge("mokv_log_cut_bytes",
               "Bytes at the end of the log that did not verify at the last start and were cut "
               "off: a batch that was not written whole, or was damaged after it was.",
               static_cast<double>(stats.cut_bytes));
  writer.Gauge("mokv_log_queued_bytes", "Bytes given to the log that are not durable yet.",
               static_cast<double>(stats.queued_bytes));
  writer.Gauge("mokv_log_oldest_unsynced_seconds",
               "How long the oldest write has been waiting to be durable.",
               std::chrono::duration<double>(stats.oldest_unsynced).count());
  writer.Gauge("mokv_log_out_of_space",
               "Whether there is no space for another file of the log; writes that do not fit into "
               "the prepared ones are refused.",
               stats.out_of_space);
}

void WriteStore(telemetry::MetricsWriter& writer, const NodeParts& parts) {
  const store::Stats stats = parts.store->stats();
  writer.Gauge("mokv_store_keys", "Keys in the store.", static_cast<double>(stats.keys));
  writer.Gauge("mokv_store_data_bytes", "Keys and values in the store.",
               static_cast<double>(stats.data_bytes));
  writer.Gauge("mokv_store_memory_bytes",
               "Memory that the store has allocated, older versions held by reads included.",
               static_cast<double>(parts.store->memory_bytes()));
  writer.Gauge("mokv_store_revision", "Revision of the store.",
               static_cast<double>(parts.store->revision().value()));
}

}  // namespace

void RegisterNodeMetrics(telemetry::MetricsPage& page, NodeParts parts) {
  page.Register([parts](telemetry::MetricsWriter& writer) {
    writer.Info("mokv_build_info", "Version of this node.",
                {{"version", std::string(Version())}, {"node", parts.node_name}});
    WriteConnections(writer, parts);
    WriteReplica(writer, parts);
    WriteLog(writer, parts);
    WriteStore(writer, parts);
    parts.calls->WriteMetrics(writer);
    writer.Counter("mokv_request_log_dropped_total",
                   "Lines that the request log dropped because they came too fast.",
                   parts.request_log->dropped());
    telemetry::WriteProcessMetrics(writer);
  });
}

}  // namespace mokv
