#include "serf/user_events.h"

#include <algorithm>

#include "base/status.h"

namespace mokv::serf {
namespace {

// What the ring may hold altogether; it travels in every exchange of lists.
constexpr size_t kRingBytesMax = size_t{1} << 20;

}  // namespace

UserEvents::UserEvents(Environment& env, GossipQueues& queues) : env_(env), queues_(queues) {
  clock_.Restore(env.options.event_clock);
  // What happened before a restart was heard then.
  if (env.options.event_clock > 0) ignored_before_ = clock_.now();
}

absl::Status UserEvents::Send(std::string_view name, std::string_view payload) {
  const UserEventMessage event{
      .ltime = clock_.now(), .name = name, .payload = payload, .coalesce = true};
  const std::string message = Encode(event);
  if (message.size() > kUserEventBytesSendMax) {
    return InvalidArgument("a user event may have {} bytes, name and all; this one has {}",
                           kUserEventBytesSendMax, message.size());
  }
  clock_.Tick();
  OnEvent(event);
  queues_.events.Push(message);
  return absl::OkStatus();
}

UserEvents::Slot& UserEvents::SlotFor(LamportTime ltime) {
  Slot& slot = ring_[static_cast<uint32_t>(ltime % kRingSlots)];
  if (slot.ltime != ltime) {
    for (const auto& [name, payload] : slot.events) ring_bytes_ -= name.size() + payload.size();
    slot = {.ltime = ltime};
  }
  return slot;
}

bool UserEvents::OnEvent(const UserEventMessage& event) {
  const size_t bytes = event.name.size() + event.payload.size();
  if (bytes > kUserEventBytesMax) {
    env_.Dropped(Drop::kTooLarge);
    return false;
  }
  if (!clock_.Witness(event.ltime)) {
    env_.Dropped(Drop::kAbsurd);
    return false;
  }
  if (event.ltime < ignored_before_ || event.ltime + kRingSlots < clock_.now()) return false;
  Slot& slot = SlotFor(event.ltime);
  const auto same = [&](const auto& known) {
    return known.first == event.name && known.second == event.payload;
  };
  if (std::any_of(slot.events.begin(), slot.events.end(), same)) return false;
  if (slot.events.size() >= kEventsPerSlotMax || ring_bytes_ + bytes > kRingBytesMax) {
    env_.Dropped(Drop::kQueueFull);
    return false;
  }
  ring_bytes_ += bytes;
  slot.events.emplace_back(event.name, event.payload);
  ++env_.stats.user_events_received;
  env_.output.events.push_back(UserEvent{.name = std::string(event.name),
                                         .payload = std::string(event.payload),
                                         .ltime = event.ltime,
                                         .coalesce = event.coalesce});
  return true;
}

std::vector<std::pair<uint32_t, BufferedEvents>> UserEvents::Remembered() const {
  std::vector<std::pair<uint32_t, BufferedEvents>> remembered;
  for (const auto& [place, slot] : ring_) {
    BufferedEvents events{.ltime = slot.ltime};
    for (const auto& [name, payload] : slot.events) events.events.emplace_back(name, payload);
    remembered.emplace_back(place, std::move(events));
  }
  return remembered;
}

void UserEvents::IgnoreBefore(LamportTime ltime) {
  if (clock_.IsPlausible(ltime)) ignored_before_ = std::max(ignored_before_, ltime);
}

}  // namespace mokv::serf
