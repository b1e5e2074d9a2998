#include "sim/timeline.h"

#include "sim/world.h"

namespace mokv::sim {
namespace {

char RoleLetter(raft::Role role) {
  switch (role) {
    case raft::Role::kFollower:
      return 'F';
    case raft::Role::kPreCandidate:
      return 'P';
    case raft::Role::kCandidate:
      return 'C';
    case raft::Role::kLeader:
      return 'L';
  }
  return '?';
}

}  // namespace

void Timeline::Listen(const World& world, Sink sink, bool messages) {
  world_ = &world;
  sink_ = std::move(sink);
  messages_ = messages;
}

void Timeline::Print(Place place, const std::string& text) {
  const auto micros =
      std::chrono::duration_cast<std::chrono::microseconds>(world_->now().since_start).count();
  std::string line = fmt::format("{:>5}.{:06} ", micros / 1'000'000, micros % 1'000'000);
  for (Place lane = 0; lane < world_->places(); ++lane) {
    const raft::Core* core = world_->node(lane).core();
    std::string state = "---";
    if (core != nullptr) {
      state = fmt::format("{}{}{}", RoleLetter(core->role()), core->term(),
                          world_->paused(lane) ? "z" : "");
    }
    line += fmt::format("{:^7}", lane == place ? "[" + state + "]" : state);
  }
  line += "| ";
  if (place < world_->places()) line += world_->name(place) + " ";
  sink_(line + world_->WithNames(text));
}

void Timeline::PrintPacket(Place to, const char* how, Place from, const Packet& packet) {
  if (packet.passed != nullptr) {
    const auto* forward = std::get_if<replica::Forward>(packet.passed.get());
    return Print(to, fmt::format("{} {} {}", how, world_->name(from),
                                 forward == nullptr ? "an answer to a forward"
                                                    : fmt::format("forward {}", forward->id)));
  }
  const std::string text = ToString(packet.message);
  const size_t term = text.find("term ");
  Print(to, fmt::format("{} {} {}", how, world_->name(from),
                        term == std::string::npos ? text : text.substr(term)));
}

}  // namespace mokv::sim
