#include "node/node_metrics.h"

#include "base/logging.h"
#include "node/connection_metrics.h"
#include "node/node.h"
#include "telemetry/process_metrics.h"

namespace mokv {
namespace {

void WriteSecurity(telemetry::MetricsWriter& writer, const Security& security) {
  for (const auto& [what, counts] : security.reloads()) {
    const std::string name(what);
    writer.Counter("mokv_reloads_total", "How often changed files were read again, by result.",
                   counts.done, {{"what", name}, {"result", "ok"}});
    writer.Counter("mokv_reloads_total", "How often changed files were read again, by result.",
                   counts.failed, {{"what", name}, {"result", "failed"}});
    writer.Gauge(
        "mokv_reload_failing",
        "Whether files were changed and cannot be used, so that the old ones stay in force.",
        counts.failure.empty() ? 0 : 1, {{"what", name}});
  }
  if (const telemetry::AuditLog* audit = security.audit(); audit != nullptr) {
    writer.Counter("mokv_audit_log_lines_total", "Lines that were written to the audit log.",
                   audit->written());
    writer.Counter("mokv_audit_log_dropped_total",
                   "Lines that the audit log lacks: they came too fast, or could not be written.",
                   audit->dropped());
  }
}

double Seconds(Duration duration) { return std::chrono::duration<double>(duration).count(); }

// Of entries up to `through`; at least 1 as long as there is a loss.
uint64_t Missing(Index through, Index have) {
  if (through == Index()) return 0;
  return through > have ? through - have : 1;
}

void WriteRaft(telemetry::MetricsWriter& writer, const replica::Report& status) {
  const replica::Counters& counters = status.counters;
  const auto gauge = [&](std::string_view name, std::string_view help, uint64_t value) {
    writer.Gauge(name, help, static_cast<double>(value));
  };
  gauge("mokv_raft_has_leader", "Whether this node knows a leader.", !status.leader.empty());
  gauge("mokv_raft_is_leader", "Whether this node is the leader.",
        status.role == raft::Role::kLeader);
  gauge("mokv_raft_is_learner", "Whether this node is a member without a vote.", status.is_learner);
  gauge("mokv_raft_term", "Raft term.", status.term.value());
  gauge("mokv_raft_last_index", "Last index of the log.", status.last_index.value());
  gauge("mokv_raft_commit_index", "Last log index known to be committed.",
        status.commit_index.value());
  gauge("mokv_raft_applied_index", "Last log index applied to the store.",
        status.applied_index.value());
  gauge("mokv_raft_acknowledged_entries_lost",
        "Entries that this node had acknowledged and lacks, until it has been sent them again; it "
        "does not serve meanwhile.",
        Missing(status.lost_through, status.last_index));
  writer.Counter("mokv_raft_leader_changes_total",
                 "Times that another leader, or one after none, became known here.",
                 counters.leader_changes);
  writer.Counter("mokv_raft_elections_total", "Elections that this node stood for.",
                 counters.elections);
  writer.Counter("mokv_raft_elections_won_total", "Elections that this node won.",
                 counters.leaderships);
  writer.Counter("mokv_raft_disk_stalls_total",
                 "Times that this node handed leadership over because its disk did not answer.",
                 counters.disk_stalls);
  writer.Counter("mokv_raft_appends_rejected_total",
                 "Appends that a follower of this leader refused because logs differed.",
                 counters.appends_rejected);
  writer.Counter("mokv_raft_read_rounds_total",
                 "Rounds of heartbeats that confirmed linearizable reads.", counters.read_rounds);
  writer.Counter("mokv_raft_messages_dropped_total", "Messages of other nodes that were dropped.",
                 counters.messages_malformed, {{"reason", "malformed"}});
  writer.Counter("mokv_raft_messages_dropped_total", "Messages of other nodes that were dropped.",
                 counters.messages_misaddressed, {{"reason", "misaddressed"}});
  for (const replica::PeerProgress& peer : status.peers) {
    const telemetry::Labels labels = {{"peer", peer.name}};
    writer.Gauge("mokv_raft_peer_lag_entries",
                 "Entries of the leader's log that are not known to be on that member.",
                 static_cast<double>(peer.lag_entries), labels);
    writer.Gauge("mokv_raft_peer_acknowledged_entries_lost",
                 "Entries that member had acknowledged and lacks, until it has acknowledged them "
                 "again.",
                 static_cast<double>(Missing(peer.lost_through, peer.match)), labels);
    writer.Gauge("mokv_raft_peer_alive", "Whether the leader has heard of that member lately.",
                 peer.alive, labels);
  }
}

void WriteSnapshots(telemetry::MetricsWriter& writer, const replica::SnapshotReport& snapshots) {
  writer.Counter("mokv_snapshots_taken_total", "Snapshots that this node has taken of its state.",
                 snapshots.taken);
  writer.Counter("mokv_snapshots_failed_total",
                 "Snapshots that could not be written; each is tried again, and the log is kept.",
                 snapshots.failed);
  writer.Counter("mokv_snapshots_installed_total",
                 "Snapshots of other nodes that took the place of this node's state.",
                 snapshots.installed);
  writer.Gauge("mokv_snapshot_last_index",
               "Log index at which the newest snapshot was taken; 0: there is none.",
               static_cast<double>(snapshots.last.value()));
  writer.Gauge("mokv_snapshot_bytes", "Size of the newest snapshot.",
               static_cast<double>(snapshots.bytes));
  writer.Gauge("mokv_snapshot_fetch_bytes",
               "Size of the snapshot that is being fetched from another node; 0: none is, or its "
               "size is not known yet.",
               static_cast<double>(snapshots.fetching_bytes));
  writer.Gauge("mokv_snapshot_fetched_bytes", "Of that, what has come so far.",
               static_cast<double>(snapshots.fetching_bytes > 0 ? snapshots.fetched_bytes : 0));
  writer.Counter("mokv_snapshot_fetch_failures_total",
                 "Snapshots of other nodes that were given up, or begun again.",
                 snapshots.fetches_failed);
  writer.Counter("mokv_snapshot_sent_bytes_total",
                 "Bytes of this node's snapshots that were given to other nodes.",
                 snapshots.sent_bytes);
  writer.Counter("mokv_snapshot_peers_outrun_total",
                 "Times that the log was cut although another node still needed it, which then "
                 "needs a snapshot.",
                 snapshots.peers_outrun);
  writer.Counter("mokv_log_cuts_total", "Times that the log was cut behind a snapshot.",
                 snapshots.log_cuts);
}

void WriteReplica(telemetry::MetricsWriter& writer, const NodeParts& parts) {
  const replica::Report status = parts.replica->report();
  const replica::Counters& counters = status.counters;
  WriteRaft(writer, status);
  writer.Gauge("mokv_proposals_pending", "Writes that wait for their outcome.",
               static_cast<double>(counters.proposals_pending));
  writer.Counter("mokv_proposals_applied_total",
                 "Writes that became entries here and were applied.", counters.proposals_applied);
  writer.Counter("mokv_proposals_failed_total", "Writes that were not applied, by what is known.",
                 counters.proposals_refused, {{"outcome", "not_done"}});
  writer.Counter("mokv_proposals_failed_total", "Writes that were not applied, by what is known.",
                 counters.proposals_unknown, {{"outcome", "unknown"}});
  writer.Counter("mokv_proposals_forwarded_total", "Writes that were passed on to the leader.",
                 counters.forwarded);
  writer.Gauge("mokv_proposals_forwarded_pending", "Of those, without an answer.",
               static_cast<double>(counters.forwarded_pending));
  writer.Counter("mokv_proposals_received_total", "Writes that other nodes have passed on to this.",
                 counters.forwarded_here);
  writer.Gauge("mokv_reads_waiting", "Reads that wait for a leader's word, or a revision.",
               static_cast<double>(counters.reads_waiting));
  writer.Counter("mokv_read_groups_total",
                 "Questions for a read index, each for all reads that had come by then.",
                 counters.read_groups);
  writer.Counter("mokv_log_batches_total", "Batches that went to the log.", counters.batches);
  writer.Counter("mokv_log_batch_entries_total", "Entries in these batches.",
                 counters.batch_entries);
  writer.Histogram("mokv_log_fsync_duration_seconds", "Time of one fdatasync of the log.",
                   parts.sync_times->Snapshot());
  WriteSnapshots(writer, status.snapshots);
}

void WritePeers(telemetry::MetricsWriter& writer, const NodeParts& parts) {
  const peer::Stats stats = parts.peers->stats();
  writer.Gauge("mokv_peer_connections", "Established connections with other nodes.",
               static_cast<double>(stats.open));
  writer.Counter("mokv_peer_received_bytes_total", "Bytes from other nodes.", stats.bytes_in);
  writer.Counter("mokv_peer_sent_bytes_total", "Bytes to other nodes.", stats.bytes_out);
  writer.Gauge("mokv_peer_snapshot_connections",
               "Connections by which snapshots are read, which are not counted among the others.",
               static_cast<double>(stats.snapshots.open));
  writer.Counter("mokv_peer_snapshot_received_bytes_total", "Bytes of snapshots of other nodes.",
                 stats.snapshots.bytes_in);
  writer.Counter("mokv_peer_snapshot_sent_bytes_total", "Bytes of snapshots sent to other nodes.",
                 stats.snapshots.bytes_out);
  writer.Counter("mokv_peer_dials_failed_total",
                 "Other nodes that could not be reached, or refused.", stats.dials_failed);
  writer.Counter("mokv_peer_frames_malformed_total",
                 "Frames that closed their connection because they could not be read.",
                 stats.malformed);
  for (const auto& [reason, count] : stats.refused) {
    writer.Counter("mokv_peer_connections_refused_total",
                   "Connections of other nodes that were refused, by reason.", count,
                   {{"reason", reason}});
  }
  const auto dropped = [&](std::string_view reason, uint64_t count) {
    writer.Counter("mokv_peer_messages_dropped_total", "Messages that were not sent, by reason.",
                   count, {{"reason", std::string(reason)}});
  };
  dropped("unconnected", stats.dropped.unconnected);
  dropped("full", stats.dropped.full);
  dropped("too_large", stats.dropped.too_large);
  for (const peer::PeerStats& peer : stats.peers) {
    const telemetry::Labels labels = {{"peer", peer.name}};
    writer.Gauge("mokv_peer_connected", "Whether there is a connection with that node.",
                 peer.is_connected_out || peer.is_connected_in, labels);
    writer.Gauge("mokv_peer_round_trip_smoothed_seconds",
                 "Round trip to that node: a moving average of one ping a second.",
                 Seconds(peer.round_trips.smoothed), labels);
    writer.CounterOfSeconds("mokv_peer_round_trip_seconds_total", "Sum of all round trips.",
                            Seconds(peer.round_trips.sum), labels);
    writer.Counter("mokv_peer_round_trips_total", "Pings that were answered.",
                   peer.round_trips.count, labels);
  }
}

void WriteSerf(telemetry::MetricsWriter& writer, const NodeParts& parts) {
  const serf::Stats stats = parts.gossip->stats();
  const auto labelled = [&](bool counter, std::string_view name, std::string_view help,
                            std::string_view label, std::string_view value, uint64_t number) {
    const telemetry::Labels labels = {{std::string(label), std::string(value)}};
    if (counter) return writer.Counter(name, help, number, labels);
    writer.Gauge(name, help, static_cast<double>(number), labels);
  };
  const auto members = [&](std::string_view state, uint64_t number) {
    labelled(false, "mokv_serf_members", "Members of the gossip, by state.", "state", state,
             number);
  };
  members("alive", stats.members_alive);
  members("leaving", stats.members_leaving);
  members("left", stats.members_left);
  members("failed", stats.members_failed);
  const auto queue = [&](std::string_view name, uint64_t number) {
    labelled(false, "mokv_serf_queue_length", "Messages that wait to be gossiped.", "queue", name,
             number);
  };
  queue("membership", stats.queued_membership);
  queue("intents", stats.queued_intents);
  queue("queries", stats.queued_queries);
  queue("events", stats.queued_events);
  writer.Gauge("mokv_serf_suspects", "Members that are suspected to have failed.",
               static_cast<double>(stats.members_suspect));
  writer.Gauge("mokv_serf_awareness_score", "How ill this node takes itself to be; 0: healthy.",
               static_cast<double>(stats.awareness_score));
  for (size_t i = 0; i < serf::kDropReasons; ++i) {
    labelled(true, "mokv_serf_dropped_total", "Packets and messages that were dropped, by reason.",
             "reason", NameOf(static_cast<serf::Drop>(i)), stats.dropped[i]);
  }
  writer.Counter("mokv_serf_packets_sent_total", "Packets sent.", stats.packets_sent);
  writer.Counter("mokv_serf_packets_received_total", "Packets received.", stats.packets_received);
  writer.Counter("mokv_serf_probes_total", "Members that were probed.", stats.probes);
  writer.Counter("mokv_serf_probes_failed_total", "Probes without an answer.", stats.probes_failed);
  writer.Counter("mokv_serf_suspicions_total", "Suspicions raised or taken over.",
                 stats.suspicions);
  writer.Counter("mokv_serf_refutations_total", "Times that this node had to say that it lives.",
                 stats.refutations);
  writer.Counter("mokv_serf_deaths_total", "Members that this node declared dead.", stats.deaths);
  writer.Counter("mokv_serf_name_conflicts_total", "Others that claimed a known name.",
                 stats.name_conflicts);
  writer.Counter("mokv_serf_push_pulls_total", "Exchanges of whole lists begun here.",
                 stats.push_pulls_begun);
  writer.Counter("mokv_serf_push_pulls_failed_total", "Of these, without success.",
                 stats.push_pulls_failed);
  writer.CounterOfSeconds("mokv_serf_push_pull_seconds_total", "Time of those that succeeded.",
                          static_cast<double>(stats.push_pull_time_ns) * 1e-9);
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
  writer.Gauge("mokv_log_disk_bytes",
               "Bytes of all files of the log: those that it consists of, and those that are "
               "prepared or kept for what comes.",
               static_cast<double>(stats.disk_bytes));
  writer.Gauge("mokv_log_first_index",
               "First index of the log; entries before it are in snapshots only.",
               static_cast<double>(parts.log_first_index->load(std::memory_order_relaxed)));
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
  const store::Stats stats = parts.machine->stats();
  writer.Gauge("mokv_store_keys", "Keys in the store.", static_cast<double>(stats.keys));
  writer.Gauge("mokv_store_data_bytes", "Keys and values in the store.",
               static_cast<double>(stats.data_bytes));
  writer.Gauge("mokv_store_memory_bytes",
               "Memory that the store has allocated, older versions held by reads included.",
               static_cast<double>(parts.machine->memory_bytes()));
  writer.Gauge("mokv_sessions", "Sessions of clients that are open.",
               static_cast<double>(parts.machine->sessions()));
  writer.Gauge("mokv_store_revision", "Revision of the store.",
               static_cast<double>(parts.machine->revision().value()));
}

}  // namespace

void RegisterNodeMetrics(telemetry::MetricsPage& page, NodeParts parts) {
  page.Register([parts](telemetry::MetricsWriter& writer) {
    writer.Info("mokv_build_info", "Version of this node.",
                {{"version", std::string(Version())}, {"node", parts.node_name}});
    WriteConnectionMetrics(writer, parts.server->stats(), parts.listener->stats());
    WriteSecurity(writer, *parts.security);
    WriteReplica(writer, parts);
    WritePeers(writer, parts);
    WriteSerf(writer, parts);
    WriteLog(writer, parts);
    WriteStore(writer, parts);
    parts.calls->WriteMetrics(writer);
    writer.Counter("mokv_request_log_dropped_total",
                   "Lines that the request log dropped because they came too fast.",
                   parts.request_log->dropped());
    writer.Counter("mokv_log_dropped_total",
                   "Lines of the log that were dropped because nobody read them in time.",
                   LogLinesDropped());
    telemetry::WriteProcessMetrics(writer);
  });
}

}  // namespace mokv
