#include "peer/stats.h"

#include <algorithm>

#include "peer/handshake.h"

namespace mokv::peer {

static_assert(Counters::kRefusals == proto::HelloReply::Refusal_ARRAYSIZE);

void RoundTrips::Add(Duration round_trip) {
  const auto bucket = std::lower_bound(kBounds.begin(), kBounds.end(), round_trip);
  ++counts[static_cast<size_t>(bucket - kBounds.begin())];
  smoothed = count == 0 ? round_trip : smoothed + (round_trip - smoothed) / 8;
  ++count;
  sum += round_trip;
  last = round_trip;
}

Stats Counters::Read() const {
  const auto read = [](const Counter& counter) { return counter.load(std::memory_order_relaxed); };
  Stats stats;
  stats.open = read(open);
  stats.opened_out = read(opened_out);
  stats.opened_in = read(opened_in);
  stats.closed = read(closed);
  stats.dials_failed = read(dials_failed);
  stats.replaced = read(replaced);
  stats.silent_closed = read(silent_closed);
  stats.distrusted = read(distrusted);
  for (size_t i = 0; i < refused.size(); ++i) {
    const uint64_t count = read(refused[i]);
    if (count != 0) stats.refused[std::string(RefusalName(static_cast<Refusal>(i)))] = count;
  }
  stats.greetings_failed = read(greetings_failed);
  stats.identified = read(identified);
  stats.frames_in = read(frames_in);
  stats.frames_out = read(frames_out);
  stats.bytes_in = read(bytes_in);
  stats.bytes_out = read(bytes_out);
  stats.malformed = read(malformed);
  stats.unknown = read(unknown);
  stats.dropped = {.unconnected = read(dropped_unconnected),
                   .full = read(dropped_full),
                   .too_large = read(dropped_too_large)};
  stats.snapshots = {.open = read(snapshots_open),
                     .opened = read(snapshots_opened),
                     .bytes_in = read(snapshot_bytes_in),
                     .bytes_out = read(snapshot_bytes_out)};
  return stats;
}

}  // namespace mokv::peer
