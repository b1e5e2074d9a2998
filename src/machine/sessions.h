// Sessions: which clients have a session, the answers that their writes got, and the cluster's time,
// by which sessions expire.
//
//   a write (session, sequence) ──> Begin ──┬─ nothing yet: carried out, and then Answer
//                                           ├─ there was an answer: that again
//                                           └─ a refusal
//
// A client sends a write again, with the same sequence, until it has an answer, and then says so with
// `lowest_unanswered`, which lets the answers below go. So a write happens once, however often it
// comes and by whichever leader.
//
// Threads: confined to the writer of the machine. A Frozen is immutable, for any thread.
// Owner:   the machine.
// Units:   `_ms` is cluster time; it moves by AdvanceTo alone.
// Deterministic: the same calls in the same order leave the same table and digest.
// Bounds:  the constants below.
#pragma once

#include <absl/container/btree_map.h>
#include <absl/container/btree_set.h>
#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/ids.h"
#include "machine/command.h"
#include "machine/result.h"
#include "store/digest.h"

namespace mokv::machine {

namespace proto {
class SessionRecord_Session;
}

class Sessions {
 public:
  // Some hundred bytes each while their clients have nothing unanswered.
  static constexpr size_t kSessionsMax = 65'536;
  // Answers that one session keeps: as many writes may be on their way at the same time.
  static constexpr size_t kUnansweredMax = 1024;
  // The leader writes the time forward by this much at most, so what is written may be that far behind
  // what has passed. A session gets it on top of its time to live: none expires too early.
  static constexpr uint64_t kTimeStepMs = 1000;
  // So many sessions go with one step of time, and the rest with the next ones: the end of very many
  // does not hold up what else is applied.
  static constexpr size_t kExpiredTogetherMax = 1024;

  class Frozen;
  class Loader;

  Sessions() = default;
  Sessions(const Sessions&) = delete;
  Sessions& operator=(const Sessions&) = delete;

  // `id` was never used before.
  Result Open(SessionId id, const OpenSession& open);
  Result Renew(const KeepAlive& keep_alive);
  Result Close(const CloseSession& close);
  // The time is `to` now, unless it is later already; what has had its time goes.
  void AdvanceTo(ClusterTime to);

  // Nothing: the write is to be carried out, and what it came to told with Answer before anything
  // else is asked here. Else what its client is told instead.
  std::optional<Result> Begin(const SessionContext& context);
  void Answer(const SessionContext& context, const store::ApplyResult& applied);

  ClusterTime time() const { return time_; }
  size_t size() const { return expiries_.size(); }
  // Nothing for an empty table at time 0.
  store::Digest digest() const;
  // What it has allocated, about. What only a Frozen still has is not in it.
  uint64_t memory_bytes() const { return memory_bytes_; }

  // The table as it is now, for as long as anybody wants to look at it. Takes no longer for many
  // sessions than for few: what changes afterwards is copied first.
  std::shared_ptr<const Frozen> Freeze();

 private:
  struct Answered {
    uint64_t sequence = 0;
    store::ApplyResult result;
  };
  // What a Frozen can see is of an earlier generation and never changed.
  struct Session {
    uint64_t generation = 0;
    std::string subject;
    uint64_t ttl_ms = 0;
    ClusterTime expires_at;
    uint64_t lowest = 1;            // Answers below are gone.
    std::vector<Answered> answers;  // Ascending.
    store::Digest digest;           // Of all of it.
  };
  struct Shard {
    uint64_t generation = 0;
    absl::btree_map<SessionId, std::shared_ptr<Session>> sessions;
  };
  // So that a change after Freeze copies a few pointers only.
  static constexpr size_t kShards = 256;
  using Shards = std::array<std::shared_ptr<Shard>, kShards>;  // Null: empty.

  // A session while it is changed: the sums over all of them follow.
  class Edit;

  static size_t ShardOf(SessionId id) { return id.value() % kShards; }
  static uint64_t BytesOf(const Session& session);
  static store::Digest DigestOfFields(SessionId id, const Session& session);
  static store::Digest DigestOf(SessionId id, const Answered& answered);
  static std::string RecordOf(SessionId id, const Session& session);

  // Null unless it is there and `subject`'s.
  const Session* Find(SessionId id, std::string_view subject) const;
  Shard& Writable(size_t shard);
  void Insert(SessionId id, std::shared_ptr<Session> session);
  void Erase(SessionId id);
  void Renew(SessionId id, Session& session);
  void DropBelow(uint64_t lowest, SessionId id, Session& session);

  Shards shards_;
  uint64_t generation_ = 0;
  absl::btree_set<std::pair<ClusterTime, SessionId>> expiries_;
  ClusterTime time_;
  store::Digest digest_;  // Of the sessions.
  uint64_t memory_bytes_ = 0;
};

// What Freeze gives.
class Sessions::Frozen {
 public:
  size_t size() const { return size_; }
  ClusterTime time() const { return time_; }
  // Sessions::digest() at that moment.
  store::Digest digest() const { return digest_; }
  // All there is comes in so many parts, as records for a Loader: the time first, then session by
  // session, in an order that is the same on every node.
  static constexpr size_t kParts = 256;
  std::vector<std::string> Records(size_t part) const;

 private:
  friend class Sessions;
  Frozen() = default;

  static_assert(kParts == kShards);
  std::array<std::shared_ptr<const Shard>, kShards> shards_;
  size_t size_ = 0;
  ClusterTime time_;
  store::Digest digest_;
};

// Builds an equal table of the records. Confined to one thread, which need not be the writer's.
class Sessions::Loader {
 public:
  // DATA_LOSS when the record does not parse, cannot be true, or comes twice.
  absl::Status Add(std::string_view record);
  // DATA_LOSS when there was no time among them. The loader is spent.
  absl::StatusOr<std::unique_ptr<Sessions>> Finish();

 private:
  absl::Status AddSession(proto::SessionRecord_Session& record);

  std::unique_ptr<Sessions> sessions_ = std::make_unique<Sessions>();
  bool has_time_ = false;
};

}  // namespace mokv::machine
