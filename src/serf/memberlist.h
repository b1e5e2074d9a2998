// Memberlist: who is in the cluster, and alive: SWIM with the Lifeguard refinements.
//
// Keeps the table of nodes, probes one after another, gossips news, and exchanges whole lists over
// streams. A pure function of its inputs; packets and streams go to the Output it was given.
//
// Owner:   Core, which is its delegate and carries Serf's messages through it.
// Threads: confined to the owner's. No clock: `now` comes with every call and never goes back.
// Bounds:  Options::members_max nodes; the limits of options.h. Input from the network is never
//          asserted on; what is dropped is counted in Stats.
// Parts:   memberlist.cc (packets, streams, timers), table.cc (alive, suspect, dead, merging),
//          probe.cc, gossip.cc.
#pragma once

#include <absl/container/flat_hash_map.h>
#include <absl/status/statusor.h>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/random.h"
#include "serf/broadcast_queue.h"
#include "serf/keyring.h"
#include "serf/messages.h"
#include "serf/options.h"
#include "serf/output.h"
#include "serf/packet.h"
#include "serf/stats.h"
#include "serf/stream.h"
#include "serf/suspicion.h"

namespace mokv::serf {

struct Node {
  std::string name;
  Endpoint at;
  std::string meta;
  Versions versions{};
  uint32_t incarnation = 0;
  NodeState state = NodeState::kDead;
  MonotonicTime changed;  // Of the state.

  bool IsMember() const { return state == NodeState::kAlive || state == NodeState::kSuspect; }
};

// What the layer above is told, and asked for.
class MemberlistDelegate {
 public:
  virtual ~MemberlistDelegate() = default;
  virtual void OnNodeJoin(std::shared_ptr<const Node> node) = 0;
  virtual void OnNodeUpdate(const Node& node) = 0;
  virtual void OnNodeLeave(const Node& node) = 0;
  virtual void OnNameConflict(const Node& known, const Endpoint& other) = 0;
  virtual void OnUserMessage(std::string_view message) = 0;
  // Adds what fits, as messages of memberlist; like BroadcastQueue::Take.
  virtual size_t TakeBroadcasts(size_t budget_bytes, size_t count_max,
                                std::vector<std::string>* out) = 0;
  virtual bool HasBroadcasts() const = 0;
  virtual std::string LocalState(bool join) = 0;
  // `stream` is the exchange of ours that this answers, or 0.
  virtual void MergeState(std::string_view state, StreamId stream) = 0;
  virtual std::string AckPayload() = 0;
  virtual void OnPong(const Node& node, Duration round_trip, std::string_view payload) = 0;
  virtual void OnPushPullDone(StreamId id, const absl::Status& status) = 0;
};

class Memberlist {
 public:
  // Borrows everything; all must outlive it.
  Memberlist(const Options& options, Keyring& keyring, Random& random, Stats& stats, Output& output,
             MemberlistDelegate& delegate);
  Memberlist(const Memberlist&) = delete;
  Memberlist& operator=(const Memberlist&) = delete;

  // Announces this node, and begins its schedules.
  void Start(MonotonicTime now, std::string meta);
  void OnPacket(MonotonicTime now, const Endpoint& from, std::string_view packet);
  // The answer to a stream that `from` opened; nullopt: close it.
  std::optional<std::string> OnStreamRequest(MonotonicTime now, std::string_view message);
  void OnStreamReply(MonotonicTime now, StreamId id, const absl::StatusOr<std::string>& message);
  void Tick(MonotonicTime now);
  MonotonicTime NextDeadline() const;

  // The next incarnation, with another meta.
  void SetMeta(MonotonicTime now, std::string meta);
  // Exchanges lists with `to`; the delegate hears how it ended.
  StreamId StartPushPull(MonotonicTime now, const Endpoint& to, bool join);
  // The same with a random member, if there is any.
  void PushPullWithAnyone(MonotonicTime now);
  // This node is going: it says so, and refutes nothing from now on.
  void Leave(MonotonicTime now);
  bool leave_announced() const;

  // One message, without anything around it.
  void SendUser(MonotonicTime now, const Endpoint& to, std::string_view message);

  const Node& self() const { return *self_; }
  const Node* Find(std::string_view name) const;
  size_t size() const { return nodes_.size(); }
  // Up to `count` members at random that `wanted` accepts.
  std::vector<const Node*> RandomNodes(size_t count,
                                       const std::function<bool(const Node&)>& wanted);
  size_t queued() const { return broadcasts_.size(); }
  uint64_t queue_dropped() const { return broadcasts_.dropped(); }
  int awareness() const { return awareness_; }
  size_t suspects() const { return suspicions_.size(); }
  int TransmitsMax(size_t members) const;

  // Takes over a table that another node has, without a word to anybody: for simulations that do
  // not want to wait for a thousand joins.
  void SeedForTest(MonotonicTime now, const std::vector<const Node*>& nodes);

 private:
  struct Probe {
    std::shared_ptr<Node> target;
    uint32_t seq = 0;
    MonotonicTime started;
    MonotonicTime again_at;     // Max() once done.
    MonotonicTime indirect_at;  // Max() once done.
    MonotonicTime deadline;
    int helpers = 0;
    int nacks_expected = 0;
    int nacks = 0;
    StreamId stream = 0;
    bool refused = false;
  };
  // An indirect ping that is being served.
  struct Forwarded {
    Endpoint requester;
    uint32_t seq = 0;  // The requester's.
    Endpoint target;
    std::string node;
    bool nack = false;
    MonotonicTime again_at;  // Max() once done.
    MonotonicTime nack_at;
    MonotonicTime deadline;
  };
  enum class Purpose { kPushPull, kProbe };
  struct Stream {
    Purpose purpose;
    std::string node;  // kProbe: the target.
    uint32_t seq = 0;  // kProbe.
    MonotonicTime started;
  };

  // --- memberlist.cc
  void Dropped(Drop reason) { ++stats_.dropped[static_cast<size_t>(reason)]; }
  void Handle(const Endpoint& from, const PacketMessage& message);
  void SendPacket(const Endpoint& to, const std::vector<std::string>& messages, bool checksum);
  void SendWithGossip(const Endpoint& to, std::string message);
  StreamId OpenStream(const Endpoint& to, std::string_view message, Stream stream,
                      MonotonicTime deadline);
  std::vector<NodeRecord> LocalNodes() const;
  std::string EncodeState(bool join);
  void Merge(const PushPull& remote, StreamId stream);
  bool HandlePushPull(std::string_view body, std::optional<std::string>* reply);

  // --- table.cc
  void HandleAlive(std::string_view body);
  void HandleSuspect(std::string_view body);
  void HandleDead(std::string_view body);
  bool IsAcceptable(const Alive& alive);
  bool IsPlausible(uint32_t incarnation, const Node* known);
  bool IsCompatible(const Versions& versions) const;
  Node* AddNode(const Alive& alive);
  bool MakeRoom();
  void OnAlive(const Alive& alive);
  void OnSuspect(const Suspect& suspect);
  void OnDead(const Dead& dead);
  void AnnounceSelf();
  void Refute(uint32_t accused);
  void SetState(Node& node, NodeState state);
  void Forget(size_t index);
  void ExpireSuspicions();
  MonotonicTime NextSuspicion() const;
  void DropSuspicion(std::string_view name);

  // --- probe.cc
  void HandlePing(const Endpoint& from, std::string_view body);
  void HandleIndirectPing(const Endpoint& from, std::string_view body);
  void HandleAck(std::string_view body);
  void HandleNack(std::string_view body);
  void StartNextProbe();
  std::shared_ptr<Node> NextTarget();
  void StartProbe(std::shared_ptr<Node> target);
  void PingAgain();
  void GoIndirect();
  void CheckSuspect(const Node& node);
  void SendPingAndSuspicion(const Node& node, uint32_t seq);
  bool ProbeIsHopeless() const;
  void FinishProbe(bool success);
  void OnProbeStream(const Stream& stream, const absl::StatusOr<std::string>& message);
  void PingFor(const Forwarded& ping, uint32_t seq);
  void ExpireForwarded();
  void AddAwareness(int delta);
  uint32_t NewSeq();
  Source SelfSource() const;

  // --- gossip.cc
  BroadcastQueue::Id Broadcast(std::string message, std::string_view node);
  std::vector<std::string> GatherGossip(size_t used_bytes, size_t count_max);
  void Gossip();
  bool HasGossip() const;
  Duration PushPullPeriod() const;
  Duration RandomBelow(Duration limit);

  const Options& options_;
  const Timing& timing_;
  Keyring& keyring_;
  Random& random_;
  Stats& stats_;
  Output& output_;
  MemberlistDelegate& delegate_;

  MonotonicTime now_;
  std::shared_ptr<Node> self_;
  // The probe order, and all nodes; `by_name_` is only looked up in, never gone through, so that
  // a run can be repeated.
  std::vector<std::shared_ptr<Node>> nodes_;
  absl::flat_hash_map<std::string, std::shared_ptr<Node>> by_name_;
  std::map<std::string, Suspicion, std::less<>> suspicions_;
  // When the first of them needs attention; there may be hundreds, and it is asked for all the
  // time.
  mutable std::optional<MonotonicTime> next_suspicion_;
  bool leaving_ = false;
  BroadcastQueue::Id leave_broadcast_ = 0;

  size_t probe_index_ = 0;
  MonotonicTime next_probe_;
  std::optional<Probe> probe_;
  std::map<uint32_t, Forwarded> forwarded_;
  int awareness_ = 0;

  BroadcastQueue broadcasts_;
  MonotonicTime gossip_phase_;
  MonotonicTime next_gossip_;
  MonotonicTime next_push_pull_;
  StreamId last_stream_ = 0;
  std::map<StreamId, Stream> streams_;
  PacketReader reader_;
};

}  // namespace mokv::serf
