#include "replica/cluster_clock.h"

#include <utility>

#include "base/check.h"

namespace mokv::replica {
namespace {

// Of the commands that go into one, so that its entry is far from what one may be. A single larger
// one goes alone.
constexpr uint64_t kGatheredBytesMax = uint64_t{1} << 20;

}  // namespace

bool ClusterClock::IsDue(MonotonicTime now, bool waiting) {
  const bool idle = !waiting && !machine_.AnythingExpires();
  if (!last_beat_.has_value() || (idle && !step_on_its_way_)) {
    last_beat_ = now;
    return false;
  }
  if (step_on_its_way_ || now - *last_beat_ < kBeat) return false;
  last_beat_ = now;
  return true;
}

void ClusterClock::Stop() {
  last_beat_.reset();
  step_on_its_way_ = false;
}

std::optional<ClusterClock::Step> ClusterClock::TakeStep() {
  if (!machine_.AnythingExpires()) return std::nullopt;
  step_on_its_way_ = true;
  return Step{.command = {machine_.time() + machine::Sessions::kTimeStepMs},
              .number = ++last_step_};
}

void ClusterClock::OnStepDecided(uint64_t number) {
  // One of an earlier leadership says nothing of this one's.
  if (number == last_step_) step_on_its_way_ = false;
}

std::vector<GatheredKeepAlives> Gather(std::vector<Write> keep_alives) {
  std::vector<GatheredKeepAlives> all;
  uint64_t bytes = 0;
  for (Write& write : keep_alives) {
    auto decoded = machine::DecodeCommand(*write.command);
    MOKV_CHECK(decoded.ok());  // Encoded here, or looked into when it came.
    auto& sessions = std::get<machine::KeepAlive>(decoded->control).sessions;
    bytes += write.command->size();
    if (all.empty() || bytes > kGatheredBytesMax ||
        all.back().command.sessions.size() + sessions.size() > machine::kKeptAliveTogetherMax) {
      all.emplace_back();
      bytes = write.command->size();
    }
    GatheredKeepAlives& gathered = all.back();
    for (auto& session : sessions) gathered.command.sessions.push_back(std::move(session));
    gathered.ends.push_back(gathered.command.sessions.size());
    gathered.writes.push_back(std::move(write));
  }
  return all;
}

machine::Result PartOf(const machine::Result& result, const GatheredKeepAlives& gathered,
                       size_t i) {
  MOKV_CHECK_EQ(result.ttls_ms.size(), gathered.command.sessions.size());
  const auto at = [&](size_t position) {
    return result.ttls_ms.begin() + static_cast<ptrdiff_t>(position);
  };
  return {.ttls_ms = {at(i == 0 ? 0 : gathered.ends[i - 1]), at(gathered.ends[i])}};
}

}  // namespace mokv::replica
