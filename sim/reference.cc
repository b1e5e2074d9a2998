#include "sim/reference.h"

#include <fmt/format.h>

#include <algorithm>

namespace mokv::sim {
namespace {

// As the contract has it: nobody's session ends too early, so time goes by steps of a second, and a
// session has one more than it asked for.
constexpr uint64_t kStepMs = 1000;

}  // namespace

void Reference::OnCommitted(const Entry& entry) {
  if (entry.index.value() < states_.size()) return;
  waiting_.emplace(entry.index, entry);
  while (!waiting_.empty() && waiting_.begin()->first.value() == states_.size()) {
    Apply(waiting_.begin()->second);
    states_.push_back({revision_, sessions_.size()});
    waiting_.erase(waiting_.begin());
  }
}

std::optional<Reference::State> Reference::At(Index index) const {
  if (index.value() >= states_.size()) return std::nullopt;
  return states_[index.value()];
}

void Reference::Apply(const Entry& entry) {
  if (entry.type != EntryType::kCommand) return;
  const auto command = machine::DecodeCommand(entry.bytes());
  if (!command.ok()) return;  // Told says so.
  if (const auto* open = std::get_if<machine::OpenSession>(&command->control)) {
    Session& session = sessions_[SessionId(entry.index.value())];
    session.ttl_ms = open->ttl_ms;
    Renew(session);
  } else if (const auto* keep_alive = std::get_if<machine::KeepAlive>(&command->control)) {
    for (const auto& one : keep_alive->sessions) {
      const auto found = sessions_.find(one.session);
      if (found != sessions_.end()) Renew(found->second);
    }
  } else if (const auto* close = std::get_if<machine::CloseSession>(&command->control)) {
    sessions_.erase(close->session);
  } else if (const auto* advance = std::get_if<machine::AdvanceTime>(&command->control)) {
    Advance(advance->to.value());
  } else if (!command->session.has_value() || Begins(*command->session)) {
    Write(command->operations);
  }
}

void Reference::Renew(Session& session) {
  session.expires_at_ms = now_ms_ + session.ttl_ms + kStepMs;
}

bool Reference::Begins(const machine::SessionContext& context) {
  const auto found = sessions_.find(context.session);
  if (found == sessions_.end()) return false;
  Session& session = found->second;
  Renew(session);
  const uint64_t lowest = std::max(session.lowest, context.lowest_unanswered);
  if (context.sequence < lowest) return false;
  session.lowest = lowest;
  return session.answered.insert(context.sequence).second;
}

void Reference::Write(const store::Transaction& operations) {
  for (const store::Operation& operation : operations) {
    const std::optional<Revision> expected = store::ExpectedOf(operation);
    if (!expected.has_value()) continue;
    const auto found = revisions_.find(store::KeyOf(operation));
    if (expected->value() != (found == revisions_.end() ? 0 : found->second)) return;
  }
  const uint64_t next = revision_ + 1;
  for (const store::Operation& operation : operations) {
    const std::string& key = store::KeyOf(operation);
    if (std::holds_alternative<store::Set>(operation)) {
      revisions_[key] = next;
      revision_ = next;
    } else if (revisions_.erase(key) > 0) {
      revision_ = next;
    }
  }
}

void Reference::Advance(uint64_t to_ms) {
  if (to_ms > now_ms_ + kStepMs && violation_.empty()) {
    violation_ = fmt::format("time: it goes from {} ms to {} ms in one step", now_ms_, to_ms);
  }
  now_ms_ = std::max(now_ms_, to_ms);
  std::erase_if(sessions_, [&](const auto& one) { return one.second.expires_at_ms <= now_ms_; });
}

}  // namespace mokv::sim
