// Core: one node's part in a Serf cluster. A pure function of its inputs: packets, streams, time
// and randomness come in as arguments, and what is to be done comes out as Output.
//
//   core->OnPacket(now, from, bytes);     any number of calls
//   Output output = core->TakeOutput();   then once: packets, streams, events
//   core->Tick(now);                      when NextDeadline() has come
//
// Who is alive is Memberlist's business; the core adds what Serf knows: tags, intents (so that a
// node that left is told from one that failed), user events, queries, keys and coordinates.
//
// Threads: confined to the owner's (the serf thread).
// Owner:   borrows the generator, which must outlive it.
// Units:   `now` is this node's monotonic clock and never goes back; Lamport times are counts.
// Errors:  input from the network is never asserted on; what is dropped is counted in Stats.
// Parts:   core.cc (inputs, members, timers, leaving), intents.cc, state.cc (push/pull),
//          user_events.cc, queries.cc, internal_queries.cc. docs/serf.md tells the whole story.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <array>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "serf/broadcast_queue.h"
#include "serf/coordinate.h"
#include "serf/keyring.h"
#include "serf/lamport_clock.h"
#include "serf/memberlist.h"
#include "serf/options.h"
#include "serf/output.h"
#include "serf/stats.h"

namespace mokv::serf {

// A question to the cluster.
struct QueryRequest {
  std::string name;
  std::string payload;
  std::vector<std::string> nodes;           // Only these; empty: all.
  std::map<std::string, std::string> tags;  // Only where the tag matches the expression (RE2).
  bool want_acks = false;
  uint8_t relay_factor = 0;
  Duration timeout{0};  // Zero: what suits the size of the cluster.
};

class Core final : private MemberlistDelegate {
 public:
  // INVALID_ARGUMENT for names, addresses, tags or keys that no cluster would take.
  static absl::StatusOr<std::unique_ptr<Core>> Create(Options options, Random& random,
                                                      MonotonicTime now);
  Core(const Core&) = delete;
  Core& operator=(const Core&) = delete;

  // --- What arrives.
  void OnPacket(MonotonicTime now, const Endpoint& from, std::string_view packet);
  // A whole message of a stream that another node opened. The answer, or nullopt: just close.
  std::optional<std::string> OnStreamRequest(MonotonicTime now, std::string_view message);
  // The whole answer to an OutgoingStream, or why there is none.
  void OnStreamReply(MonotonicTime now, StreamId id, const absl::StatusOr<std::string>& message);
  void Tick(MonotonicTime now);
  MonotonicTime NextDeadline() const;
  Output TakeOutput();

  // --- What the owner wants.
  // Exchanges lists with a node of the cluster; a JoinResult follows.
  void Join(MonotonicTime now, const Endpoint& at);
  absl::Status SetTags(MonotonicTime now, const Tags& tags);
  absl::Status SendUserEvent(MonotonicTime now, std::string_view name, std::string_view payload,
                             bool coalesce);
  // Acks and answers follow as events with the returned key, and QueryDone at the end.
  absl::StatusOr<QueryKey> Query(MonotonicTime now, const QueryRequest& request);
  absl::Status Respond(MonotonicTime now, QueryKey query, std::string_view payload);
  // Goes, telling everybody; LeaveDone follows. The owner keeps passing packets until then.
  void Leave(MonotonicTime now);
  // Declares a failed member to have left; with `prune` it is forgotten at once.
  absl::Status ForceLeave(MonotonicTime now, std::string_view name, bool prune);
  // Replaces all keys. Whether there is encryption at all cannot change.
  absl::Status SetKeys(const std::vector<std::string>& keys);

  // --- What is known.
  const std::string& name() const { return options_.name; }
  const Endpoint& advertise() const { return options_.advertise; }
  std::vector<Member> Members() const;
  MemberStatus StatusOf(std::string_view name) const;
  size_t CountOf(MemberStatus status) const;
  // Not visible in its status: Serf calls a suspected member alive.
  bool Suspects(std::string_view name) const;
  uint32_t incarnation() const { return memberlist_.self().incarnation; }
  const Keyring& keyring() const { return keyring_; }
  LamportTime clock() const { return clock_.now(); }
  LamportTime event_clock() const { return event_clock_.now(); }
  LamportTime query_clock() const { return query_clock_.now(); }
  const Coordinate& coordinate() const { return coordinates_.own(); }
  Stats stats() const;

  // For simulations: this node knows all the members of `other`, and nobody talks about it.
  void SeedForTest(MonotonicTime now, const std::vector<const Core*>& others);

 private:
  struct MemberInfo {
    std::shared_ptr<const Node> node;
    MemberStatus status = MemberStatus::kNone;
    LamportTime status_ltime = 0;  // Of the last intent that was taken.
    MonotonicTime gone_at;         // Left or failed.
  };
  struct RecentIntent {
    bool leave = false;
    LamportTime ltime = 0;
    MonotonicTime at;
  };
  struct EventSlot {
    LamportTime ltime = 0;
    std::vector<std::pair<std::string, std::string>> events;  // Name, payload.
  };
  struct QuerySlot {
    LamportTime ltime = 0;
    std::vector<uint32_t> ids;
  };
  // A query of somebody else that may still be answered.
  struct AskedQuery {
    LamportTime ltime = 0;
    uint32_t id = 0;
    Endpoint source;
    std::string source_node;
    uint8_t relay_factor = 0;
    MonotonicTime deadline;
  };
  // One of ours.
  struct OwnQuery {
    LamportTime ltime = 0;
    uint32_t id = 0;
    MonotonicTime deadline;
    bool conflict = false;  // Asks whose name it is.
    std::set<std::string, std::less<>> acked;
    std::set<std::string, std::less<>> answered;
    size_t votes_for_us = 0;
  };
  // An exchange with a failed member, and those that follow it up.
  struct Reconnection {
    Endpoint to;
    size_t round = 0;
  };
  enum class LeavePhase { kNone, kIntent, kDead, kLinger, kDone };

  Core(Options options, Keyring keyring, Random& random, MonotonicTime now);

  // --- core.cc
  void Dropped(Drop reason) { ++stats_.dropped[static_cast<size_t>(reason)]; }
  Member Describe(const MemberInfo& info) const;
  void Tell(MemberChange change, const MemberInfo& info);
  void Reap();
  void Reconnect();
  void FollowUpReconnections();
  void CatchUp();
  void StepLeave();
  void MakeRoomForMember();
  void SetStatus(MemberInfo& info, MemberStatus status);
  size_t OthersAlive() const;
  void OnNodeJoin(std::shared_ptr<const Node> node) override;
  void OnNodeUpdate(const Node& node) override;
  void OnNodeLeave(const Node& node) override;
  void OnNameConflict(const Node& known, const Endpoint& other) override;
  void OnUserMessage(std::string_view message) override;
  size_t TakeBroadcasts(size_t budget_bytes, size_t count_max,
                        std::vector<std::string>* out) override;
  bool HasBroadcasts() const override;
  std::string AckPayload() override;
  void OnPong(const Node& node, Duration round_trip, std::string_view payload) override;
  void OnPushPullDone(StreamId id, const absl::Status& status) override;

  // --- intents.cc
  bool OnJoinIntent(const JoinIntent& intent);
  bool OnLeaveIntent(const LeaveIntent& intent);
  bool RememberIntent(std::string_view name, bool leave, LamportTime ltime);
  void AnnounceJoin();
  void EraseMember(std::string_view name);

  // --- state.cc
  std::string LocalState(bool join) override;
  void MergeState(std::string_view state, StreamId stream) override;

  // --- user_events.cc
  bool OnUserEvent(const UserEventMessage& event);
  EventSlot* SlotFor(LamportTime ltime);

  // --- queries.cc
  bool OnQuery(const QueryMessage& query);
  bool RecordQuery(const QueryMessage& query);
  bool IsForUs(const QueryMessage& query) const;
  bool PassesFilter(std::string_view filter) const;
  void OnQueryResponse(std::string_view body);
  void OnRelay(std::string_view body);
  absl::Status SendResponse(const AskedQuery& query, uint32_t flags, std::string_view payload);
  void SendToNode(const Endpoint& to, std::string_view message);
  void Relay(const AskedQuery& query, std::string_view message);
  Duration DefaultQueryTimeout() const;
  absl::StatusOr<QueryKey> StartQuery(const QueryRequest& request, bool conflict);
  void ExpireQueries();

  // --- internal_queries.cc
  void OnInternalQuery(const QueryMessage& query, const AskedQuery& asked);
  void AnswerConflict(const QueryMessage& query, const AskedQuery& asked);
  void AnswerKeyQuery(const QueryMessage& query, const AskedQuery& asked);
  KeyResponse ChangeKeys(std::string_view name, std::string_view key);
  KeyResponse ListKeys() const;
  void CountConflictVote(OwnQuery& query, std::string_view payload);
  void FinishConflict(const OwnQuery& query);

  const Options options_;
  Random& random_;
  MonotonicTime now_;
  Keyring keyring_;
  Stats stats_;
  Output output_;
  Memberlist memberlist_;

  std::map<std::string, MemberInfo, std::less<>> members_;
  std::array<size_t, 5> status_counts_{};  // Of members_, by MemberStatus.
  std::map<std::string, RecentIntent, std::less<>> recent_intents_;
  LamportClock clock_;
  LamportClock event_clock_;
  LamportClock query_clock_;
  LamportTime event_min_ = 0;  // Older events are not ours to hear.
  LamportTime query_min_ = 0;
  std::map<uint32_t, EventSlot> event_ring_;
  size_t event_ring_bytes_ = 0;
  std::map<uint32_t, QuerySlot> query_ring_;
  BroadcastQueue intents_;
  BroadcastQueue queries_;
  BroadcastQueue events_;

  std::map<StreamId, Endpoint> joins_;
  std::map<StreamId, Reconnection> reconnections_;
  std::multimap<MonotonicTime, Reconnection> follow_ups_;
  QueryKey last_query_ = 0;
  std::map<QueryKey, AskedQuery> asked_;
  std::map<QueryKey, OwnQuery> own_queries_;
  std::optional<Endpoint> conflict_with_;
  MonotonicTime next_conflict_;
  CoordinateClient coordinates_;

  MonotonicTime next_reap_;
  MonotonicTime next_reconnect_;
  MonotonicTime next_catch_up_ = MonotonicTime::Max();
  LeavePhase leave_phase_ = LeavePhase::kNone;
  BroadcastQueue::Id leave_broadcast_ = 0;
  MonotonicTime leave_deadline_;
};

}  // namespace mokv::serf
