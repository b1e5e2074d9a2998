// Serf's part of a push/pull: clocks, the last word on each member, and recent user events.
#include <absl/container/flat_hash_set.h>

#include "serf/core.h"

namespace mokv::serf {

std::string Core::LocalState(bool /*join*/) {
  PushPullState state{
      .ltime = clock_.now(), .event_ltime = event_clock_.now(), .query_ltime = query_clock_.now()};
  state.status_ltimes.reserve(members_.size());
  for (const auto& [name, info] : members_) {
    state.status_ltimes.emplace_back(name, info.status_ltime);
    if (info.status == MemberStatus::kLeft) state.left_members.push_back(name);
  }
  for (const auto& [place, slot] : event_ring_) {
    BufferedEvents events{.ltime = slot.ltime};
    for (const auto& [name, payload] : slot.events) events.events.emplace_back(name, payload);
    state.events.emplace_back(place, std::move(events));
  }
  return Encode(state);
}

void Core::MergeState(std::string_view bytes, StreamId stream) {
  PushPullState state;
  if (bytes.front() != static_cast<char>(SerfType::kPushPull) || !Decode(bytes.substr(1), &state)) {
    return Dropped(Drop::kMalformed);
  }
  // Theirs are what they will use next, so one less has been seen.
  if (state.ltime > 0 && !clock_.Witness(state.ltime - 1)) Dropped(Drop::kAbsurd);
  if (state.event_ltime > 0 && !event_clock_.Witness(state.event_ltime - 1)) {
    Dropped(Drop::kAbsurd);
  }
  if (state.query_ltime > 0 && !query_clock_.Witness(state.query_ltime - 1)) {
    Dropped(Drop::kAbsurd);
  }

  // Nothing of this is passed on: everybody exchanges lists.
  const absl::flat_hash_set<std::string_view> left(state.left_members.begin(),
                                                   state.left_members.end());
  for (const auto& [name, ltime] : state.status_ltimes) {
    if (left.contains(name)) {
      OnLeaveIntent({.ltime = ltime + 1, .node = name});
    } else {
      OnJoinIntent({.ltime = ltime, .node = name});
    }
  }
  // Who joins has not missed what happened before.
  if (joins_.contains(stream) && event_clock_.IsPlausible(state.event_ltime)) {
    event_min_ = std::max(event_min_, state.event_ltime);
  }
  for (const auto& [place, slot] : state.events) {
    for (const auto& [name, payload] : slot.events) {
      OnUserEvent({.ltime = slot.ltime, .name = name, .payload = payload});
    }
  }
}

}  // namespace mokv::serf
