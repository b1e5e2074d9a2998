#include "sim/world.h"

#include <absl/strings/numbers.h>

#include <algorithm>
#include <string_view>
#include <utility>

#include "base/check.h"

namespace mokv::sim {
namespace {

// How long a sender takes to notice that a connection is broken.
constexpr Duration kNotice = std::chrono::milliseconds(20);
// Timers are seldom on time to the nanosecond.
constexpr Duration kTimerSlack = std::chrono::microseconds(200);
constexpr Duration kStartAgain = std::chrono::milliseconds(100);
// Most turns that are interrupted go on soon, and some are inside each other.
constexpr Duration kInterruption = std::chrono::milliseconds(2);
constexpr int kInterruptedMax = 2;
// Of interrupted turns one in so many does not go on soon.
constexpr uint64_t kLongOneIn = 8;
// After the leadership was handed over one turn in so many is interrupted, and of these one in so
// many does not go on soon.
constexpr uint64_t kHandedOverOneIn = 2;

}  // namespace

World::World(uint64_t seed, Network network, Duration turn_delay_max, Timeline& timeline,
             Coverage& coverage)
    : dice_(seed, /*stream=*/1),
      network_(std::move(network)),
      turn_delay_max_(turn_delay_max),
      timeline_(timeline),
      coverage_(coverage),
      interrupts_(seed, /*stream=*/4) {
  seats_.reserve(kPlacesMax);
}

void World::InterruptTurns(uint64_t one_in, Duration longest, std::function<void()> look) {
  interrupt_one_in_ = one_in;
  interrupt_longest_ = longest;
  look_ = std::move(look);
}

Place World::Add(std::string name, raft::NodeId id, std::unique_ptr<Node> node) {
  MOKV_CHECK_LT(seats_.size(), kPlacesMax);
  Seat& seat = seats_.emplace_back();
  seat.name = std::move(name);
  seat.node = std::move(node);
  places_[id] = seats_.size() - 1;
  return seats_.size() - 1;
}

Place World::PlaceOf(raft::NodeId id) const {
  const auto place = places_.find(id);
  return place == places_.end() ? kPlacesMax : place->second;
}

std::string World::WithNames(const std::string& text) const {
  constexpr std::string_view kDigits = "0123456789";
  std::string named;
  for (size_t at = 0; at < text.size();) {
    const size_t digits = std::min(text.find_first_not_of(kDigits, at), text.size()) - at;
    uint64_t number = 0;
    const Place place = digits > 0 && absl::SimpleAtoi(text.substr(at, digits), &number)
                            ? PlaceOf(raft::NodeId(number))
                            : kPlacesMax;
    if (place == kPlacesMax) {
      named += text.substr(at, std::max<size_t>(digits, 1));
    } else {
      // Another disk under the name: another node.
      named += name(place) + (seats_[place].node->id() == raft::NodeId(number) ? "" : "(former)");
    }
    at += std::max<size_t>(digits, 1);
  }
  return named;
}

Place World::Leader() const {
  Place leader = kPlacesMax;
  Term newest;
  for (Place place = 0; place < seats_.size(); ++place) {
    const raft::Core* core = seats_[place].node->core();
    if (core == nullptr || core->role() != raft::Role::kLeader || core->term() <= newest) continue;
    newest = core->term();
    leader = place;
  }
  return leader;
}

void World::Start(Place place) {
  Seat& seat = seats_[place];
  MOKV_CHECK(!seat.node->up());
  if (seat.in_turn) {
    // The turn in which it died is not over: an artifact of this simulator.
    queue_.After(kTimerSlack, [this, place] {
      if (!up(place)) Start(place);
    });
    return;
  }
  // Another boot of the machine: its monotonic clock begins anew.
  seat.clock.Begin(
      now(), MonotonicTime(dice_.Between(std::chrono::seconds(10), std::chrono::seconds(1000))));
  seat.node->Start();
  if (!up(place)) {
    // There is no room on its disk: it is started again and again.
    queue_.After(kStartAgain, [this, place] {
      if (!up(place)) Start(place);
    });
    return;
  }
  ScheduleTurn(place);
}

void World::Crash(Place place, uint64_t kept_permille, bool noticed) {
  Seat& seat = seats_[place];
  MOKV_CHECK(seat.node->up());
  const raft::NodeId id = seat.node->id();
  seat.node->Crash(kept_permille);
  ++seat.life;
  seat.inbox.clear();
  seat.wake_at = MonotonicTime::Max();
  for (Place other = 0; other < seats_.size(); ++other) {
    if (other == place || !up(other)) continue;
    // A snapshot that was on its way fails in any case.
    Packet lost;
    lost.message = {.to = id, .body = raft::InstallSnapshot()};
    After(other, kNotice, [this, other, lost] { node(other).OnLost(lost); });
    if (noticed && !network_.IsCut(place, other)) {
      After(other, dice_.Between(Duration(1000), kNotice),
            [this, other, id] { node(other).ConnectionClosed(id); });
    }
  }
}

void World::Wipe(Place place, const raft::Member& member) {
  seats_[place].node->Wipe(member);
  places_[member.id] = place;
}

void World::Pause(Place place) { ++seats_[place].pauses; }

void World::Resume(Place place) {
  MOKV_CHECK_GT(seats_[place].pauses, 0);
  if (--seats_[place].pauses == 0) ScheduleTurn(place);
}

// Timers are set by the node's clock, so it must look at it again.
void World::SetClockRate(Place place, int64_t permille) {
  timeline_.Note(place, "its clock runs at {} permille", permille);
  seats_[place].clock.SetRate(now(), permille);
  if (up(place)) ScheduleTurn(place);
}

void World::JumpClock(Place place, Duration forward) {
  timeline_.Note(place, "its clock jumps by {} ms", forward.count() / 1'000'000);
  seats_[place].clock.Jump(now(), forward);
  if (up(place)) ScheduleTurn(place);
}

void World::ResetConnection(Place one, Place other) {
  for (const auto& [here, there] : {std::pair(one, other), std::pair(other, one)}) {
    const raft::NodeId peer = node(there).id();
    After(here, dice_.Between(Duration(1000), kNotice),
          [this, here = here, peer] { node(here).ConnectionClosed(peer); });
  }
}

void World::Input(Place place, std::function<void()> action) {
  if (!up(place)) return;
  seats_[place].inbox.push_back(std::move(action));
  ScheduleTurn(place);
}

void World::After(Place place, Duration delay, std::function<void()> action) {
  queue_.After(delay, [this, place, life = seats_[place].life, action = std::move(action)] {
    if (seats_[place].life == life) Input(place, action);
  });
}

void World::ScheduleTurn(Place place) {
  Seat& seat = seats_[place];
  if (seat.turn_due || seat.pauses > 0 || seat.in_turn) return;
  seat.turn_due = true;
  // What arrives until then is handled in the same turn.
  const Duration delay =
      turn_delay_max_ > Duration(0) ? dice_.Between(Duration(0), turn_delay_max_) : Duration(0);
  queue_.After(delay, [this, place] { Turn(place); });
}

void World::Turn(Place place) {
  Seat& seat = seats_[place];
  seat.turn_due = false;
  if (!seat.node->up() || seat.pauses > 0) return;
  // What has arrived comes before the tick, after a long pause, too.
  const std::vector<std::function<void()>> inbox = std::exchange(seat.inbox, {});
  seat.in_turn = true;
  for (const auto& action : inbox) action();
  if (Now(place) >= seat.node->NextDeadline()) seat.node->Tick();
  seat.node->EndTurn();
  seat.in_turn = false;
  if (!seat.node->up()) return;
  if (!seat.inbox.empty()) ScheduleTurn(place);  // What came in the meantime.
  ScheduleWake(place);
}

void World::Beside(Place place, Duration delay, std::function<void()> action) {
  queue_.After(delay, [this, place, life = seats_[place].life, action = std::move(action)] {
    if (seats_[place].life != life || !up(place)) return;
    if (paused(place)) return Input(place, action);
    action();
    Input(place, [] {});  // It may have something for the next turn.
  });
}

void World::Interrupt(Place place, bool handed_over) {
  if (look_ == nullptr) return;
  look_();
  if (interrupt_one_in_ == 0) return;
  if (!interrupts_.OneIn(handed_over ? kHandedOverOneIn : interrupt_one_in_)) return;
  if (interrupted_ == kInterruptedMax || !up(place)) return;
  const bool is_long = interrupts_.OneIn(handed_over ? kHandedOverOneIn : kLongOneIn);
  const Duration length =
      interrupts_.Between(Duration(0), is_long ? interrupt_longest_ : kInterruption);
  ++interrupted_;
  ++coverage_.interrupted;
  const MonotonicTime end = now() + length;
  while (up(place) && queue_.Next(end)) look_();
  --interrupted_;
}

bool World::CanConnect(Place from, Place to) const {
  return up(to) && !network_.IsCut(from, to) && !network_.IsCut(to, from);
}

void World::ScheduleWake(Place place) {
  Seat& seat = seats_[place];
  const MonotonicTime deadline = seat.node->NextDeadline();
  if (deadline == MonotonicTime::Max()) return;
  const MonotonicTime when = std::max(seat.clock.When(deadline), now());
  // An earlier one is in the queue already; it looks again.
  if (seat.wake_at <= when) return;
  seat.wake_at = when;
  queue_.At(when + dice_.Between(Duration(0), kTimerSlack), [this, place, life = seat.life, when] {
    Seat& woken = seats_[place];
    if (woken.life != life || woken.wake_at != when) return;
    woken.wake_at = MonotonicTime::Max();
    if (!woken.node->up()) return;
    if (Now(place) >= woken.node->NextDeadline()) return ScheduleTurn(place);
    ScheduleWake(place);
  });
}

void World::Send(Place from, Packet packet) {
  const Place to = PlaceOf(packet.message.to);
  if (packet.passed == nullptr) ++coverage_.sent[packet.message.body.index()];
  if (to == kPlacesMax) return;
  if (packet.passed == nullptr) send_hook_(from, to, packet.message);
  const Network::Fate fate = network_.Send(from, to);
  size_t slot = flights_.size();
  if (free_flights_.empty()) {
    flights_.emplace_back();
  } else {
    slot = free_flights_.back();
    free_flights_.pop_back();
  }
  flights_[slot] = {.packet = std::move(packet),
                    .from = from,
                    .to = to,
                    .life = seats_[from].life,
                    .number = ++sent_[from][to],
                    .copies = fate.copies};
  if (fate.copies == 0) {
    timeline_.Lost(from, to, flights_[slot].packet);
    TellSender(flights_[slot]);
    free_flights_.push_back(slot);
    return;
  }
  for (int copy = 0; copy < fate.copies; ++copy) {
    queue_.After(fate.delays[static_cast<size_t>(copy)], [this, slot] { Arrive(slot); });
  }
}

void World::Arrive(size_t slot) {
  InFlight& flight = flights_[slot];
  const Place to = flight.to;
  const bool last = --flight.copies == 0;
  if (!up(to) || network_.IsCut(flight.from, to)) {
    ++coverage_.lost_on_arrival;
    timeline_.Lost(flight.from, to, flight.packet);
    TellSender(flight);
  } else {
    uint64_t& newest = arrived_[flight.from][to];
    if (flight.number < newest) ++coverage_.reordered;
    newest = std::max(newest, flight.number);
    if (flight.packet.passed == nullptr) {
      ++coverage_.received[flight.packet.message.body.index()];
    }
    Input(to, [this, from = flight.from, to, packet = flight.packet] {
      timeline_.Received(from, to, packet);
      node(to).Receive(packet);
    });
  }
  if (!last) return;
  flights_[slot].packet = Packet();
  free_flights_.push_back(slot);
}

void World::TellSender(const InFlight& flight) {
  // Nobody misses other messages of cores.
  if (flight.packet.connection == replica::ConnectionId() &&
      !std::holds_alternative<raft::InstallSnapshot>(flight.packet.message.body)) {
    return;
  }
  if (seats_[flight.from].life != flight.life || !up(flight.from)) return;
  After(flight.from, kNotice,
        [this, from = flight.from, packet = flight.packet] { node(from).OnLost(packet); });
}

}  // namespace mokv::sim
