#include "sim/workload.h"

#include <fmt/format.h>

namespace mokv::sim {
namespace {

constexpr Duration kRequestMin = std::chrono::microseconds(50);
constexpr Duration kRequestMax = std::chrono::milliseconds(1);

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
    clients_.push_back({.dice = Dice(plan.seed, /*stream=*/200 + i)});
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
    ++coverage_.operations_unknown;
    timeline_.Note(kPlacesMax, "c{} gives up #{}: outcome unknown", number, client.operation);
    if (client.command.op != Op::kGet) {
      history_.push_back(OperationOf(client, number, lincheck::Outcome::kUnknown, {}));
    }
    client.operation = 0;
    client.stale = false;
    client.target = client.dice.Below(world_.places());
  }
  if (operations_ >= operations_max_) return WakeAfter(number, plan_.workload.think);
  client.operation = ++operations_;
  client.began = world_.now();
  client.command = DrawCommand(client, number);
  Send(number);
  Duration timeout = plan_.workload.timeout;
  if (focused() && !focus_patient_) timeout = plan_.election_timeout() / 4;
  WakeAfter(number, timeout);
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
  } else if (client.command.op == Op::kGet &&
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
  const bool get = client.command.op == Op::kGet;
  client.stale = get && client.dice.Percent(plan_.workload.stale_percent);
  request.stale = client.stale;
  request.min_revision = client.revision;
  return request;
}

void Workload::Arrive(Place to, ClientRequest request) {
  if (!world_.up(to)) return OnReply(to, {.id = request.id, .kind = ReplyKind::kRefused});
  request.committed_before = committed_();
  const auto submit = [this, to, request] {
    timeline_.Note(to, "asked #{}: {}", request.id, TextOf(request.command));
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
  const bool get = client.command.op == Op::kGet;
  client.revision = std::max(client.revision, reply.revision);
  if (reply.kind == ReplyKind::kRefused) {
    ++coverage_.operations_refused;
    timeline_.Note(place, "refuses #{}", reply.id);
    client.target = reply.leader != kPlacesMax ? reply.leader : client.dice.Below(world_.places());
    return;
  }
  if (reply.kind == ReplyKind::kUnknown) {
    ++coverage_.told_unknown;
    timeline_.Note(place, "does not know what became of #{}", reply.id);
    history_.push_back(OperationOf(client, number, lincheck::Outcome::kUnknown, {}));
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

void Workload::Finish(size_t number) {
  Client& client = clients_[number];
  client.operation = 0;
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
    if (client.operation == 0 || client.command.op == Op::kGet) continue;
    history.push_back(OperationOf(client, number, lincheck::Outcome::kUnknown, {}));
  }
  return history;
}

}  // namespace mokv::sim
