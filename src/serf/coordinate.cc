#include "serf/coordinate.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "serf/msgpack.h"

namespace mokv::serf {
namespace {

constexpr uint8_t kVersion = 1;
constexpr double kErrorMax = 1.5;
constexpr double kHeightMin = 1e-5;
constexpr double kErrorGain = 0.25;
constexpr double kForceGain = 0.25;
constexpr double kZero = 1e-6;  // A length or time below this counts as none.
constexpr double kGravityRadius = 150;
constexpr size_t kMedianSamples = 3;
constexpr Duration kRoundTripMax = std::chrono::seconds(10);

double Length(const std::array<double, Coordinate::kDimensions>& vec) {
  double sum = 0;
  for (const double v : vec) sum += v * v;
  return std::sqrt(sum);
}

double RawDistance(const Coordinate& a, const Coordinate& b) {
  std::array<double, Coordinate::kDimensions> difference{};
  for (size_t i = 0; i < difference.size(); ++i) difference[i] = a.vec[i] - b.vec[i];
  return Length(difference) + a.height + b.height;
}

}  // namespace

bool Coordinate::IsFinite() const {
  return std::all_of(vec.begin(), vec.end(), [](double v) { return std::isfinite(v); }) &&
         std::isfinite(error) && std::isfinite(adjustment) && std::isfinite(height);
}

double DistanceSeconds(const Coordinate& a, const Coordinate& b) {
  const double raw = RawDistance(a, b);
  const double adjusted = raw + a.adjustment + b.adjustment;
  return adjusted > 0 ? adjusted : raw;
}

std::string EncodeCoordinate(const Coordinate& coordinate) {
  std::string out(1, static_cast<char>(kVersion));
  MsgpackWriter writer(&out);
  writer.Map(4);
  writer.Raw("Adjustment");
  writer.Double(coordinate.adjustment);
  writer.Raw("Error");
  writer.Double(coordinate.error);
  writer.Raw("Height");
  writer.Double(coordinate.height);
  writer.Raw("Vec");
  writer.Array(Coordinate::kDimensions);
  for (const double v : coordinate.vec) writer.Double(v);
  return out;
}

std::optional<Coordinate> DecodeCoordinate(std::string_view payload) {
  if (payload.empty() || payload.front() != static_cast<char>(kVersion)) return std::nullopt;
  MsgpackReader reader(payload.substr(1));
  Coordinate coordinate;
  bool has_vec = false;
  const bool read = ReadStruct(reader, [&](std::string_view key) {
    if (key == "Adjustment") return reader.Double(&coordinate.adjustment);
    if (key == "Error") return reader.Double(&coordinate.error);
    if (key == "Height") return reader.Double(&coordinate.height);
    if (key != "Vec") return reader.Skip();
    uint32_t dimensions = 0;
    if (!reader.Array(&dimensions) || dimensions != Coordinate::kDimensions) return false;
    has_vec = true;
    return std::all_of(coordinate.vec.begin(), coordinate.vec.end(),
                       [&](double& v) { return reader.Double(&v); });
  });
  if (!read || !has_vec || !coordinate.IsFinite()) return std::nullopt;
  return coordinate;
}

double CoordinateClient::Median(Peer& peer, double seconds) {
  peer.round_trips.push_back(seconds);
  if (peer.round_trips.size() > kMedianSamples) peer.round_trips.pop_front();
  std::vector<double> sorted(peer.round_trips.begin(), peer.round_trips.end());
  std::sort(sorted.begin(), sorted.end());
  return sorted[sorted.size() / 2];
}

bool CoordinateClient::Update(const std::string& node, const Coordinate& other, Duration round_trip,
                              Random& random) {
  if (round_trip < Duration::zero() || round_trip > kRoundTripMax || !other.IsFinite()) {
    return false;
  }
  Peer& peer = peers_[node];
  peer.coordinate = other;
  const double rtt =
      std::max(kZero, Median(peer, std::chrono::duration<double>(round_trip).count()));
  const double distance = DistanceSeconds(own_, other);
  const double wrongness = std::abs(distance - rtt) / rtt;
  const double weight = own_.error / std::max(own_.error + other.error, kZero);
  own_.error =
      std::min(kErrorMax, kErrorGain * weight * wrongness + own_.error * (1 - kErrorGain * weight));
  ApplyForce(kForceGain * weight * (rtt - distance), other, random);

  adjustments_[next_adjustment_] = rtt - RawDistance(own_, other);
  next_adjustment_ = (next_adjustment_ + 1) % adjustments_.size();
  double sum = 0;
  for (const double sample : adjustments_) sum += sample;
  own_.adjustment = sum / (2 * static_cast<double>(adjustments_.size()));

  // A pull to the origin, so that all nodes together do not drift away.
  const Coordinate origin;
  const double from_origin = DistanceSeconds(own_, origin);
  ApplyForce(-(from_origin / kGravityRadius) * (from_origin / kGravityRadius), origin, random);
  if (!own_.IsFinite()) {
    own_ = Coordinate();
    adjustments_ = {};
  }
  return true;
}

void CoordinateClient::ApplyForce(double force, const Coordinate& other, Random& random) {
  std::array<double, Coordinate::kDimensions> direction{};
  for (size_t i = 0; i < direction.size(); ++i) direction[i] = own_.vec[i] - other.vec[i];
  double distance = Length(direction);
  const bool apart = distance > kZero;
  if (!apart) {
    // On the same spot any direction leads away.
    for (double& v : direction) v = static_cast<double>(random.Next() >> 11) * 0x1p-53 - 0.5;
    distance = std::max(Length(direction), kZero);
  }
  for (size_t i = 0; i < direction.size(); ++i) own_.vec[i] += direction[i] / distance * force;
  if (apart) {
    own_.height =
        std::max(kHeightMin, (own_.height + other.height) * force / distance + own_.height);
  }
}

std::optional<Duration> CoordinateClient::RoundTrip(std::string_view node) const {
  const auto found = peers_.find(node);
  if (found == peers_.end()) return std::nullopt;
  const double seconds = DistanceSeconds(own_, found->second.coordinate);
  return std::chrono::duration_cast<Duration>(
      std::chrono::duration<double>(std::clamp(seconds, 0.0, 3600.0)));
}

}  // namespace mokv::serf
