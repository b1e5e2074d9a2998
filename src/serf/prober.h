// Prober: finds out who does not answer any more. It pings one node after another, asks others to
// ping it when no answer comes, tries TCP at the same time, and answers the pings of others.
//
// Threads: confined to the owner's.
// Owner:   Protocol. Borrows all that it is given.
// Bounds:  one probe at a time; kForwardedPingsMax pings on behalf of others.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "serf/coordinate.h"
#include "serf/environment.h"
#include "serf/gossiper.h"
#include "serf/node_table.h"

namespace mokv::serf {

// The answer to a ping of ours, from the target itself.
struct Pong {
  std::shared_ptr<const ListedNode> from;
  Duration round_trip;
  std::string_view payload;  // A view into the packet.
};

class Prober {
 public:
  // `coordinates` is what answers carry.
  Prober(Environment& env, NodeTable& nodes, Gossiper& gossiper,
         const CoordinateClient& coordinates)
      : env_(env), nodes_(nodes), gossiper_(gossiper), coordinates_(coordinates) {}

  // Begins the schedule.
  void Start();
  // Also lets suspicions run out, and asks the suspects before they do.
  void Tick();
  MonotonicTime NextDeadline() const;

  // --- Bodies of messages.
  void OnPing(const Endpoint& from, std::string_view body);
  void OnIndirectPing(const Endpoint& from, std::string_view body);
  std::optional<Pong> OnAck(std::string_view body);
  void OnNack(std::string_view body);
  // The answer to a stream. False: the stream did not belong to a probe.
  bool OnStreamReply(StreamId id, const absl::StatusOr<std::string>& message);

 private:
  struct Probe {
    std::shared_ptr<const ListedNode> target;
    uint32_t seq = 0;
    MonotonicTime started;
    MonotonicTime again_at;     // Max() once done.
    MonotonicTime indirect_at;  // Max() once done.
    MonotonicTime deadline;
    int helpers = 0;
    int nacks_expected = 0;
    int nacks = 0;
    bool refused = false;
  };
  // A ping on behalf of another node.
  struct Forwarded {
    Endpoint requester;
    uint32_t seq = 0;  // The requester's.
    Endpoint target;
    std::string node;
    bool nack = false;       // Whether the requester wants one, and has had none.
    MonotonicTime again_at;  // Max() once done.
    MonotonicTime nack_at;
    MonotonicTime deadline;
  };

  void StartProbe(std::shared_ptr<const ListedNode> target);
  void PingAgain();
  void GoIndirect();
  void SendPingAndSuspicion(const ListedNode& node, uint32_t seq);
  void FinishProbe(bool success);
  void PingFor(const Forwarded& ping, uint32_t seq);
  void ExpireForwarded();
  std::string PingOf(uint32_t seq, std::string_view node) const;
  Source SelfSource() const;
  uint32_t NewSeq();

  Environment& env_;
  NodeTable& nodes_;
  Gossiper& gossiper_;
  const CoordinateClient& coordinates_;
  MonotonicTime next_probe_;
  std::optional<Probe> probe_;
  std::map<StreamId, uint32_t> streams_;  // With the number of the probe that opened each.
  std::map<uint32_t, Forwarded> forwarded_;
};

}  // namespace mokv::serf
