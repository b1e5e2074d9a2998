// Datagrams: the UDP socket of an agent.
//
// Threads: confined to its I/O thread. Only Open is for another one, before that thread uses it.
// Bounds:  reads kPacketsPerTurnMax packets in one turn, so that a flood does not starve timers.
//          The kernel's buffer holds the rest, and drops what does not fit.
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

  // Calls `on_packet` for each packet, and `on_turn` after all that were read in a turn.
  void Start(OnPacket on_packet, std::function<void()> on_turn);
  // False if the socket does not take it. Nothing is queued: the protocol expects losses.
  bool Send(const Endpoint& to, std::string_view packet);
  void Close();

 private:
  class Impl;
  explicit Datagrams(std::shared_ptr<Impl> impl);
  std::shared_ptr<Impl> impl_;
};

}  // namespace mokv::serf
