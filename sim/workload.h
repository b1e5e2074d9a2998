// Workload: clients of the key-value store, each with one operation at a time, and the history as
// they saw it: an answer is what it says, no answer in time is an unknown outcome, a refusal is
// certainly nothing (and so leaves no trace in the history).
//
// Some clients of replicas have a session. They send a write again and again, to anybody, until they
// have an answer: in the history it is one operation, from its first attempt to that answer. Now and
// then such a client is silent for so long that its session may end.
//
// Threads: confined to the run's.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "sim/lincheck/history.h"
#include "sim/plan.h"
#include "sim/world.h"

namespace mokv::sim {

class Workload {
 public:
  // `committed`: what is committed anywhere, for the checks.
  using Committed = std::function<Index()>;

  Workload(const Plan& plan, World& world, Timeline& timeline, Coverage& coverage,
           Committed committed);

  void Begin();
  // Nothing new begins after so many.
  void set_operations_max(uint64_t operations) { operations_max_ = operations; }
  // For so long some clients ask nobody but `place`, and often, and the others write to everybody
  // else; or, if `writes`, all of them write to `place`.
  void Focus(Place place, Duration length, bool writes);
  // From now on all ask whoever leads, whatever they were told to do before.
  void AskTheLeader();
  void OnReply(Place place, const ClientReply& reply);

  uint64_t operations() const { return operations_; }
  // When the newest write that is done began.
  MonotonicTime newest_write_done() const { return newest_write_done_; }
  // Finished and, with unknown outcome, unfinished ones.
  std::vector<lincheck::Operation> History() const;

 private:
  struct Client {
    Dice dice;
    Place target = 0;
    uint64_t operation = 0;  // The one under way; 0: none.
    Command command;
    MonotonicTime began;
    uint64_t wake = 0;  // Tells the newest timer from those that do not count any more.
    bool stale = false;
    bool makes_room = false;  // Deletes something next: there was no memory for what it wrote.
    uint64_t revision = 0;    // The newest that it was told of.
    std::array<uint64_t, kKeysMax> last_seen{};

    // --- Of sessions.
    Dice session_dice;  // So that clients without them draw what they always drew.
    bool has_sessions = false;
    uint64_t session = 0;   // 0: none, at the moment.
    uint64_t sequence = 0;  // Of the newest write in it.
    uint64_t ttl_ms = 0;
    SessionCall call = SessionCall::kNone;
    bool in_session = false;  // The command is.
    bool unsure = false;      // An attempt of the command may have been carried out.
    bool again = false;       // The command is to be sent once more.
  };

  bool focused() const { return world_.now() < focus_until_; }
  void WakeAfter(size_t number, Duration delay);
  void GiveUp(Client& client, size_t number);
  void Draw(Client& client, size_t number);
  void TakeOfSession(Client& client, const ClientReply& reply);
  // The write is over, and nobody knows whether it was carried out.
  void LeaveUnknown(Client& client, size_t number);
  Duration Pause(Client& client);
  void Next(size_t number);
  Command DrawCommand(Client& client, size_t number);
  ClientRequest Request(Client& client) const;
  void Send(size_t number);
  void Arrive(Place to, ClientRequest request);
  void Take(Client& client, size_t number, Place place, const ClientReply& reply);
  lincheck::Operation OperationOf(const Client& client, size_t number, lincheck::Outcome outcome,
                                  std::optional<uint64_t> read) const;
  void Finish(size_t number);

  const Plan& plan_;
  World& world_;
  Timeline& timeline_;
  Coverage& coverage_;
  Committed committed_;
  std::vector<Client> clients_;
  uint64_t operations_ = 0;
  uint64_t operations_max_ = 3000;
  uint64_t values_ = 0;
  Place focus_ = kPlacesMax;
  bool focus_patient_ = false;
  bool focus_writes_ = false;
  bool ask_leader_ = false;
  MonotonicTime focus_until_;
  MonotonicTime newest_write_done_;
  std::vector<lincheck::Operation> history_;
};

}  // namespace mokv::sim
