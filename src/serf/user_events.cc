// User events: short messages to everybody, each delivered once.
#include <algorithm>

#include "base/status.h"
#include "serf/core.h"

namespace mokv::serf {
namespace {

// What the ring may hold altogether; it travels in every push/pull.
constexpr size_t kEventRingBytesMax = size_t{1} << 20;

}  // namespace

absl::Status Core::SendUserEvent(MonotonicTime now, std::string_view name, std::string_view payload,
                                 bool coalesce) {
  now_ = now;
  UserEventMessage event{.name = name, .payload = payload, .coalesce = coalesce};
  event.ltime = event_clock_.now();
  const std::string message = Encode(event);
  if (name.size() + payload.size() > kUserEventBytesSendMax ||
      message.size() > kUserEventBytesSendMax) {
    return InvalidArgument("a user event may have {} bytes, name and all; this one has {}",
                           kUserEventBytesSendMax, message.size());
  }
  event_clock_.Tick();
  OnUserEvent(event);
  events_.Push(message);
  return absl::OkStatus();
}

Core::EventSlot* Core::SlotFor(LamportTime ltime) {
  EventSlot& slot = event_ring_[static_cast<uint32_t>(ltime % kRingSlots)];
  if (slot.ltime != ltime) {
    for (const auto& [name, payload] : slot.events) {
      event_ring_bytes_ -= name.size() + payload.size();
    }
    slot = {.ltime = ltime};
  }
  return &slot;
}

bool Core::OnUserEvent(const UserEventMessage& event) {
  if (event.name.size() + event.payload.size() > kUserEventBytesMax) {
    Dropped(Drop::kTooLarge);
    return false;
  }
  if (!event_clock_.Witness(event.ltime)) {
    Dropped(Drop::kAbsurd);
    return false;
  }
  if (event.ltime < event_min_ || event.ltime + kRingSlots < event_clock_.now()) return false;
  EventSlot& slot = *SlotFor(event.ltime);
  const auto same = [&](const auto& known) {
    return known.first == event.name && known.second == event.payload;
  };
  if (std::any_of(slot.events.begin(), slot.events.end(), same)) return false;
  const size_t bytes = event.name.size() + event.payload.size();
  if (slot.events.size() >= kEventsPerSlotMax || event_ring_bytes_ + bytes > kEventRingBytesMax) {
    Dropped(Drop::kQueueFull);
    return false;
  }
  event_ring_bytes_ += bytes;
  slot.events.emplace_back(event.name, event.payload);
  ++stats_.user_events_received;
  output_.events.push_back(UserEvent{.name = std::string(event.name),
                                     .payload = std::string(event.payload),
                                     .ltime = event.ltime,
                                     .coalesce = event.coalesce});
  return true;
}

}  // namespace mokv::serf
