// What a member is told once: who it is, and how it keeps time.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/clock.h"
#include "serf/endpoint.h"
#include "serf/serf_messages.h"

namespace mokv::serf {

// Not announced on the wire. Members with different timing understand each other, but the tighter
// one suspects first; agents use Lan() by default.
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
  static Timing Local();
  // For tests: a second's work in a tenth of it. Not for production: a busy machine looks dead.
  static Timing Fast();
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
  // As a former life left them (peers_file.h); what happened before is not heard again.
  LamportTime clock = 0;
  LamportTime event_clock = 0;
  LamportTime query_clock = 0;
};

// Lengths and counts that the network may not choose. Each is counted where it drops something.
// Largest UDP payload that is built; larger ones are read.
inline constexpr size_t kPacketBytesMax = 1400;
// A message that is gossiped: what a packet has room for besides encryption and framing.
inline constexpr size_t kGossipMessageBytesMax = 1360;
// Whatever fits a datagram, expanded once; honest senders fill 1400 bytes before they compress.
inline constexpr size_t kExpandedPacketBytesMax = size_t{128} << 10;
// A push/pull of 4096 members with full meta and a full event ring stays well below.
inline constexpr size_t kStreamBytesMax = size_t{8} << 20;
// Messages that wait to be gossiped, in each queue: Serf's own limit.
inline constexpr size_t kQueueLengthMax = 4096;
// Indirect pings that are served at the same time.
inline constexpr size_t kForwardedPingsMax = 256;
// An incarnation may rise by this much at once: a forged one must not use up the number space, out
// of which the accused has to answer with a higher one.
inline constexpr uint32_t kIncarnationJumpMax = 1u << 24;
// The first incarnation heard of a name; values made of a clock in seconds fit until 2038.
inline constexpr uint32_t kFirstIncarnationMax = 1u << 31;
// The same for Lamport times: each costs its forger a message, and 2^64 takes 2^32 of them.
inline constexpr LamportTime kLamportJumpMax = LamportTime{1} << 32;
// User events and queries, as agents limit them.
inline constexpr size_t kUserEventBytesSendMax = 512;
inline constexpr size_t kUserEventBytesMax = 9 << 10;
inline constexpr size_t kQueryBytesMax = 1024;
inline constexpr size_t kQueryResponseBytesMax = 1024;

}  // namespace mokv::serf
