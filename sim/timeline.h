// Timeline: what happened, for people. One line an event, one lane a node:
//
//       12.345678   F3    L4   [F4]   ---   F4  | n2 <- n1 term 4 Append previous 7/3 ...
//
// A lane shows the node's role and term at that moment (Follower, Pre-candidate, Candidate, Leader;
// `---` is down, `z` after the term is paused); the brackets show whose event it is.
//
// Threads: confined to the run's. Costs nothing but a test of a pointer when nobody listens.
#pragma once

#include <fmt/format.h>

#include <functional>
#include <string>

#include "sim/node.h"

namespace mokv::sim {

class World;

class Timeline {
 public:
  using Sink = std::function<void(const std::string& line)>;

  // `messages`: every message as well, not only what it leads to.
  void Listen(const World& world, Sink sink, bool messages);
  bool on() const { return sink_ != nullptr; }

  template <typename... Args>
  void Note(Place place, fmt::format_string<Args...> format, Args&&... args) {
    if (on()) Print(place, fmt::format(format, std::forward<Args>(args)...));
  }
  void Received(Place from, Place to, const Packet& packet) {
    if (on() && messages_) PrintPacket(to, "<-", from, packet);
  }
  void Lost(Place from, Place to, const Packet& packet) {
    if (on() && messages_) PrintPacket(to, "lost from", from, packet);
  }

 private:
  void Print(Place place, const std::string& text);
  void PrintPacket(Place to, const char* how, Place from, const Packet& packet);

  const World* world_ = nullptr;
  Sink sink_;
  bool messages_ = false;
};

}  // namespace mokv::sim
