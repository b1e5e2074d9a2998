// World: the places where nodes run, with their clocks, pauses and lives; what travels between
// them; and time. Everything that happens, happens here, in one thread.
//
// Threads: confined to the run's.
#pragma once

#include <array>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "sim/coverage.h"
#include "sim/event_queue.h"
#include "sim/network.h"
#include "sim/node.h"
#include "sim/node_clock.h"
#include "sim/timeline.h"

namespace mokv::sim {

class World final : public Host {
 public:
  // Told of every message that leaves, before anything else happens to it.
  using SendHook = std::function<void(Place from, Place to, const raft::Message&)>;
  using ReplyHook = std::function<void(Place, const ClientReply&)>;

  World(uint64_t seed, Network network, Duration turn_delay_max, Timeline& timeline,
        Coverage& coverage);
  // One turn in so many is interrupted where that is possible, mostly for a moment, sometimes for
  // up to `longest`; 0: none. `look` is called wherever one could be, and after all that happens
  // meanwhile.
  void InterruptTurns(uint64_t one_in, Duration longest, std::function<void()> look);

  // Places are numbered in the order of their adding.
  Place Add(std::string name, raft::NodeId id, std::unique_ptr<Node> node);
  size_t places() const { return seats_.size(); }
  const std::string& name(Place place) const { return seats_[place].name; }
  Node& node(Place place) { return *seats_[place].node; }
  const Node& node(Place place) const { return *seats_[place].node; }
  NodeClock& clock(Place place) { return seats_[place].clock; }
  EventQueue& queue() { return queue_; }
  MonotonicTime now() const { return queue_.now(); }
  Network& network() { return network_; }
  void set_send_hook(SendHook hook) { send_hook_ = std::move(hook); }
  void set_reply_hook(ReplyHook hook) { reply_hook_ = std::move(hook); }

  bool up(Place place) const { return seats_[place].node->up(); }
  bool paused(Place place) const { return seats_[place].pauses > 0; }
  // The text with the nodes' ids, which are fingerprints, replaced by their names.
  std::string WithNames(const std::string& text) const;
  // Who leads the newest term, as far as anybody does; kPlacesMax if nobody.
  Place Leader() const;

  // --- What faults do.
  void Start(Place place);
  // Its connections close: peers that know of it are told so if `noticed`.
  void Crash(Place place, uint64_t kept_permille, bool noticed);
  void Wipe(Place place, const raft::Member& member);
  void Pause(Place place);
  void Resume(Place place);
  void SetClockRate(Place place, int64_t permille);
  void JumpClock(Place place, Duration forward);
  // Both ends see the connection close.
  void ResetConnection(Place one, Place other);

  // Part of the place's next turn; dropped if it is down then, or has been in between.
  void Input(Place place, std::function<void()> action);

  // --- Host.
  MonotonicTime Now(Place place) const override { return seats_[place].clock.Read(now()); }
  void After(Place place, Duration delay, std::function<void()> action) override;
  void Beside(Place place, Duration delay, std::function<void()> action) override;
  void Interrupt(Place place, bool handed_over) override;
  void Send(Place from, Packet packet) override;
  void Reply(Place place, ClientReply reply) override { reply_hook_(place, reply); }
  Place PlaceOf(raft::NodeId id) const override;
  bool CanConnect(Place from, Place to) const override;

 private:
  struct Seat {
    std::string name;
    std::unique_ptr<Node> node;
    NodeClock clock;
    uint64_t life = 0;
    int pauses = 0;
    std::vector<std::function<void()>> inbox;
    bool turn_due = false;
    bool in_turn = false;
    MonotonicTime wake_at = MonotonicTime::Max();  // The earliest tick that is in the queue.
  };
  struct InFlight {
    Packet packet;
    Place from = 0;
    Place to = 0;
    uint64_t life = 0;  // Of the sender.
    uint64_t number = 0;
    int copies = 0;
  };

  void ScheduleTurn(Place place);
  void Turn(Place place);
  void ScheduleWake(Place place);
  void Arrive(size_t slot);
  void TellSender(const InFlight& flight);

  Dice dice_;
  EventQueue queue_;
  Network network_;
  Duration turn_delay_max_;
  Timeline& timeline_;
  Coverage& coverage_;
  std::vector<Seat> seats_;
  std::map<raft::NodeId, Place> places_;
  std::deque<InFlight> flights_;
  std::vector<size_t> free_flights_;
  std::array<std::array<uint64_t, kPlacesMax>, kPlacesMax> sent_{};
  std::array<std::array<uint64_t, kPlacesMax>, kPlacesMax> arrived_{};
  Dice interrupts_;
  uint64_t interrupt_one_in_ = 0;
  Duration interrupt_longest_{0};
  int interrupted_ = 0;  // Turns, at the moment.
  std::function<void()> look_;
  SendHook send_hook_;
  ReplyHook reply_hook_;
};

}  // namespace mokv::sim
