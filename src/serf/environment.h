// Environment: what all parts of one member share: who it is, its keys, its randomness, the time,
// what it counts and what it wants sent.
//
// Owner:   Protocol, which alone sets `now`, once for each input. The parts only read it.
// Threads: confined to the owner's.
// Units:   `now` is this node's monotonic clock; it never goes back.
#pragma once

#include <absl/status/statusor.h>

#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/random.h"
#include "serf/keyring.h"
#include "serf/options.h"
#include "serf/output.h"
#include "serf/stats.h"

namespace mokv::serf {

struct Environment {
  Environment(Options own_options, Keyring own_keyring, Random& generator, MonotonicTime start)
      : options(std::move(own_options)),
        random(generator),
        now(start),
        keyring(std::move(own_keyring)) {}
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;

  const Options options;
  Random& random;
  MonotonicTime now;
  Keyring keyring;
  Stats stats;
  Output output;

  void Dropped(Drop reason) { ++stats.dropped[static_cast<size_t>(reason)]; }
  // A random time shorter than `limit`.
  Duration RandomBelow(Duration limit);

  // Sends one datagram. `checksum`: only to nodes that understand it.
  void SendPacket(const Endpoint& to, const std::vector<std::string>& messages, bool checksum);
  // Sends one of Serf's messages in a datagram of its own.
  void SendUser(const Endpoint& to, std::string_view message);

  // Opens a stream that carries `message`. Its answer comes with the returned number.
  StreamId BeginStream(const Endpoint& to, std::string_view message, MonotonicTime deadline);
  // Compresses and encrypts what a stream carries, and the reverse. What cannot be opened is
  // counted; the error says what the other side may be told.
  std::string Seal(std::string_view message);
  absl::StatusOr<std::string> Unseal(std::string_view message);

 private:
  StreamId last_stream_ = 0;
};

}  // namespace mokv::serf
