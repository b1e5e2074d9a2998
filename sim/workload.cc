#include "sim/workload.h"

#include <fmt/format.h>

#include <utility>

namespace mokv::sim {
namespace {

constexpr Duration kRequestMin = std::chrono::microseconds(50);
constexpr Duration kRequestMax = std::chrono::milliseconds(1);
// Shorter than what sessions have at most, and longer.
constexpr Duration kSilenceMin = std::chrono::seconds(1);
constexpr Duration kSilenceMax = std::chrono::seconds(6);
constexpr uint64_t kSilentOneIn = 40;      // Operations of a client.
constexpr uint64_t kSilentAgainOneIn = 4;  // Of those that are to be sent again.
constexpr uint64_t kKeepAliveOneIn = 12;

std::string TextOf(const Command& command) {
  switch (command.op) {
    case Op::kGet:
      return fmt::format("get k{}", command.key);
    case Op::kSet:
      return fmt::format("set k{} = {}", command.key, command.value);
    case Op::kDelete:
      return fmt::format("delete k{}", command.key);
    case Op::kCas:
      return fmt::format("cas k{} {} -> {}", command.key, command.expected, command.value);
  }
  return "";
}

std::string TextOf(const ClientRequest& request) {
  if (request.call == SessionCall::kOpen) return fmt::format("open for {} ms", request.ttl_ms);
  if (request.call == SessionCall::kKeepAlive) return fmt::format("keep {} alive", request.session);
  if (request.session == 0) return TextOf(request.command);
  return fmt::format("{} in {} as {}", TextOf(request.command), request.session, request.sequence);
}

std::optional<std::string> ValueText(uint64_t value) {
  if (value == 0) return std::nullopt;
  return std::to_string(value);
}

lincheck::Kind KindOf(Op op) {
  switch (op) {
    case Op::kGet:
      return lincheck::Kind::kGet;
    case Op::kSet:
      return lincheck::Kind::kSet;
    case Op::kDelete:
      return lincheck::Kind::kDelete;
    case Op::kCas:
      break;
  }
  return lincheck::Kind::kCas;
}

}  // namespace

Workload::Workload(const Plan& plan, World& world, Timeline& timeline, Coverage& coverage,
                   Committed committed)
    : plan_(plan),
      world_(world),
      timeline_(timeline),
      coverage_(coverage),
      committed_(std::move(committed)) {
  for (size_t i = 0; i < plan.workload.clients; ++i) {
    Client& client = clients_.emplace_back(Client{.dice = Dice(plan.seed, /*stream=*/200 + i),
                                                  .session_dice = Dice(plan.seed, 300 + i)});
    client.has_sessions = plan.workload.sessions && client.session_dice.Below(3) > 0;
  }
}

void Workload::Begin() {
  for (size_t i = 0; i < clients_.size(); ++i) {
    WakeAfter(i, clients_[i].dice.Between(Duration(0), plan_.workload.think));
  }
}

void Workload::Focus(Place place, Duration length, bool writes) {
  focus_writes_ = writes;
  focus_ = place;
  focus_until_ = world_.now() + length;
  focus_patient_ = !focus_patient_;
  for (size_t i = 0; i < clients_.size(); ++i) {
    if (clients_[i].operation == 0) WakeAfter(i, Duration(0));
  }
}

void Workload::AskTheLeader() {
  ask_leader_ = true;
  focus_until_ = world_.now();
  for (size_t i = 0; i < clients_.size(); ++i) {
    if (clients_[i].has_sessions && clients_[i].operation == 0) WakeAfter(i, Duration(0));
  }
}

void Workload::WakeAfter(size_t number, Duration delay) {
  const uint64_t wake = ++clients_[number].wake;
  world_.queue().After(delay, [this, number, wake] {
    if (clients_[number].wake == wake) Next(number);
  });
}

// The client is free, or has waited long enough for its operation.
void Workload::Next(size_t number) {
  Client& client = clients_[number];
  if (client.operation != 0) {
    GiveUp(client, number);
    if (client.again && client.session_dice.OneIn(kSilentAgainOneIn)) {
      return WakeAfter(number, Pause(client));
    }
  }
  if (operations_ >= operations_max_) return WakeAfter(number, plan_.workload.think);
  client.operation = ++operations_;
  if (std::exchange(client.again, false)) {
    ++coverage_.sent_again;
  } else {
    client.began = world_.now();
    Draw(client, number);
  }
  Send(number);
  Duration timeout = plan_.workload.timeout;
  if (focused() && !focus_patient_) timeout = plan_.election_timeout() / 4;
  WakeAfter(number, timeout);
}

void Workload::GiveUp(Client& client, size_t number) {
  ++coverage_.operations_unknown;
  timeline_.Note(kPlacesMax, "c{} gives up #{}: outcome unknown", number, client.operation);
  client.operation = 0;
  client.stale = false;
  client.target = client.dice.Below(world_.places());
  if (client.call != SessionCall::kNone) return;
  if (client.in_session) {
    client.unsure = client.again = true;
  } else if (client.command.op != Op::kGet) {
    LeaveUnknown(client, number);
  }
}

void Workload::LeaveUnknown(Client& client, size_t number) {
  history_.push_back(OperationOf(client, number, lincheck::Outcome::kUnknown, {}));
}

// Once all is repaired nobody is waited for.
Duration Workload::Pause(Client& client) {
  if (ask_leader_) return Duration(0);
  return client.session_dice.Between(kSilenceMin, kSilenceMax);
}

void Workload::Draw(Client& client, size_t number) {
  client.unsure = client.in_session = false;
  client.call = SessionCall::kNone;
  if (std::exchange(client.makes_room, false)) {
    client.command = {.op = Op::kDelete,
                      .key = static_cast<uint32_t>(operations_ % plan_.workload.keys)};
    return;
  }
  if (client.has_sessions && client.session == 0) {
    client.call = SessionCall::kOpen;
    client.ttl_ms = 1000 + client.session_dice.Below(3000);
    return;
  }
  if (client.has_sessions && client.session_dice.OneIn(kKeepAliveOneIn)) {
    client.call = SessionCall::kKeepAlive;
    return;
  }
  client.command = DrawCommand(client, number);
  client.in_session = client.session != 0 && client.command.op != Op::kGet;
  if (client.in_session) ++client.sequence;
}

Command Workload::DrawCommand(Client& client, size_t number) {
  Dice& dice = client.dice;
  Command command;
  command.key = static_cast<uint32_t>(dice.Below(plan_.workload.keys));
  bool read = dice.Percent(plan_.workload.read_percent);
  if (focused()) {
    command.key = 0;
    read = !focus_writes_ && number % 2 == 0;
  }
  if (read) return command;
  const uint64_t what = dice.Below(10);
  command.op = what < 6 ? Op::kSet : what < 7 ? Op::kDelete : Op::kCas;
  if (command.op != Op::kDelete) command.value = ++values_;
  if (command.op == Op::kCas) command.expected = client.last_seen[command.key];
  return command;
}

void Workload::Send(size_t number) {
  Client& client = clients_[number];
  if (ask_leader_ && world_.Leader() != kPlacesMax) client.target = world_.Leader();
  Place to = client.target;
  if (focused() && focus_writes_) {
    to = focus_;
  } else if (focused()) {
    if (number % 2 == 0) {
      to = focus_;
    } else if (to == focus_) {
      to = client.target = (focus_ + 1 + client.dice.Below(world_.places() - 1)) % world_.places();
    }
  } else if (client.call == SessionCall::kNone && client.command.op == Op::kGet &&
             client.dice.Percent(plan_.workload.follower_percent)) {
    to = client.dice.Below(world_.places());
  }
  const ClientRequest request = Request(client);
  world_.queue().After(client.dice.Between(kRequestMin, kRequestMax),
                       [this, to, request] { Arrive(to, request); });
}

ClientRequest Workload::Request(Client& client) const {
  ClientRequest request{.id = client.operation, .command = client.command};
  request.by_lease = client.dice.Percent(plan_.workload.lease_percent);
  if (plan_.nodes == NodeKind::kCores) return request;
  // Some nodes give up before their clients, some clients before their nodes.
  request.patience = plan_.workload.timeout * client.dice.Between(1, 6) / 4;
  request.call = client.call;
  if (client.in_session || client.call == SessionCall::kKeepAlive) request.session = client.session;
  request.sequence = client.sequence;
  request.ttl_ms = client.ttl_ms;
  const bool get = client.call == SessionCall::kNone && client.command.op == Op::kGet;
  client.stale = get && client.dice.Percent(plan_.workload.stale_percent);
  request.stale = client.stale;
  request.min_revision = client.revision;
  return request;
}

void Workload::Arrive(Place to, ClientRequest request) {
  if (!world_.up(to)) return OnReply(to, {.id = request.id, .kind = ReplyKind::kRefused});
  request.committed_before = committed_();
  const auto submit = [this, to, request] {
    timeline_.Note(to, "asked #{}: {}", request.id, TextOf(request));
    world_.node(to).Submit(request);
  };
  if (plan_.nodes == NodeKind::kCores) return world_.Input(to, submit);
  world_.Beside(to, Duration(0), submit);
}

void Workload::OnReply(Place place, const ClientReply& reply) {
  const Duration delay = clients_.front().dice.Between(kRequestMin, kRequestMax);
  world_.queue().After(delay, [this, place, reply] {
    for (size_t number = 0; number < clients_.size(); ++number) {
      Client& client = clients_[number];
      if (client.operation != reply.id) continue;
      Take(client, number, place, reply);
      Finish(number);
      return;
    }
  });
}

void Workload::Take(Client& client, size_t number, Place place, const ClientReply& reply) {
  client.makes_room = reply.full;
  if (client.call != SessionCall::kNone) return TakeOfSession(client, reply);
  const bool get = client.command.op == Op::kGet;
  client.revision = std::max(client.revision, reply.revision);
  if (reply.kind == ReplyKind::kRefused) {
    ++coverage_.operations_refused;
    timeline_.Note(place, "refuses #{}", reply.id);
    client.target = reply.leader != kPlacesMax ? reply.leader : client.dice.Below(world_.places());
    client.again = client.unsure && !reply.full;
    if (client.unsure && reply.full) LeaveUnknown(client, number);
    return;
  }
  if (reply.kind == ReplyKind::kEnded) {
    ++coverage_.sessions_ended;
    timeline_.Note(place, "refuses #{}: the session has ended", reply.id);
    client.session = 0;
    if (client.unsure) LeaveUnknown(client, number);
    return;
  }
  if (reply.kind == ReplyKind::kUnknown) {
    ++coverage_.told_unknown;
    timeline_.Note(place, "does not know what became of #{}", reply.id);
    if (client.in_session) {
      client.unsure = client.again = true;
    } else {
      LeaveUnknown(client, number);
    }
    return;
  }
  const bool done = reply.kind == ReplyKind::kDone;
  ++(done ? coverage_.operations_done : coverage_.compared);
  timeline_.Note(place, "answers #{}: {}{}", reply.id, done ? "done" : "not equal",
                 get ? fmt::format(", {}", reply.value) : "");
  if (client.stale) return;  // What it saw may be long past.
  if (get) client.last_seen[client.command.key] = reply.value;
  if (!get) newest_write_done_ = std::max(newest_write_done_, client.began);
  history_.push_back(OperationOf(client, number,
                                 done ? lincheck::Outcome::kDone : lincheck::Outcome::kNotDone,
                                 get ? std::optional(reply.value) : std::nullopt));
}

void Workload::TakeOfSession(Client& client, const ClientReply& reply) {
  if (reply.kind == ReplyKind::kEnded) {
    ++coverage_.sessions_ended;
    client.session = 0;
  } else if (reply.kind != ReplyKind::kDone) {
    client.target = client.dice.Below(world_.places());
  } else if (client.call == SessionCall::kOpen) {
    ++coverage_.sessions_opened;
    client.session = reply.session;
    client.sequence = 0;
  } else {
    ++coverage_.kept_alive;
  }
}

void Workload::Finish(size_t number) {
  Client& client = clients_[number];
  client.operation = 0;
  if (client.has_sessions &&
      client.session_dice.OneIn(client.again ? kSilentAgainOneIn : kSilentOneIn)) {
    return WakeAfter(number, Pause(client));
  }
  const Duration think = focused() ? plan_.election_timeout() / 40 : plan_.workload.think;
  WakeAfter(number, client.dice.Between(Duration(0), 2 * think));
}

lincheck::Operation Workload::OperationOf(const Client& client, size_t number,
                                          lincheck::Outcome outcome,
                                          std::optional<uint64_t> read) const {
  lincheck::Operation operation{.client = fmt::format("c{}", number),
                                .kind = KindOf(client.command.op),
                                .key = fmt::format("k{}", client.command.key),
                                .outcome = outcome,
                                .start = client.began.since_start.count()};
  if (outcome != lincheck::Outcome::kUnknown) operation.end = world_.now().since_start.count();
  if (read.has_value()) {
    operation.value = ValueText(*read);
  } else if (client.command.op != Op::kDelete) {
    operation.value = ValueText(client.command.value);
  }
  if (client.command.op == Op::kCas) operation.expected = ValueText(client.command.expected);
  return operation;
}

std::vector<lincheck::Operation> Workload::History() const {
  std::vector<lincheck::Operation> history = history_;
  for (size_t number = 0; number < clients_.size(); ++number) {
    const Client& client = clients_[number];
    const bool under_way = client.operation != 0 || client.again;
    if (!under_way || client.call != SessionCall::kNone || client.command.op == Op::kGet) continue;
    history.push_back(OperationOf(client, number, lincheck::Outcome::kUnknown, {}));
  }
  return history;
}

}  // namespace mokv::sim
