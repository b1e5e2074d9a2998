// Counters of one member; plain numbers, read on its thread or copied for others.
//
// Units: counts since the start, unless said; times in nanoseconds.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace mokv::serf {

// Why something from the network was dropped.
enum class Drop : uint8_t {
  kMalformed,  // Not what its type byte promised.
  kUnknownType,
  kChecksum,
  kWrongKey,      // No key of ours opens it, or it is in clear although we have keys.
  kTooLarge,      // Over a limit after it was unpacked.
  kMisaddressed,  // A ping for another name.
  kVersions,      // Missing, senseless or incompatible version bytes.
  kAbsurd,        // An incarnation or Lamport time out of all proportion.
  kTableFull,
  kQueueFull,  // Waiting gossip, or work for others, over its limit.
  kStale,      // Acks that nobody waits for.
  kCount,
};
inline constexpr size_t kDropReasons = static_cast<size_t>(Drop::kCount);

// As a metric's label.
std::string_view NameOf(Drop reason);

struct Stats {
  // At this moment, not since the start.
  uint64_t members_alive = 0;
  uint64_t members_leaving = 0;
  uint64_t members_left = 0;
  uint64_t members_failed = 0;
  uint64_t members_suspect = 0;  // Among the alive ones.
  uint64_t awareness_score = 0;  // 0: healthy.
  uint64_t queued_membership = 0;
  uint64_t queued_intents = 0;
  uint64_t queued_queries = 0;
  uint64_t queued_events = 0;

  uint64_t packets_sent = 0;
  uint64_t packets_received = 0;
  uint64_t bytes_sent = 0;
  uint64_t bytes_received = 0;
  uint64_t packets_unsent = 0;  // The socket would not take them.
  std::array<uint64_t, kDropReasons> dropped{};

  uint64_t probes = 0;
  uint64_t probes_failed = 0;
  uint64_t probes_saved_by_stream = 0;  // UDP did not get through, TCP did.
  uint64_t indirect_pings_sent = 0;
  uint64_t indirect_pings_served = 0;
  uint64_t suspicions = 0;      // Raised or taken over by this node.
  uint64_t deaths = 0;          // Declared by this node, its suspicion having run out.
  uint64_t refutations = 0;     // Of what was said about this node.
  uint64_t name_conflicts = 0;  // Others at another address under a known name.
  uint64_t joins = 0;
  uint64_t leaves = 0;
  uint64_t failures = 0;

  uint64_t push_pulls_begun = 0;
  uint64_t push_pulls_failed = 0;
  uint64_t push_pulls_served = 0;
  uint64_t push_pull_time_ns = 0;      // Of all that were begun here and ended well.
  uint64_t push_pull_time_ns_max = 0;  // The longest of these.
  uint64_t streams_refused = 0;        // Too many at the same time.

  uint64_t user_events_received = 0;
  uint64_t queries_received = 0;
  uint64_t coordinates_rejected = 0;
};

}  // namespace mokv::serf
