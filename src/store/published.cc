#include "store/published.h"

#include "base/check.h"

namespace mokv::store {

Published::Published(Heap& heap) : heap_(heap) { newest_.store(&TakeSpare()); }

State& Published::TakeSpare() {
  if (spare_.empty()) {
    all_.push_back(std::make_unique<State>(heap_));
    spare_.push_back(all_.back().get());
  }
  State& state = *spare_.back();
  spare_.pop_back();
  MOKV_CHECK(state.held.empty());
  return state;
}

// The writer calls it, and also a reader that came between the writer's two steps.
void Published::RaiseRevision(Revision revision) const {
  uint64_t seen = revision_.load(std::memory_order_acquire);
  while (seen < revision.value() && !revision_.compare_exchange_weak(seen, revision.value())) {
  }
}

State& Published::PinNewest() const {
  while (true) {
    State& state = *newest_.load();
    state.pins.fetch_add(1);
    // All three are sequentially consistent. Either this thread sees that the state was replaced,
    // or the writer, which looks for pins after it has replaced the state, sees this one.
    if (newest_.load() == &state) {
      // Whoever has seen this state in a view must not find an older one with a Reader.
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
  if (!IsPinned(last)) {
    spare_.push_back(&last);
    return;
  }
  // If its last pin goes just now, it is or will be on the list of the fallen.
  last.place = State::Place::kOlder;
  last.next_older = newest_older_;
  last.next_newer = nullptr;
  if (newest_older_ != nullptr) newest_older_->next_newer = &last;
  newest_older_ = &last;
}

State* Published::NewestHolder() const {
  for (State* state = newest_older_; state != nullptr; state = state->next_older) {
    if (state->place == State::Place::kOlder && IsPinned(*state)) return state;
  }
  return nullptr;
}

// Sequentially consistent, as above. If a reader drops the last pin and finds `fallen` still set,
// the writer, which clears `fallen` as it takes the state from the list, sees that the pin is gone.
// A state on the list may be in use again; the writer can tell by its place and its pins.
void Published::Unpin(State& state) const {
  if (state.pins.fetch_sub(1) != 1 || state.fallen.exchange(true)) return;
  state.next_fallen = fallen_.load(std::memory_order_relaxed);
  while (!fallen_.compare_exchange_weak(state.next_fallen, &state)) {
  }
}

void Published::TakeFallen() {
  if (fallen_.load(std::memory_order_relaxed) == nullptr) return;
  for (State* state = fallen_.exchange(nullptr); state != nullptr;) {
    State* const next = state->next_fallen;
    state->fallen.store(false);
    if (state->place == State::Place::kOlder && !IsPinned(*state)) {
      state->place = State::Place::kReleasing;
      releasing_.push(state);
    }
    state = next;
  }
}

void Published::Retire(State& state) {
  if (state.next_older != nullptr) state.next_older->next_newer = state.next_newer;
  if (state.next_newer != nullptr) state.next_newer->next_older = state.next_older;
  if (newest_older_ == &state) newest_older_ = state.next_older;
  state.place = State::Place::kNewestOrSpare;
  state.held.shrink_to_fit();
  spare_.push_back(&state);
}

}  // namespace mokv::store
