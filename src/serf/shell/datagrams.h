// Datagrams: the UDP socket of an agent.
//
// Threads: confined to its I/O thread. Only Open is for another one, before that thread uses it.
// Owner:   whoever opened it must Close it; the callbacks are not called after that.
// Bounds:  reads kPacketsPerTurnMax packets in one turn, so that a flood does not starve timers.
//          The kernel's buffer holds the rest, and drops what does not fit.
#pragma once

#include <absl/status/statusor.h>

#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include <asio/ip/udp.hpp>

#include "net/io_pool.h"
#include "serf/endpoint.h"

namespace mokv::serf {

class Datagrams : public std::enable_shared_from_this<Datagrams> {
 public:
  static constexpr int kPacketsPerTurnMax = 64;

  using OnPacket = std::function<void(const Endpoint& from, std::string_view packet)>;

  static absl::StatusOr<std::shared_ptr<Datagrams>> Open(net::IoThread& thread,
                                                         const Endpoint& bind);

  // Calls `on_packet` for each packet, and `on_turn` after all that were read in a turn.
  void Start(OnPacket on_packet, std::function<void()> on_turn);
  // False if the socket does not take it. Nothing is queued: the protocol expects losses.
  bool Send(const Endpoint& to, std::string_view packet);
  void Close();

 private:
  explicit Datagrams(net::IoThread& thread);
  absl::Status Bind(const Endpoint& bind);
  void Wait();
  void ReadAvailable();

  asio::ip::udp::socket socket_;
  bool is_ipv6_ = false;
  std::vector<char> buffer_;
  OnPacket on_packet_;
  std::function<void()> on_turn_;
};

}  // namespace mokv::serf
