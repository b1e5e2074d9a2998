// StatusBoard: what a replica shows of itself and of its cluster, to whoever asks.
//
// Threads: report, View, serving and cluster_id are thread-safe; the rest is confined to the replica
//          thread. The lock is the board's own: who looks at the cluster, as anybody with a
//          certificate may, does not stand in the way of reads and writes.
// Fresh:   the board is filled when the standing or the membership has changed, or a configuration
//          is committed, and at each tick of the replica. What changes with every turn is not
//          taken from there: the term, the last index and the counters are atomics, set in each
//          turn before it answers anybody, and others the replica adds. So who has an answer finds
//          in the counters what it took.
#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "raft/core.h"
#include "replica/report.h"

namespace mokv::replica {

// Counters that one thread sets and any thread reads. Each number is right; together they may be of
// two moments.
class PublishedCounters {
 public:
  void Set(const Counters& counters) {
    const auto numbers = std::bit_cast<Numbers>(counters);
    for (size_t i = 0; i < kCount; ++i) numbers_[i].store(numbers[i], std::memory_order_relaxed);
  }
  Counters Get() const {
    Numbers numbers;
    for (size_t i = 0; i < kCount; ++i) numbers[i] = numbers_[i].load(std::memory_order_relaxed);
    return std::bit_cast<Counters>(numbers);
  }

 private:
  static constexpr size_t kCount = sizeof(Counters) / sizeof(uint64_t);
  using Numbers = std::array<uint64_t, kCount>;

  std::array<std::atomic<uint64_t>, kCount> numbers_{};
};

class StatusBoard {
 public:
  StatusBoard(raft::NodeId own, Duration election_timeout)
      : own_(own), election_timeout_(election_timeout) {}

  Report report() const;
  // `applied` of this node; what a leader knows of others is shown up to `commit`.
  ClusterView View(Index applied, Index commit) const;
  // Of the configuration in the log; empty until there is one.
  std::string cluster_id() const;
  bool serving() const { return serving_; }

  // Whether the cluster's id has changed.
  bool SetMembership(std::shared_ptr<const raft::Membership> membership);
  // Whether that is a change.
  bool SetServing(bool serving) { return serving_.exchange(serving) != serving; }
  void SetLast(Term term, Index last_index) {
    term_.store(term.value(), std::memory_order_relaxed);
    last_index_.store(last_index.value(), std::memory_order_relaxed);
  }
  void SetCounters(const Counters& counters) { counters_.Set(counters); }
  void Fill(const raft::Core& core, SnapshotReport snapshots, std::vector<StateDigest> digests,
            MonotonicTime now);

 private:
  const raft::NodeId own_;
  const Duration election_timeout_;
  std::atomic<bool> serving_{false};
  std::atomic<uint64_t> term_{0};
  std::atomic<uint64_t> last_index_{0};
  PublishedCounters counters_;

  mutable Mutex mutex_;
  Report report_ ABSL_GUARDED_BY(mutex_);
  std::shared_ptr<const raft::Membership> membership_ ABSL_GUARDED_BY(mutex_) =
      std::make_shared<const raft::Membership>();
  // Who votes as far as others are told: a change that is not committed may yet come to nothing, or
  // need the very nodes that it takes the vote from.
  std::shared_ptr<const raft::Membership> settled_membership_ ABSL_GUARDED_BY(mutex_) = membership_;
};

// Empty when `id` is no member.
std::string NameOf(const raft::Membership& membership, raft::NodeId id);

}  // namespace mokv::replica
