#include "replica/snapshot_source.h"

#include <algorithm>
#include <utility>

#include "base/status.h"

namespace mokv::replica {
namespace {

absl::StatusOr<SnapshotChunk> ReadChunk(FileSystem& files, const std::string& path,
                                        const SnapshotRead& read) {
  MOKV_ASSIGN_OR_RETURN(const std::unique_ptr<File> file,
                        files.Open(path, FileSystem::OpenMode::kRead));
  SnapshotChunk chunk{.last = read.last, .offset = read.offset};
  MOKV_ASSIGN_OR_RETURN(chunk.file_bytes, file->Size());
  MOKV_ASSIGN_OR_RETURN(
      chunk.bytes, file->ReadAt(read.offset, std::min(read.bytes_max, kSnapshotChunkBytesMax)));
  return chunk;
}

}  // namespace

void SnapshotSource::OnTold(raft::NodeId peer, EntryId last, MonotonicTime now) {
  reading_[peer] = {last, now};
  TellKeeper();
}

void SnapshotSource::OnRead(Peers& peers, raft::NodeId from, ConnectionId connection,
                            const SnapshotRead& read, MonotonicTime now) {
  if (!keeper_.Has(read.last)) {
    return peers.AnswerSnapshotRead(connection, {.last = read.last, .offset = read.offset});
  }
  // Also where another leader has told it.
  reading_[from] = {read.last, now};
  TellKeeper();
  // Nothing is wanted: it is still at it.
  if (read.bytes_max == 0 || waiting_.size() >= kWaitingMax) return;
  waiting_.push_back({connection, read});
  while (!waiting_.empty() && budget_bytes_ >= waiting_.front().read.bytes_max) {
    Answer(peers, waiting_.front());
    waiting_.pop_front();
  }
}

void SnapshotSource::Answer(Peers& peers, const Question& question) {
  const uint64_t bytes = std::min(question.read.bytes_max, kSnapshotChunkBytesMax);
  budget_bytes_ -= std::min(budget_bytes_, bytes);
  bytes_sent_ += bytes;
  executor_.Post([&peers, question, on_replica = on_replica_, files = &keeper_.files(),
                  path = keeper_.directory().PathOf(question.read.last)] {
    absl::StatusOr<SnapshotChunk> chunk = ReadChunk(*files, path, question.read);
    // Not readable is like not there: the peer is told to fetch another one.
    if (!chunk.ok())
      chunk = SnapshotChunk{.last = question.read.last, .offset = question.read.offset};
    on_replica([&peers, connection = question.connection, chunk = *std::move(chunk)]() mutable {
      peers.AnswerSnapshotRead(connection, std::move(chunk));
    });
  });
}

std::vector<raft::NodeId> SnapshotSource::Tick(Peers& peers, MonotonicTime now) {
  const Duration passed = std::min<Duration>(now - last_tick_, kBurst);
  last_tick_ = now;
  const auto earned = static_cast<uint64_t>(std::chrono::duration<double>(passed).count() *
                                            static_cast<double>(kBytesPerSecond));
  budget_bytes_ = std::min(budget_bytes_ + earned, kBurstBytes);
  while (!waiting_.empty() && budget_bytes_ >= waiting_.front().read.bytes_max) {
    Answer(peers, waiting_.front());
    waiting_.pop_front();
  }
  std::vector<raft::NodeId> silent;
  for (const auto& [peer, reading] : reading_) {
    if (now - reading.asked_at >= kSilenceMax) silent.push_back(peer);
  }
  for (const raft::NodeId& peer : silent) reading_.erase(peer);
  if (!silent.empty()) TellKeeper();
  return silent;
}

void SnapshotSource::TellKeeper() {
  std::set<uint64_t> indexes;
  for (const auto& [peer, reading] : reading_) indexes.insert(reading.last.index.value());
  keeper_.SetInUse(std::move(indexes));
}

}  // namespace mokv::replica
