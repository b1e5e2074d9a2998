// What the connections between nodes count. Stats are values, which node/ turns into metrics.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/clock.h"
#include "raft/types.h"

namespace mokv::peer {

// Round trips of one peer, as a histogram.
struct RoundTrips {
  // Upper bounds of the buckets; one more holds what is above.
  static constexpr std::array<Duration, 16> kBounds = {
      std::chrono::microseconds(50),   std::chrono::microseconds(100),
      std::chrono::microseconds(200),  std::chrono::microseconds(500),
      std::chrono::milliseconds(1),    std::chrono::milliseconds(2),
      std::chrono::milliseconds(5),    std::chrono::milliseconds(10),
      std::chrono::milliseconds(20),   std::chrono::milliseconds(50),
      std::chrono::milliseconds(100),  std::chrono::milliseconds(200),
      std::chrono::milliseconds(500),  std::chrono::milliseconds(1000),
      std::chrono::milliseconds(2000), std::chrono::milliseconds(5000)};
  std::array<uint64_t, kBounds.size() + 1> counts{};
  uint64_t count = 0;
  Duration sum{0};
  Duration last{0};
  Duration smoothed{0};  // An eighth of each new one (RFC 6298).

  void Add(Duration round_trip);
};

struct PeerStats {
  raft::NodeId id;
  std::string name;
  std::string address;  // Where it is dialed; empty: nowhere, it came to us.
  bool is_connected_out = false;
  bool is_connected_in = false;
  std::string version;
  std::string last_error;  // Of dialing it; empty once it has been reached.
  uint64_t bytes_in = 0;   // Up to the last ping.
  uint64_t bytes_out = 0;
  RoundTrips round_trips;
};

// Why messages were not sent.
struct Dropped {
  uint64_t unconnected = 0;
  uint64_t full = 0;       // Too much waits for that peer already.
  uint64_t too_large = 0;  // Over the bounds of a frame.
};

// Connections for snapshots, which are not counted among the others.
struct SnapshotStats {
  uint64_t open = 0;       // Both directions.
  uint64_t opened = 0;     // Since the start.
  uint64_t bytes_in = 0;   // Of snapshots alone.
  uint64_t bytes_out = 0;  // Given to the socket.
};

struct Stats {
  uint64_t open = 0;  // Established, both directions.
  uint64_t opened_out = 0;
  uint64_t opened_in = 0;
  uint64_t closed = 0;
  uint64_t dials_failed = 0;
  uint64_t replaced = 0;       // By a newer connection of the same peer.
  uint64_t silent_closed = 0;  // Heard nothing for too long.
  uint64_t distrusted = 0;     // Ended: other certificates are believed than when they were made.
  // Connections of others that this node refused, by reason.
  std::map<std::string, uint64_t> refused;
  uint64_t greetings_failed = 0;  // Closed, or too slow, before they had introduced themselves.
  uint64_t identified = 0;        // Asked who is here, and were answered.
  uint64_t frames_in = 0;
  uint64_t frames_out = 0;
  uint64_t bytes_in = 0;
  uint64_t bytes_out = 0;
  uint64_t malformed = 0;  // Each closed its connection.
  uint64_t unknown = 0;    // Frames of kinds that this version does not know: ignored.
  Dropped dropped;
  SnapshotStats snapshots;
  std::vector<PeerStats> peers;
};

// The same while they are counted. Written by the replica thread, read by any.
struct Counters {
  using Counter = std::atomic<uint64_t>;
  static constexpr size_t kRefusals = 10;  // Of the protocol's enum.

  Counter open{0};
  Counter opened_out{0};
  Counter opened_in{0};
  Counter closed{0};
  Counter dials_failed{0};
  Counter replaced{0};
  Counter silent_closed{0};
  Counter distrusted{0};
  std::array<Counter, kRefusals> refused{};
  Counter greetings_failed{0};
  Counter identified{0};
  Counter frames_in{0};
  Counter frames_out{0};
  Counter bytes_in{0};
  Counter bytes_out{0};
  Counter malformed{0};
  Counter unknown{0};
  Counter dropped_unconnected{0};
  Counter dropped_full{0};
  Counter dropped_too_large{0};
  Counter snapshots_open{0};
  Counter snapshots_opened{0};
  Counter snapshot_bytes_in{0};
  Counter snapshot_bytes_out{0};

  // One writer: no need for an atomic addition.
  static void Add(Counter& counter, uint64_t n = 1) {
    counter.store(counter.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
  // All but `peers`.
  Stats Read() const;
};

}  // namespace mokv::peer
