// Network: the fate of what is sent between places. Faults add to each other and are taken away one
// by one, so that any number may overlap.
//
// Threads: confined to the run's. Units: chances in permille.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "base/clock.h"
#include "sim/dice.h"

namespace mokv::sim {

// Where a node runs: its name, its machine, its place in the network.
using Place = size_t;
inline constexpr size_t kPlacesMax = 7;

// What a fault adds to links.
struct Disturbance {
  bool cut = false;
  int loss = 0;
  int duplication = 0;
  Duration delay{0};   // Of every message.
  Duration jitter{0};  // Up to so much more; reorders.
  Duration echo{0};    // Copies come again after so long.
};

class Network {
 public:
  // Deliveries of one message; none: it is lost.
  struct Fate {
    int copies = 0;
    std::array<Duration, 2> delays{};
  };

  Network(uint64_t seed, Duration delay_min, Duration delay_max)
      : dice_(seed), delay_min_(delay_min), delay_max_(delay_max) {}

  Fate Send(Place from, Place to);
  // Asked again when the message arrives: a cable that is cut loses what is in it.
  bool IsCut(Place from, Place to) const { return links_[from][to].cut > 0; }

  void Add(Place from, Place to, const Disturbance& more) { Change(from, to, more, 1); }
  void Remove(Place from, Place to, const Disturbance& less) { Change(from, to, less, -1); }

  uint64_t lost() const { return lost_; }
  uint64_t duplicated() const { return duplicated_; }

 private:
  struct Link {
    int cut = 0;
    int loss = 0;
    int duplication = 0;
    Duration delay{0};
    Duration jitter{0};
    Duration echo{0};
  };

  void Change(Place from, Place to, const Disturbance& by, int sign);
  Duration Delay(const Link& link);

  Dice dice_;
  Duration delay_min_;
  Duration delay_max_;
  std::array<std::array<Link, kPlacesMax>, kPlacesMax> links_{};
  uint64_t lost_ = 0;
  uint64_t duplicated_ = 0;
};

}  // namespace mokv::sim
