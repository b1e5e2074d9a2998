// SnapshotSource: gives parts of this node's snapshots to the nodes that ask for them, and notices
// when one that was told to fetch one has gone silent.
//
// Threads: confined to the replica thread; files are read on the background executor.
// Owner:   the replica. Borrows executor and keeper.
// Bounds:  kWaitingMax questions wait; kBytesPerSecond leave, so that neither the disk nor the
//          network is taken from those who write.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <vector>

#include "base/clock.h"
#include "base/executor.h"
#include "replica/peers.h"
#include "replica/snapshot_keeper.h"

namespace mokv::replica {

class SnapshotSource {
 public:
  SnapshotSource(SnapshotKeeper& keeper, Executor& executor, OnReplicaThread on_replica)
      : keeper_(keeper), executor_(executor), on_replica_(std::move(on_replica)) {}

  // The peer has been told to fetch the snapshot that ends with `last`.
  void OnTold(raft::NodeId peer, EntryId last, MonotonicTime now);
  void OnRead(Peers& peers, raft::NodeId from, ConnectionId connection, const SnapshotRead& read,
              MonotonicTime now);
  // Peers that were told and have asked for nothing for kSilenceMax: they did not get it. Sends what
  // had to wait.
  std::vector<raft::NodeId> Tick(Peers& peers, MonotonicTime now);
  uint64_t bytes_sent() const { return bytes_sent_; }

 private:
  struct Reading {
    EntryId last;
    MonotonicTime asked_at;
  };
  struct Question {
    ConnectionId connection;
    SnapshotRead read;
  };

  static constexpr Duration kSilenceMax = std::chrono::seconds(2);
  static constexpr size_t kWaitingMax = 256;
  static constexpr uint64_t kBytesPerSecond = uint64_t{256} << 20;
  // No more than this is sent in one go after a time in which nothing was asked: what leaves in a
  // tenth of a second.
  static constexpr Duration kBurst = std::chrono::milliseconds(100);
  static constexpr uint64_t kBurstBytes = kBytesPerSecond / 10;

  void Answer(Peers& peers, const Question& question);
  void TellKeeper();

  SnapshotKeeper& keeper_;
  Executor& executor_;
  const OnReplicaThread on_replica_;
  std::map<raft::NodeId, Reading> reading_;
  std::deque<Question> waiting_;
  uint64_t budget_bytes_ = kSnapshotChunkBytesMax;
  MonotonicTime last_tick_;
  uint64_t bytes_sent_ = 0;
};

}  // namespace mokv::replica
