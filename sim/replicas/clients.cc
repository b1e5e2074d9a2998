#include "sim/replicas/clients.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace mokv::sim {
namespace {

using lincheck::Kind;
using lincheck::Outcome;
using replica::testing::NodeLife;
using std::chrono::milliseconds;
using Fate = replica::WriteResult::Fate;

// Outside of the clients' turns.
constexpr size_t kNobody = 100;

std::string SeenKey(size_t client, const std::string& key) {
  return fmt::format("{} {}", client, key);
}

}  // namespace

void Clients::Fail(std::string text) {
  if (violation_.empty()) violation_ = std::move(text);
}

std::string Clients::NewValue(Id id) {
  // Some are long, so that segments of the log fill up.
  std::string value = fmt::format("v{}", id);
  if (Below(4) == 0) value += "-" + std::string(Below(700), 'x');
  values_[value] = id;
  return value;
}

Clients::Id Clients::Begin(size_t client, const std::string& node, Kind kind,
                           const std::string& key, Duration patience) {
  const Id id = ++last_id_;
  Asked& asked = asking_[id];
  asked.operation = {.client = fmt::format("c{}", client), .kind = kind, .key = key};
  asked.operation.start = ++now_;
  asked.node = node;
  asked.client = client;
  asked.give_up_at = cluster_.clock().now + patience;
  asked.floor = told_revision_;
  return id;
}

void Clients::Ask() {
  const size_t client = Below(kClients);
  for (const auto& [id, asked] : asking_) {
    if (asked.client == client) return;
  }
  const std::vector<std::string> names = cluster_.names();
  const std::string& node = names[Below(names.size())];
  if (!cluster_.IsUp(node)) return;
  const std::string key = fmt::format("k{}", Below(keys_));
  const Duration wait = milliseconds(20 + (Below(3) == 0 ? Below(2000) : Below(300)));
  // Some hang up before the node gives up.
  const Duration patience =
      Below(4) == 0 ? milliseconds(10 + Below(300)) : wait + milliseconds(500);
  const size_t what = Below(20);
  if (what == 0) return ReadNoOlder(client, node, wait);
  if (what < 10) return Read(Begin(client, node, Kind::kGet, key, patience), wait);
  const Kind kind = what < 15 ? Kind::kSet : what < 17 ? Kind::kDelete : Kind::kCas;
  const Id id = Begin(client, node, kind, key, patience);
  kind == Kind::kCas ? Cas(id, wait) : Write(id, wait);
}

void Clients::LookAtAll() {
  for (const std::string& node : cluster_.names()) {
    for (size_t key = 0; key < keys_; ++key) {
      Read(Begin(kNobody, node, Kind::kGet, fmt::format("k{}", key), milliseconds(5000)),
           milliseconds(3000));
    }
  }
}

// As a service does: at once where that is allowed, otherwise when it is.
void Clients::Read(Id id, Duration wait) {
  const std::string node = asking_.at(id).node;
  NodeLife& life = cluster_.life(node);
  if (life.replica->CanReadNow({})) {
    ++counts_["reads at once"];
    return Look(id);
  }
  life.replica->WaitForRead({}, life.clock.Now() + wait,
                            [this, id, node](const absl::Status& status) {
                              if (asking_.contains(id)) {
                                ++counts_[status.ok() ? "reads that waited" : "reads that failed"];
                                status.ok() ? Look(id) : End(id, Outcome::kNotDone);
                              }
                              if (on_answer_) on_answer_(node);
                            });
}

// A read that need not be the newest, but no older than what its client knows.
void Clients::ReadNoOlder(size_t client, const std::string& node, Duration wait) {
  NodeLife& life = cluster_.life(node);
  const Revision known = told_to_[client];
  const auto look = [this, &life, known, node] {
    if (life.machine.revision() >= known) return;
    Fail(fmt::format("read: {} is at revision {}, after {} was asked for", node,
                     life.machine.revision(), known));
  };
  const replica::ReadRequirement requirement{.linearizable = false, .min_revision = known};
  if (life.replica->CanReadNow(requirement)) return look();
  life.replica->WaitForRead(requirement, life.clock.Now() + wait,
                            [look](const absl::Status& status) {
                              if (status.ok()) look();
                            });
}

void Clients::Look(Id id) {
  Asked& asked = asking_.at(id);
  const auto view = cluster_.machine(asked.node).TakeView();
  if (view->revision() < asked.floor) {
    Fail(fmt::format("read: {} answers from revision {}, after {} was told; {}", asked.node,
                     view->revision(), asked.floor, lincheck::ToString(asked.operation)));
  }
  const store::Item* item = view->Find(asked.operation.key);
  Seen& seen = newest_by_client_[SeenKey(asked.client, asked.operation.key)];
  seen = {};
  if (item != nullptr) {
    seen = {item->mod_revision(), std::string(item->value())};
    asked.operation.value = seen.value;
    Learn(seen.revision, seen.value);
  }
  // Others must not see less from now on.
  told_revision_ = std::max(told_revision_, view->revision());
  End(id, Outcome::kDone);
}

void Clients::Write(Id id, Duration wait) {
  lincheck::Operation& operation = asking_.at(id).operation;
  if (operation.kind == Kind::kDelete) {
    return Propose(id, store::Delete{operation.key, {}}, wait);
  }
  operation.value = NewValue(id);
  Propose(id, store::Set{operation.key, *operation.value, {}}, wait);
}

// By the revision of what the client saw last: values are unique, so that comparing revisions is
// comparing values.
void Clients::Cas(Id id, Duration wait) {
  Asked& asked = asking_.at(id);
  const Seen seen = newest_by_client_[SeenKey(asked.client, asked.operation.key)];
  if (seen.revision != Revision(0)) asked.operation.expected = seen.value;
  asked.operation.value = NewValue(id);
  Propose(id, store::Set{asked.operation.key, *asked.operation.value, seen.revision}, wait);
}

void Clients::Propose(Id id, machine::Command command, Duration wait) {
  const Asked& asked = asking_.at(id);
  NodeLife& life = cluster_.life(asked.node);
  life.replica->Propose({.command = std::move(command), .give_up_at = life.clock.Now() + wait},
                        [this, id, node = asked.node](const replica::WriteResult& result) {
                          if (!told_.try_emplace(id, result.fate).second) {
                            Fail(fmt::format("answered: write {} has two answers", id));
                          }
                          if (result.fate == Fate::kApplied) OnApplied(id, result.applied);
                          if (asking_.contains(id)) OnAnswer(id, result);
                          CheckLeases();
                          if (on_answer_) on_answer_(node);
                        });
}

void Clients::OnApplied(Id id, const machine::Result& applied) {
  const Revision revision = applied.revision;
  told_revision_ = std::max(told_revision_, revision);
  const auto asked = asking_.find(id);
  if (asked == asking_.end()) return;
  Revision& known = told_to_[asked->second.client];
  known = std::max(known, revision);
  if (applied.outcome != machine::Result::Outcome::kApplied) return;
  const lincheck::Operation& operation = asked->second.operation;
  if (operation.kind == Kind::kDelete) return;
  Learn(revision, *operation.value);
  newest_by_client_[SeenKey(asked->second.client, operation.key)] = {revision, *operation.value};
}

void Clients::OnAnswer(Id id, const replica::WriteResult& result) {
  switch (result.fate) {
    case Fate::kApplied: {
      const bool held = result.applied.outcome == machine::Result::Outcome::kApplied;
      ++counts_[held ? "writes applied" : "conditions that failed"];
      return End(id, held ? Outcome::kDone : Outcome::kNotDone);
    }
    case Fate::kNotDone:
      ++counts_["writes not done"];
      return End(id, Outcome::kNotDone, /*known=*/false);
    case Fate::kUnknown:
      ++counts_["writes unknown"];
      return End(id, Outcome::kUnknown);
  }
}

// `known`: there is something to learn from it. A refusal says nothing of the key.
void Clients::End(Id id, Outcome outcome, bool known) {
  const auto at = asking_.find(id);
  lincheck::Operation& operation = at->second.operation;
  if (outcome != Outcome::kUnknown) operation.end = ++now_;
  operation.outcome = outcome;
  const bool looked = operation.kind != Kind::kGet || outcome == Outcome::kDone;
  for (const char c : lincheck::ToString(operation)) {
    fingerprint_ = (fingerprint_ ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  }
  if (known && looked) history_.push_back(std::move(operation));
  asking_.erase(at);
}

void Clients::Learn(Revision revision, const std::string& value) {
  const auto [known, is_new] = revisions_.try_emplace(revision, value);
  if (!is_new && known->second != value) {
    Fail(fmt::format("equality: revision {} is {} and {}", revision, known->second, value));
  }
}

void Clients::GiveUp() {
  for (auto next = asking_.begin(); next != asking_.end();) {
    const auto at = next++;
    if (at->second.give_up_at > cluster_.clock().now) continue;
    ++counts_["without an answer"];
    End(at->first, Outcome::kUnknown);
  }
}

void Clients::OnDeath(const std::string& node) {
  for (auto next = asking_.begin(); next != asking_.end();) {
    const auto at = next++;
    if (at->second.node != node) continue;
    ++counts_["without an answer"];
    End(at->first, Outcome::kUnknown);
  }
}

void Clients::CheckLeases() {
  for (const std::string& node : cluster_.names()) {
    if (!cluster_.IsUp(node) || !cluster_.replica(node).CanReadNow({})) continue;
    const Revision revision = cluster_.machine(node).revision();
    if (revision >= told_revision_) continue;
    Fail(fmt::format("lease: {} would read at revision {} at once, after {} was told", node,
                     revision, told_revision_));
  }
}

void Clients::CheckLog(NodeLife& life) {
  std::map<std::string, uint64_t> found;
  const Index last = life.replica->report().applied_index;
  for (Index next(1); next <= last;) {
    const auto entries = life.log->Read(next, uint64_t{1} << 20);
    if (!entries.ok()) return Fail(fmt::format("log: {}", entries.status().ToString()));
    for (const Entry& entry : *entries) {
      next = entry.index.next();
      if (entry.type != EntryType::kCommand || entry.index > last) continue;
      const auto command = machine::DecodeCommand(entry.bytes());
      if (!command.ok()) return Fail(fmt::format("log: {}", command.status().ToString()));
      if (const auto* set = std::get_if<store::Set>(&command->operations.front()))
        ++found[set->value];
    }
  }
  for (const auto& [value, id] : values_) {
    const uint64_t times = found.contains(value) ? found.at(value) : 0;
    const auto told = told_.find(id);
    if (times > 1) Fail(fmt::format("log: write {} was carried out {} times", id, times));
    if (told == told_.end()) continue;
    if (told->second == Fate::kApplied && times == 0) {
      Fail(fmt::format("log: write {} was told as done and is missing", id));
    }
    if (told->second == Fate::kNotDone && times > 0) {
      Fail(fmt::format("log: write {} was told as not done and was carried out", id));
    }
  }
  for (const auto& [value, times] : found) {
    if (!values_.contains(value)) Fail(fmt::format("log: nobody has written {}", value));
  }
}

std::vector<lincheck::Operation> Clients::History() const {
  std::vector<lincheck::Operation> history = history_;
  for (const auto& [id, asked] : asking_) {
    if (asked.operation.kind == Kind::kGet) continue;
    history.push_back(asked.operation);
    history.back().outcome = Outcome::kUnknown;
  }
  return history;
}

}  // namespace mokv::sim
