// Network coordinates (Vivaldi): each node places itself in a space where the distance between two
// nodes is the round-trip time between them. So the time can be estimated without a packet.
//
// Threads: confined to the owner's.
// Units:   seconds, as on the wire.
// Bounds:  samples and coordinates of Options::members_max nodes at most; the owner drops those of
//          members that are gone.
#pragma once

#include <array>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/random.h"

namespace mokv::serf {

struct Coordinate {
  static constexpr size_t kDimensions = 8;

  std::array<double, kDimensions> vec{};
  double error = 1.5;
  double adjustment = 0;
  double height = 1e-5;

  bool IsFinite() const;
};

// Estimated round trip between two places.
double DistanceSeconds(const Coordinate& a, const Coordinate& b);

// The payload of acks: a version byte and the coordinate.
std::string EncodeCoordinate(const Coordinate& coordinate);
// nullopt for another version, another number of dimensions, and values that are not finite.
std::optional<Coordinate> DecodeCoordinate(std::string_view payload);

class CoordinateClient {
 public:
  const Coordinate& own() const { return own_; }
  // Moves this node's own place by what was measured: `other` answered after `round_trip`. False if
  // that cannot be believed.
  bool Update(const std::string& node, const Coordinate& other, Duration round_trip,
              Random& random);
  std::optional<Duration> RoundTrip(std::string_view node) const;
  void Forget(std::string_view node) {
    if (const auto found = peers_.find(node); found != peers_.end()) peers_.erase(found);
  }

 private:
  struct Peer {
    Coordinate coordinate;
    std::deque<double> round_trips;  // The last few: their median is less jumpy.
  };

  double Median(Peer& peer, double seconds);
  void ApplyForce(double force, const Coordinate& other, Random& random);

  Coordinate own_;
  std::array<double, 20> adjustments_{};
  size_t next_adjustment_ = 0;
  std::map<std::string, Peer, std::less<>> peers_;
};

}  // namespace mokv::serf
