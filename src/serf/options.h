// What a member is told once, before it starts: who it is, and how it keeps time.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/clock.h"
#include "serf/endpoint.h"
#include "serf/serf_messages.h"

namespace mokv::serf {

// Not announced on the wire. Members with different timing understand each other, but the tighter
// one suspects first. Lan() is what agents use by default.
struct Timing {
  Duration probe_interval = std::chrono::seconds(1);
  Duration probe_timeout = std::chrono::milliseconds(500);
  int indirect_checks = 3;
  Duration gossip_interval = std::chrono::milliseconds(200);
  int gossip_nodes = 3;
  // How long the dead are still told what is said about them, so that they can refute it.
  Duration gossip_to_the_dead = std::chrono::seconds(30);
  int retransmit_mult = 4;
  int suspicion_mult = 4;
  int suspicion_max_timeout_mult = 6;
  int awareness_max = 8;
  Duration push_pull_interval = std::chrono::seconds(30);
  Duration stream_timeout = std::chrono::seconds(10);
  // Of a leave: how long its two messages may take to get through the queue, and how long the
  // leaving node still answers after them.
  Duration broadcast_timeout = std::chrono::seconds(5);
  Duration leave_propagate_delay = std::chrono::seconds(1);
  Duration reap_interval = std::chrono::seconds(15);
  Duration reconnect_interval = std::chrono::seconds(30);
  Duration failed_timeout = std::chrono::hours(24);  // Failed members are forgotten after it.
  Duration left_timeout = std::chrono::hours(24);
  Duration recent_intent_timeout = std::chrono::minutes(5);
  int query_timeout_mult = 16;

  static Timing Lan() { return {}; }
};

struct Options {
  std::string name;
  Endpoint advertise;
  Tags tags;
  Timing timing;
  // Packets and streams are compressed where it makes them shorter.
  bool compress = true;
  // Raw keys; the first encrypts. None: everything in clear, and everything in clear is believed.
  std::vector<std::string> keys;
  // More members are not taken in: without a key anybody can invent some, and each costs every
  // node memory and its turn in the probe order.
  size_t members_max = 4096;
  // The clocks as this node's last run left them (peers_file.h). Earlier events and queries are
  // not delivered again.
  LamportTime clock = 0;
  LamportTime event_clock = 0;
  LamportTime query_clock = 0;
};

// Limits on what others can make a node send, read or remember. What exceeds one is dropped and
// counted.
// The largest UDP payload that a node sends. It reads larger ones.
inline constexpr size_t kPacketBytesMax = 1400;
// The largest message that is gossiped: a packet has room for it besides encryption and framing.
inline constexpr size_t kGossipMessageBytesMax = 1360;
// All that one packet may unpack to. Honest senders put at most 1400 bytes into a packet before
// they compress it.
inline constexpr size_t kExpandedPacketBytesMax = size_t{128} << 10;
// A push/pull of 4096 members with full meta and a full event ring stays well below.
inline constexpr size_t kStreamBytesMax = size_t{8} << 20;
// Messages that may wait in each queue to be gossiped: Serf's own limit.
inline constexpr size_t kQueueLengthMax = 4096;
// Indirect pings that a node serves at the same time.
inline constexpr size_t kForwardedPingsMax = 256;
// An incarnation may rise by this much at once. The accused must answer a forged one with a higher
// one, so a forger must not be able to use up the numbers.
inline constexpr uint32_t kIncarnationJumpMax = 1u << 24;
// The highest first incarnation of a name. Some agents begin with their clock's seconds, which fit
// until 2038.
inline constexpr uint32_t kFirstIncarnationMax = 1u << 31;
// A Lamport time may rise by this much at once: to use up the numbers a forger needs 2^32 messages.
inline constexpr LamportTime kLamportJumpMax = LamportTime{1} << 32;
// User events and queries, as agents limit them.
inline constexpr size_t kUserEventBytesSendMax = 512;
inline constexpr size_t kUserEventBytesMax = 9 << 10;
inline constexpr size_t kQueryBytesMax = 1024;
inline constexpr size_t kQueryResponseBytesMax = 1024;

}  // namespace mokv::serf
