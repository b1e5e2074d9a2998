#include "peer/snapshot_connections.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/logging.h"
#include "base/status.h"
#include "peer/frame.h"
#include "peer/snapshot_codec.h"

namespace mokv::peer {
namespace {

// A question is a few numbers. An answer has one part of a snapshot besides.
constexpr FrameLimits kAskerLimits = kGreetingLimits;
constexpr FrameLimits kSourceLimits = {.message_bytes_max = kGreetingLimits.message_bytes_max,
                                       .attachment_bytes_max = replica::kSnapshotChunkBytesMax};
// Who asks hangs up when it has not asked for snapshot_idle. Who is asked waits longer, so that it
// does not hang up on a question that is under way.
constexpr int kIdleOfAskerTimes = 2;

}  // namespace

SnapshotConnections::SnapshotConnections(Context& context, replica::PeersHandler& handler,
                                         IsDuplicate is_duplicate)
    : context_(context), handler_(handler), is_duplicate_(std::move(is_duplicate)) {}

SnapshotConnections::~SnapshotConnections() { Stop(); }

void SnapshotConnections::Stop() {
  sources_.clear();
  askers_.clear();
  for (auto& [id, line] : lines_) {
    line.connection->Close();
    context_.thread.DeleteSoon(std::move(line.connection));
  }
  lines_.clear();
  context_.counters.snapshots_open = 0;
}

// Asking.

void SnapshotConnections::Want(const SnapshotSource& source) {
  Source& wanted = sources_[source.member.id];
  wanted.asked_at = context_.clock.Now();
  if (wanted.link == nullptr) {
    Link::Owner& owner = *this;
    wanted.link = std::make_unique<Link>(context_, source.member, Purpose::kSnapshots, owner);
  } else if (wanted.link->address() != source.member.rpc_address) {
    wanted.link->SetAddress(source.member.rpc_address);
  }
  wanted.link->SetHints(source.hints);
}

bool SnapshotConnections::IsConnected(raft::NodeId node) const {
  const auto source = sources_.find(node);
  return source != sources_.end() && source->second.line != replica::ConnectionId();
}

void SnapshotConnections::OnLinked(raft::NodeId node, std::unique_ptr<Connection> connection,
                                   Remote remote) {
  Source& source = sources_.at(node);
  MOKV_CHECK_EQ(source.line, replica::ConnectionId());
  if (is_duplicate_(remote)) {
    LogWarn("a second process of a node was met; it is asked for nothing",
            {{"name", remote.name}, {"address", connection->address()}});
    connection->Close();
    context_.thread.DeleteSoon(std::move(connection));
    return source.link->OnDisconnected();
  }
  source.line = Establish(std::move(connection), std::move(remote), true, kSourceLimits);
}

bool SnapshotConnections::SendRead(raft::NodeId to, const replica::SnapshotRead& read) {
  MOKV_CHECK(IsConnected(to));
  Source& source = sources_.at(to);
  source.asked_at = context_.clock.Now();
  Line& line = lines_.at(source.line);
  if (IsFull(line)) return false;
  proto::Frame frame;
  EncodeRead(read, *frame.mutable_snapshot_read());
  MOKV_CHECK(line.connection->Write(frame));
  line.connection->Flush();
  return true;
}

absl::Status SnapshotConnections::OnFrameOfSource(Line& line, const proto::Frame& frame,
                                                  std::string_view attachment) {
  if (frame.has_pong()) return absl::OkStatus();  // It has been heard; that is all.
  if (!frame.has_snapshot_chunk()) {
    return absl::InvalidArgumentError("no part of a snapshot on a connection for them");
  }
  MOKV_ASSIGN_OR_RETURN(replica::SnapshotChunk chunk,
                        DecodeChunk(frame.snapshot_chunk(), attachment));
  Counters::Add(context_.counters.snapshot_bytes_in, chunk.bytes.size());
  handler_.OnSnapshotChunk(line.remote.id, std::move(chunk));
  return absl::OkStatus();  // The line may be gone.
}

// Being asked.

bool SnapshotConnections::HasRoom(raft::NodeId node) const {
  return askers_.contains(node) || askers_.size() < context_.options.snapshot_incoming_max;
}

void SnapshotConnections::OnWelcome(std::unique_ptr<Connection> connection, Remote remote) {
  replica::ConnectionId& asker = askers_[remote.id];
  const replica::ConnectionId older = asker;
  asker = Establish(std::move(connection), std::move(remote), false, kAskerLimits);
  if (older == replica::ConnectionId()) return;
  Counters::Add(context_.counters.replaced);
  End(older, "replaced by a newer one");
}

absl::Status SnapshotConnections::OnFrameOfAsker(Line& line, const proto::Frame& frame,
                                                 std::string_view attachment) {
  if (frame.has_ping()) {
    if (IsFull(line)) return absl::OkStatus();  // A queue that moves shows that we live.
    proto::Frame answer;
    answer.mutable_pong()->set_id(frame.ping().id());
    line.connection->Write(answer);
    line.connection->Flush();
    return absl::OkStatus();
  }
  if (!frame.has_snapshot_read()) {
    return absl::InvalidArgumentError("no question on a connection for snapshots");
  }
  MOKV_ASSIGN_OR_RETURN(const replica::SnapshotRead read,
                        DecodeRead(frame.snapshot_read(), attachment));
  line.asked_at = context_.clock.Now();
  if (IsFull(line)) {
    Counters::Add(context_.counters.dropped_full);  // Before anything is read for it.
    return absl::OkStatus();
  }
  handler_.OnSnapshotRead(line.remote.id, line.connection->id(), read);
  return absl::OkStatus();  // The line may be gone.
}

void SnapshotConnections::Answer(replica::ConnectionId connection, replica::SnapshotChunk chunk) {
  Line* const line = Find(connection);
  if (line == nullptr) {
    Counters::Add(context_.counters.dropped_unconnected);
    return;
  }
  if (IsFull(*line)) {
    Counters::Add(context_.counters.dropped_full);
    return;
  }
  proto::Frame frame;
  Attachment attachment;
  EncodeChunk(std::move(chunk), *frame.mutable_snapshot_chunk(), attachment);
  MOKV_CHECK(line->connection->Write(frame, &attachment));
  line->connection->Flush();
  Counters::Add(context_.counters.snapshot_bytes_out, attachment.bytes.size());
}

// Both.

SnapshotConnections::Line* SnapshotConnections::Find(replica::ConnectionId id) {
  const auto found = lines_.find(id);
  return found == lines_.end() ? nullptr : &found->second;
}

bool SnapshotConnections::IsFull(const Line& line) const {
  return line.connection->waiting_bytes() > context_.options.snapshot_waiting_bytes_max;
}

replica::ConnectionId SnapshotConnections::Establish(std::unique_ptr<Connection> connection,
                                                     Remote remote, bool is_outgoing,
                                                     FrameLimits limits) {
  const replica::ConnectionId id = context_.NextConnectionId();
  Connection::Owner& owner = *this;
  connection->SetEstablished(id, limits);
  connection->SetOwner(owner);
  LogInfo("connected with a node for snapshots", {{"name", remote.name},
                                                  {"address", connection->address()},
                                                  {"direction", is_outgoing ? "out" : "in"}});
  lines_[id] = {.remote = std::move(remote),
                .is_outgoing = is_outgoing,
                .connection = std::move(connection),
                .asked_at = context_.clock.Now()};
  Counters::Add(context_.counters.snapshots_opened);
  context_.counters.snapshots_open = lines_.size();
  return id;
}

absl::Status SnapshotConnections::OnFrame(Connection& connection, const proto::Frame& frame,
                                          std::string_view attachment) {
  if (frame.group() != kGroup) return absl::UnimplementedError("of another group");
  if (frame.body_case() == proto::Frame::BODY_NOT_SET) {
    return absl::UnimplementedError("a frame of an unknown kind");
  }
  Line* const line = Find(connection.id());
  MOKV_CHECK(line != nullptr);
  return line->is_outgoing ? OnFrameOfSource(*line, frame, attachment)
                           : OnFrameOfAsker(*line, frame, attachment);
}

void SnapshotConnections::OnClosed(Connection& connection, const absl::Status& reason) {
  End(connection.id(), reason.ok() ? "closed by the other side" : MessageOf(reason));
}

void SnapshotConnections::End(replica::ConnectionId id, std::string_view reason) {
  const auto found = lines_.find(id);
  MOKV_CHECK(found != lines_.end());
  Line& line = found->second;
  LogInfo(
      "connection with a node for snapshots closed",
      {{"name", line.remote.name}, {"address", line.connection->address()}, {"reason", reason}});
  if (line.is_outgoing) {
    // Without its source, nobody asks any more.
    if (const auto source = sources_.find(line.remote.id); source != sources_.end()) {
      source->second.line = replica::ConnectionId();
      source->second.link->OnDisconnected();
    }
  } else {
    const auto asker = askers_.find(line.remote.id);
    MOKV_CHECK(asker != askers_.end());
    if (asker->second == id) askers_.erase(asker);  // Otherwise a newer one has taken its place.
  }
  line.connection->Close();
  context_.thread.DeleteSoon(std::move(line.connection));
  lines_.erase(found);
  context_.counters.snapshots_open = lines_.size();
}

void SnapshotConnections::Drop(raft::NodeId source) {
  const auto found = sources_.find(source);
  MOKV_CHECK(found != sources_.end());
  const replica::ConnectionId line = found->second.line;
  sources_.erase(found);
  if (line != replica::ConnectionId()) End(line, "nothing was asked for");
}

void SnapshotConnections::Tick() {
  const MonotonicTime now = context_.clock.Now();
  const Duration idle = context_.options.snapshot_idle;
  std::vector<raft::NodeId> unasked;
  for (const auto& [node, source] : sources_) {
    if (now - source.asked_at >= idle) unasked.push_back(node);
  }
  for (const raft::NodeId node : unasked) Drop(node);

  std::vector<std::pair<replica::ConnectionId, std::string_view>> over;
  for (auto& [id, line] : lines_) {
    if (line.connection->CountSilence() >= context_.options.silent_intervals_max) {
      Counters::Add(context_.counters.silent_closed);
      over.emplace_back(id, "heard nothing for too long");
    } else if (line.is_outgoing) {
      // So that the other side does not take us for dead, nor we it, while nothing is asked for.
      proto::Frame frame;
      frame.mutable_ping();
      line.connection->Write(frame);
      line.connection->Flush();
    } else if (now - line.asked_at >= kIdleOfAskerTimes * idle) {
      over.emplace_back(id, "nothing was asked for");
    }
  }
  for (const auto& [id, reason] : over) End(id, reason);
}

void SnapshotConnections::LeaveOtherClusters() {
  std::vector<replica::ConnectionId> others;
  for (const auto& [id, line] : lines_) {
    const std::string& theirs = line.remote.cluster_id;
    if (!theirs.empty() && theirs != context_.local.cluster_id) others.push_back(id);
  }
  for (const replica::ConnectionId id : others) End(id, "of another cluster");
}

bool SnapshotConnections::CertificateEndsBy(int64_t unix_s) const {
  return std::any_of(lines_.begin(), lines_.end(), [unix_s](const auto& line) {
    return line.second.connection->CertificateEndsBy(unix_s);
  });
}

void SnapshotConnections::LeaveDistrusted() {
  std::map<replica::ConnectionId, std::string> distrusted;
  for (const auto& [id, line] : lines_) {
    const absl::Status trusted = line.connection->CheckTrust(line.is_outgoing);
    if (!trusted.ok()) distrusted.emplace(id, MessageOf(trusted));
  }
  for (const auto& [id, reason] : distrusted) {
    Counters::Add(context_.counters.distrusted);
    End(id, reason);
  }
}

}  // namespace mokv::peer
