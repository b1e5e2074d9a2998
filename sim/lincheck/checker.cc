#include "sim/lincheck/checker.h"

#include <absl/container/flat_hash_set.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "base/check.h"
#include "base/random.h"

namespace mokv::lincheck {
namespace {

// Values as numbers: equal if the texts are.
using Value = uint32_t;
constexpr Value kMissing = 0;
// Before the first operation of a part of a history: whatever the first look says that it was.
constexpr Value kAnything = ~Value{0};

struct Step {
  Kind kind;
  Outcome outcome;
  Value value;
  Value expected;
  const Operation* source;
  int64_t start;
  int64_t end;

  // The state after it, if it changes something.
  Value leaves() const { return kind == Kind::kDelete ? kMissing : value; }
  bool required() const { return outcome != Outcome::kUnknown; }
  // Changes nothing: if it fits the state, nothing is lost by letting it happen at once.
  bool only_looks() const {
    return kind == Kind::kGet || (kind == Kind::kCas && outcome == Outcome::kNotDone);
  }
  // The state after it, if it can happen in `state`.
  std::optional<Value> Apply(Value state) const {
    switch (kind) {
      case Kind::kGet:
        return state == value || state == kAnything ? std::optional(value) : std::nullopt;
      case Kind::kSet:
        return value;
      case Kind::kDelete:
        return kMissing;
      case Kind::kCas:
        if (outcome == Outcome::kNotDone) {
          return state != expected ? std::optional(state) : std::nullopt;
        }
        return state == expected || state == kAnything ? std::optional(value) : std::nullopt;
    }
    return std::nullopt;
  }
};

// The search over one key's operations, from one initial value.
class Search {
 public:
  Search(std::vector<Step> steps, uint64_t budget) : steps_(std::move(steps)), budget_(budget) {
    Link();
  }
  Answer Run(Value initial);

 private:
  // The begin or the end of a step, in the order of time.
  struct Event {
    size_t step;
    bool is_end;
    size_t before;
    size_t after;
    size_t partner;  // The end of a begin; kNone if there is none.
  };
  struct Taken {
    size_t event;
    Value state_before;
    bool forced;
  };
  struct Configuration {
    uint64_t low;
    uint64_t high;
    bool operator==(const Configuration&) const = default;
    template <typename Hash>
    friend Hash AbslHashValue(Hash hash, const Configuration& configuration) {
      return Hash::combine(std::move(hash), configuration.low, configuration.high);
    }
  };
  static constexpr size_t kNone = ~size_t{0};
  static constexpr size_t kHead = 0;

  void Link();
  void Unlink(size_t event);
  void Relink(size_t event);
  void Lift(size_t event);
  void Unlift(size_t event);
  bool Remember(Value state);
  // The event to go on from; kNone when nothing is left to try.
  size_t BackTrack();

  const std::vector<Step> steps_;
  const uint64_t budget_;
  std::vector<Event> events_;
  std::vector<Configuration> names_;  // By step.
  Configuration taken_name_{0, 0};
  absl::flat_hash_set<Configuration> tried_;
  std::vector<Taken> taken_;
  Value state_ = kMissing;
  size_t required_left_ = 0;
};

void Search::Link() {
  struct Moment {
    int64_t time;
    bool is_end;
    size_t step;
  };
  std::vector<Moment> moments;
  for (size_t i = 0; i < steps_.size(); ++i) {
    moments.push_back({steps_[i].start, false, i});
    if (steps_[i].required()) moments.push_back({steps_[i].end, true, i});
  }
  // Of events at the same time the begins come first: such operations overlap.
  std::sort(moments.begin(), moments.end(), [](const Moment& a, const Moment& b) {
    return std::tie(a.time, a.is_end, a.step) < std::tie(b.time, b.is_end, b.step);
  });
  events_.push_back({kNone, false, kNone, kNone, kNone});
  std::vector<size_t> begins(steps_.size());
  for (const Moment& moment : moments) {
    const size_t index = events_.size();
    events_.push_back({moment.step, moment.is_end, index - 1, kNone, kNone});
    events_[index - 1].after = index;
    if (moment.is_end) {
      events_[begins[moment.step]].partner = index;
    } else {
      begins[moment.step] = index;
    }
  }
  constexpr uint64_t kSeed = 1;
  SeededRandom random(kSeed);
  for (size_t i = 0; i < steps_.size(); ++i) names_.push_back({random.Next(), random.Next()});
}

void Search::Unlink(size_t event) {
  const auto [step, is_end, before, after, partner] = events_[event];
  events_[before].after = after;
  if (after != kNone) events_[after].before = before;
}

void Search::Relink(size_t event) {
  const auto [step, is_end, before, after, partner] = events_[event];
  events_[before].after = event;
  if (after != kNone) events_[after].before = event;
}

void Search::Lift(size_t event) {
  Unlink(event);
  if (events_[event].partner != kNone) Unlink(events_[event].partner);
  const size_t step = events_[event].step;
  taken_name_.low += names_[step].low;
  taken_name_.high += names_[step].high;
  if (steps_[step].required()) --required_left_;
}

void Search::Unlift(size_t event) {
  if (events_[event].partner != kNone) Relink(events_[event].partner);
  Relink(event);
  const size_t step = events_[event].step;
  taken_name_.low -= names_[step].low;
  taken_name_.high -= names_[step].high;
  if (steps_[step].required()) ++required_left_;
}

// Whether this configuration is new.
bool Search::Remember(Value state) {
  constexpr uint64_t kOdd = 0x9e3779b97f4a7c15;
  return tried_.insert({taken_name_.low ^ (state * kOdd), taken_name_.high + state}).second;
}

size_t Search::BackTrack() {
  while (!taken_.empty()) {
    const Taken last = taken_.back();
    taken_.pop_back();
    Unlift(last.event);
    state_ = last.state_before;
    if (!last.forced) return events_[last.event].after;
  }
  return kNone;
}

Answer Search::Run(Value initial) {
  state_ = initial;
  required_left_ = static_cast<size_t>(std::count_if(
      steps_.begin(), steps_.end(), [](const Step& step) { return step.required(); }));
  size_t event = events_[kHead].after;
  while (required_left_ > 0) {
    if (tried_.size() > budget_) return Answer::kGaveUp;
    if (event == kNone || events_[event].is_end) {
      // Something has ended that cannot have happened by now: an earlier choice was wrong.
      event = BackTrack();
      if (event == kNone && taken_.empty()) return Answer::kNotLinearizable;
      continue;
    }
    const Step& step = steps_[events_[event].step];
    const std::optional<Value> next = step.Apply(state_);
    if (!next) {
      event = events_[event].after;
      continue;
    }
    Lift(event);
    const bool forced = step.only_looks() && *next == state_;
    if (!forced && !Remember(*next)) {
      Unlift(event);
      event = events_[event].after;
      continue;
    }
    taken_.push_back({event, state_, forced});
    state_ = *next;
    event = events_[kHead].after;
  }
  return Answer::kLinearizable;
}

// One key's operations as steps, without those that say nothing.
class KeyHistory {
 public:
  explicit KeyHistory(std::vector<const Operation*> operations);

  Answer Check(const Limits& limits) const {
    if (ReadsTheUnwritten()) return Answer::kNotLinearizable;
    return Search(steps_, limits.configurations_max).Run(kMissing);
  }
  std::vector<Operation> SmallestWindow(const Limits& limits) const;

 private:
  static std::vector<Value> BeginsMissing() { return {kMissing}; }
  Value Number(const std::optional<std::string>& text);
  void DropUnseen();
  void BoundSeen();
  bool ReadsTheUnwritten() const;
  // What was known at `time`: what had not ended may still be anything.
  std::vector<Step> KnownAt(int64_t time) const;

  std::map<std::string, Value> numbers_;
  std::vector<Step> steps_;
};

KeyHistory::KeyHistory(std::vector<const Operation*> operations) {
  for (const Operation* operation : operations) {
    const bool looks = operation->kind == Kind::kGet;
    if (looks && operation->outcome != Outcome::kDone) continue;
    if (operation->outcome == Outcome::kNotDone && operation->kind != Kind::kCas) continue;
    steps_.push_back({operation->kind, operation->outcome, Number(operation->value),
                      Number(operation->expected), operation, operation->start, operation->end});
  }
  DropUnseen();
  BoundSeen();
}

Value KeyHistory::Number(const std::optional<std::string>& text) {
  if (!text) return kMissing;
  return numbers_.try_emplace(*text, static_cast<Value>(numbers_.size() + 1)).first->second;
}

// A write of unknown fate that nobody can have noticed need not have happened. Each of them would
// double the search.
void KeyHistory::DropUnseen() {
  std::set<Value> seen;
  for (const Step& step : steps_) {
    if (step.kind == Kind::kGet) seen.insert(step.value);
    if (step.kind != Kind::kCas) continue;
    // That a comparison failed may be due to any value.
    if (step.outcome == Outcome::kNotDone) return;
    seen.insert(step.expected);
  }
  std::erase_if(
      steps_, [&](const Step& step) { return !step.required() && !seen.contains(step.leaves()); });
}

// A write of unknown fate that is the only one of its value, which somebody has seen, has happened,
// and not after it was first seen.
void KeyHistory::BoundSeen() {
  std::map<Value, size_t> writers;
  std::map<Value, int64_t> first_seen;
  for (const Step& step : steps_) {
    const bool changes = !step.only_looks();
    if (changes) ++writers[step.leaves()];
    if (!step.required()) continue;
    std::optional<Value> saw;
    if (step.kind == Kind::kGet) saw = step.value;
    if (step.kind == Kind::kCas && changes) saw = step.expected;
    if (!saw) continue;
    int64_t& first = first_seen.try_emplace(*saw, kNever).first->second;
    first = std::min(first, step.end);
  }
  for (Step& step : steps_) {
    const auto seen = first_seen.find(step.leaves());
    if (step.required() || step.leaves() == kMissing || seen == first_seen.end()) continue;
    if (writers.at(step.leaves()) > 1 || seen->second < step.start) continue;
    step.outcome = Outcome::kDone;
    step.end = std::min(step.end, seen->second);
  }
}

// A value that was read and that nothing before has written needs no search.
bool KeyHistory::ReadsTheUnwritten() const {
  std::map<Value, int64_t> first_written = {{kMissing, std::numeric_limits<int64_t>::min()}};
  for (const Step& step : steps_) {
    if (step.only_looks()) continue;
    int64_t& first = first_written.try_emplace(step.leaves(), kNever).first->second;
    first = std::min(first, step.start);
  }
  return std::any_of(steps_.begin(), steps_.end(), [&](const Step& step) {
    if (step.kind != Kind::kGet) return false;
    const auto written = first_written.find(step.value);
    return written == first_written.end() || written->second > step.end;
  });
}

std::vector<Step> KeyHistory::KnownAt(int64_t time) const {
  std::vector<Step> known;
  for (Step step : steps_) {
    if (step.start > time) continue;
    if (step.required() && step.end > time) {
      if (step.only_looks()) continue;
      step.outcome = Outcome::kUnknown;
    }
    known.push_back(step);
  }
  return known;
}

std::vector<Operation> KeyHistory::SmallestWindow(const Limits& limits) const {
  // The first end that makes the history impossible: it stays so with everything that follows.
  std::vector<int64_t> ends;
  for (const Step& step : steps_) {
    if (step.required()) ends.push_back(step.end);
  }
  std::sort(ends.begin(), ends.end());
  const auto impossible_at = [&](int64_t time) {
    return Search(KnownAt(time), limits.configurations_max).Run(kMissing) ==
           Answer::kNotLinearizable;
  };
  const auto end = std::partition_point(ends.begin(), ends.end(),
                                        [&](int64_t time) { return !impossible_at(time); });
  std::vector<Step> steps = KnownAt(end == ends.end() ? ends.back() : *end);
  // Then as little before as stays impossible whatever the value was.
  std::vector<int64_t> begins;
  for (const Step& step : steps) {
    if (step.required()) begins.push_back(step.end);
  }
  std::sort(begins.begin(), begins.end());
  const auto from = [&](int64_t time) {
    std::vector<Step> rest;
    for (const Step& step : steps) {
      if (!step.required() || step.end >= time) rest.push_back(step);
    }
    return rest;
  };
  const auto begin = std::partition_point(begins.begin(), begins.end(), [&](int64_t time) {
    return Search(from(time), limits.configurations_max).Run(kAnything) == Answer::kNotLinearizable;
  });
  if (begin != begins.begin()) steps = from(*std::prev(begin));
  std::vector<Operation> window;
  for (const Step& step : steps) window.push_back(*step.source);
  std::stable_sort(window.begin(), window.end(), [](const Operation& a, const Operation& b) {
    return std::tie(a.start, a.end) < std::tie(b.start, b.end);
  });
  return window;
}

}  // namespace

Verdict Check(const std::vector<Operation>& history, const Limits& limits) {
  std::map<std::string, std::vector<const Operation*>> by_key;
  for (const Operation& operation : history) by_key[operation.key].push_back(&operation);
  Verdict gave_up;
  for (const auto& [key, operations] : by_key) {
    const KeyHistory key_history(operations);
    const Answer answer = key_history.Check(limits);
    if (answer == Answer::kNotLinearizable) {
      return {answer, key, key_history.SmallestWindow(limits)};
    }
    // Another key may still be certainly wrong.
    if (answer == Answer::kGaveUp) gave_up = {answer, key, {}};
  }
  return gave_up;
}

}  // namespace mokv::lincheck
