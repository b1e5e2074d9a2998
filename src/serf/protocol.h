// Protocol: one node's part in a Serf cluster. A pure function of its inputs: packets, streams,
// time and randomness come in as arguments, and what is to be done comes out as Output.
//
//   protocol->OnPacket(now, from, bytes);     any number of calls
//   Output output = protocol->TakeOutput();   then once: packets, streams, events
//   protocol->Tick(now);                      when NextDeadline() has come
//
// Calls go down and come back with results; no part calls one above it:
//
//   Protocol      takes an input apart, hands each message to its part, and each change in the
//                 table of nodes (NodeNews) to the parts that follow it
//   ListExchange  when to exchange whole lists, and with whom
//   Queries, UserEvents, Members     Serf's own
//   Prober, Gossiper, NodeTable      memberlist's: who is alive
//   GossipQueues, Environment        what all of them share; `now` is kept there, once
//
// Threads: confined to the owner's (the serf thread).
// Owner:   borrows the generator, which must outlive it.
// Units:   `now` is this node's monotonic clock and never goes back; Lamport times are counts.
// Errors:  input from the network is never asserted on; what is dropped is counted in Stats.
// See:     docs/serf.md.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "serf/broadcast_queue.h"
#include "serf/coordinate.h"
#include "serf/environment.h"
#include "serf/gossiper.h"
#include "serf/list_exchange.h"
#include "serf/members.h"
#include "serf/node_table.h"
#include "serf/packet.h"
#include "serf/prober.h"
#include "serf/queries.h"
#include "serf/user_events.h"

namespace mokv::serf {

class Protocol {
 public:
  // INVALID_ARGUMENT for names, addresses, tags or keys that no cluster would take.
  static absl::StatusOr<std::unique_ptr<Protocol>> Create(Options options, Random& random,
                                                          MonotonicTime now);
  Protocol(const Protocol&) = delete;
  Protocol& operator=(const Protocol&) = delete;

  // --- What arrives.
  void OnPacket(MonotonicTime now, const Endpoint& from, std::string_view packet);
  // A whole message of a stream that another node opened. The answer, or nullopt: just close.
  std::optional<std::string> OnStreamRequest(MonotonicTime now, std::string_view message);
  // The whole answer to an OutgoingStream, or why there is none.
  void OnStreamReply(MonotonicTime now, StreamId id, const absl::StatusOr<std::string>& message);
  void Tick(MonotonicTime now);
  MonotonicTime NextDeadline() const;
  Output TakeOutput() { return std::exchange(env_.output, {}); }

  // --- What the owner wants.
  // Exchanges lists with a node of the cluster; a JoinResult follows.
  void Join(MonotonicTime now, const Endpoint& at);
  absl::Status SetTags(MonotonicTime now, const Tags& tags);
  absl::Status SendUserEvent(MonotonicTime now, std::string_view name, std::string_view payload);
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
  const std::string& name() const { return env_.options.name; }
  const Endpoint& advertise() const { return env_.options.advertise; }
  std::vector<Member> Members() const { return members_.List(); }
  MemberStatus StatusOf(std::string_view name) const { return members_.StatusOf(name); }
  size_t CountOf(MemberStatus status) const { return members_.CountOf(status); }
  // Not visible in its status: Serf calls a suspected member alive.
  bool Suspects(std::string_view name) const;
  uint32_t incarnation() const { return nodes_.self().incarnation; }
  const Keyring& keyring() const { return env_.keyring; }
  LamportTime clock() const { return members_.clock().now(); }
  LamportTime event_clock() const { return events_.clock().now(); }
  LamportTime query_clock() const { return queries_.clock().now(); }
  const Coordinate& coordinate() const { return coordinates_.own(); }
  Stats stats() const;

  // For simulations: this node knows all of `nodes`, itself among them, and nobody talks about it.
  void SeedForTest(MonotonicTime now, const std::vector<const Protocol*>& nodes);

 private:
  enum class LeavePhase { kNone, kIntent, kDead, kLinger, kDone };

  Protocol(Options options, Keyring keyring, Random& random, MonotonicTime now);

  void OnMessage(const Endpoint& from, const PacketMessage& message);
  void OnUserMessage(std::string_view message);
  template <typename Message, typename Taker>
  void Spread(std::string_view message, BroadcastQueue& queue, Taker take);
  std::optional<std::string> OnStreamMessage(MessageType type, std::string_view body);
  void Merge(const PushPull& lists, bool is_join);
  void OnPong(const Pong& pong);
  void HandleNews();
  void StepLeave();

  Environment env_;
  GossipQueues queues_;
  CoordinateClient coordinates_;
  NodeTable nodes_;
  Gossiper gossiper_;
  Prober prober_;
  serf::Members members_;
  UserEvents events_;
  Queries queries_;
  ListExchange exchange_;
  PacketReader reader_;

  MonotonicTime next_reap_;
  LeavePhase leave_phase_ = LeavePhase::kNone;
  BroadcastQueue::Id leave_broadcast_ = 0;
  MonotonicTime leave_deadline_;
};

}  // namespace mokv::serf
