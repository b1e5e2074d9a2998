#include "store/published.h"

#include "base/check.h"

namespace mokv::store {

Published::Published() { newest_.store(&TakeSpare()); }

State& Published::TakeSpare() {
  if (spare_.empty()) {
    all_.push_back(std::make_unique<State>());
    spare_.push_back(all_.back().get());
  }
  State& state = *spare_.back();
  spare_.pop_back();
  MOKV_CHECK(state.held.empty());
  return state;
}

// By the writer, or by a reader that came between its two steps.
void Published::RaiseRevision(Revision revision) const {
  uint64_t seen = revision_.load(std::memory_order_acquire);
  while (seen < revision.value() && !revision_.compare_exchange_weak(seen, revision.value())) {
  }
}

State& Published::PinNewest() const {
  while (true) {
    State& state = *newest_.load();
    state.pins.fetch_add(1);
    // Sequentially consistent, all three: either this sees that the state has been replaced, or the
    // writer, who looks after having replaced it, sees the pin.
    if (newest_.load() == &state) {
      // Whoever has seen this state in a view must not find an older one.
      RaiseRevision(state.revision);
      return state;
    }
    Unpin(state);
  }
}

void Published::Publish(Revision revision, const Stats& stats, const Digest& digest) {
  State& next = TakeSpare();
  next.revision = revision;
  next.stats = stats;
  next.digest = digest;
  State& last = *newest_.load(std::memory_order_relaxed);
  MOKV_CHECK_LE(last.revision, revision);
  newest_.store(&next);
  RaiseRevision(revision);
  if (IsPinned(last)) {
    older_.push_back(&last);
  } else {
    spare_.push_back(&last);
  }
}

State* Published::NewestHolder() const {
  for (size_t i = older_.size(); i-- > 0;) {
    if (IsPinned(*older_[i])) return older_[i];
  }
  return nullptr;
}

}  // namespace mokv::store
