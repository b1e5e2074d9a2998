// Datagrams: the UDP socket of an agent.
//
// Threads: confined to its I/O thread, but for Open, which comes before that thread uses it.
// Bounds:  kPacketsPerTurnMax read in one turn, so that a flood does not starve timers; the
//          kernel's buffers hold the rest, and drop what they cannot.
#pragma once

#include <absl/status/statusor.h>

#include <functional>
#include <memory>
#include <string_view>

#include "net/io_pool.h"
#include "serf/endpoint.h"

namespace mokv::serf {

class Datagrams {
 public:
  static constexpr int kPacketsPerTurnMax = 64;

  using OnPacket = std::function<void(const Endpoint& from, std::string_view packet)>;

  static absl::StatusOr<std::unique_ptr<Datagrams>> Open(net::IoThread& thread,
                                                         const Endpoint& bind);
  ~Datagrams();

  // `on_packet` for each; `on_turn` after some of them.
  void Start(OnPacket on_packet, std::function<void()> on_turn);
  // False if the socket would not take it; nothing is queued: the protocol expects losses.
  bool Send(const Endpoint& to, std::string_view packet);
  void Close();

 private:
  class Impl;
  explicit Datagrams(std::shared_ptr<Impl> impl);
  std::shared_ptr<Impl> impl_;
};

}  // namespace mokv::serf
