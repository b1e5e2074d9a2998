#include "sim/told.h"

#include <algorithm>
#include <charconv>

#include "base/check.h"
#include "machine/command.h"

namespace mokv::sim {

std::string Told::ValueOf(uint64_t number) {
  // Now and then a segment of the log is full.
  const size_t padding = number % 4 == 0 ? number * 37 % 700 : 0;
  return fmt::format("{} {}", number, std::string(padding, 'x'));
}

uint64_t Told::NumberOf(std::string_view value) {
  uint64_t number = 0;
  std::from_chars(value.data(), value.data() + value.size(), number);
  MOKV_CHECK(ValueOf(number) == value);
  return number;
}

void Told::OnAsked(const ClientRequest& request) {
  const Op op = request.command.op;
  if (request.call != SessionCall::kNone || (op != Op::kSet && op != Op::kCas)) return;
  requests_[request.command.value] = request.id;
  values_[request.id] = request.command.value;
  ++attempts_[request.command.value];
}

void Told::OnCommitted(const Entry& entry) {
  reference_.OnCommitted(entry);
  if (!reference_.violation().empty()) Fail("{}", reference_.violation());
  if (entry.index <= committed_) return;  // Others have told; it is the same, or no more than that.
  committed_ = entry.index;
  if (entry.type != EntryType::kCommand) return;
  const auto command = machine::DecodeCommand(entry.bytes());
  if (!command.ok()) return Fail("log: entry {}: {}", entry.index, command.status().ToString());
  if (command->operations.empty()) return;
  const auto* set = std::get_if<store::Set>(&command->operations.front());
  if (set == nullptr) return;
  const uint64_t value = NumberOf(set->value);
  const auto request = requests_.find(value);
  if (request == requests_.end()) return Fail("log: nobody has asked for entry {}", entry.index);
  // In a session it may come as often as it likes.
  if (!entries_.emplace(value, entry.index).second && !command->session.has_value()) {
    Fail("log: write #{} is committed as {} and as {}", request->second, entries_.at(value),
         entry.index);
  }
  const auto told = told_.find(request->second);
  // Of several attempts the log does not say which this is.
  const bool only_attempt = attempts_.at(value) == 1;
  if (told != told_.end() && told->second == Fate::kNotDone && only_attempt) {
    Fail("log: write #{} was told as not done and is entry {}", request->second, entry.index);
  }
}

void Told::OnAnswered(uint64_t request, const replica::WriteResult& result) {
  if (!told_.emplace(request, result.fate).second) {
    Fail("answered: write #{} has two answers", request);
  }
  const auto value = values_.find(request);
  const bool committed = value != values_.end() && entries_.contains(value->second);
  if (result.fate == Fate::kNotDone && committed && attempts_.at(value->second) == 1) {
    Fail("log: write #{} is told as not done and is entry {}", request, entries_.at(value->second));
  }
  if (result.fate != Fate::kApplied) return;
  if (value != values_.end() && !committed) {
    Fail("log: write #{} is told as done and is not committed", request);
  }
  const uint64_t revision = result.applied.revision.value();
  newest_ = std::max(newest_, revision);
  const bool held = result.applied.outcome == machine::Result::Outcome::kApplied;
  if (held && value != values_.end()) Learn(revision, value->second);
}

void Told::OnLook(Place place, uint64_t revision, uint64_t floor, uint64_t value,
                  uint64_t modified) {
  if (revision < floor) {
    Fail("revision: place {} answers from {}, but {} was told before", place, revision, floor);
  }
  newest_ = std::max(newest_, revision);
  if (value != 0) Learn(modified, value);
}

void Told::CheckState(Place place, Index applied, uint64_t revision, uint64_t sessions) {
  const std::optional<Reference::State> expected = reference_.At(applied);
  if (!expected.has_value()) return;
  if (expected->revision != revision || expected->sessions != sessions) {
    Fail("once: place {} has applied {} and has revision {}, {} sessions; it should be {}, {}",
         place, applied, revision, sessions, expected->revision, expected->sessions);
  }
}

void Told::CheckLease(Place place, uint64_t revision) {
  if (revision >= newest_) return;
  Fail("lease: place {} would answer from {} at once, but {} was told", place, revision, newest_);
}

uint64_t Told::RevisionOf(uint64_t value) const {
  const auto found = by_value_.find(value);
  return found == by_value_.end() ? 0 : found->second;
}

void Told::Learn(uint64_t revision, uint64_t value) {
  const auto [known, is_new] = by_revision_.emplace(revision, value);
  if (!is_new && known->second != value) {
    Fail("revision: {} is of {} and of {}", revision, known->second, value);
  }
  const auto [written, is_first] = by_value_.emplace(value, revision);
  if (!is_first && written->second != revision) {
    Fail("revision: the write of {} has {} and has {}", value, written->second, revision);
  }
}

}  // namespace mokv::sim
