// Whole logs against crashes: each seed is a life of a log with several crashes, at any operation,
// in recovery too, with lost, torn and reordered writes, failed syncs, kills and power losses.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/logging.h"
#include "base/random.h"
#include "base/status.h"
#include "wal/log_harness.h"

namespace mokv::wal {
namespace {

// What the log should hold after some number of appends.
struct State {
  std::vector<Entry> entries;
  HardState hard_state;

  std::string Text() const {
    std::string text =
        fmt::format("hard state {} '{}' {}\n", hard_state.term, hard_state.vote, hard_state.commit);
    for (const Entry& entry : entries) text += ToString(entry) + "\n";
    return text;
  }
};

class Life {
 public:
  explicit Life(uint64_t seed) : random_(seed), harness_(512 + random_.Next() % 1500) {}

  void Run() {
    for (int round = 0; round < 10 && !testing::Test::HasFailure(); ++round) {
      SCOPED_TRACE(fmt::format("round {}", round));
      OpenAndCheck();
      if (testing::Test::HasFailure()) return;
      SetTrap();
      Work();
      Die();
    }
    OpenAndCheck();
  }

  uint64_t crashes() const { return crashes_; }

 private:
  uint64_t Below(uint64_t bound) { return random_.Next() % bound; }
  bool Chance(uint64_t percent) { return Below(100) < percent; }

  void OpenAndCheck() {
    // Crashes in the middle of a recovery, each of which may have changed something.
    while (Chance(30)) {
      harness_.files.StopAfter(Below(6));
      const absl::Status status = harness_.Open();
      ASSERT_TRUE(status.ok() || harness_.files.stopped()) << status;
      if (status.ok()) Check();
      Die();
    }
    const absl::Status status = harness_.Open();
    ASSERT_TRUE(status.ok()) << status;
    Check();
  }

  // What was found must be the state after some append: none that was acknowledged may miss, and
  // nothing may be there that was never given. From then on it counts as acknowledged.
  void Check() {
    const State found{harness_.entries, harness_.log->recovery().hard_state};
    const std::string text = found.Text();
    size_t match = states_.size();
    for (size_t i = states_.size(); i-- > acknowledged_ && match == states_.size();) {
      if (states_[i].Text() == text) match = i;
    }
    ASSERT_LT(match, states_.size()) << "found:\n"
                                     << text << "acknowledged:\n"
                                     << states_[acknowledged_].Text() << "last given:\n"
                                     << states_.back().Text();
    EXPECT_EQ(harness_.log->last_index(), Index(found.entries.size()));
    states_ = {states_[match]};
    acknowledged_ = 0;
  }

  void SetTrap() {
    if (Chance(60)) {
      harness_.files.StopAfter(Below(25));
    } else if (Chance(50)) {
      const auto count = std::make_shared<uint64_t>(Below(8));
      harness_.files.SetFault(
          [count](CrashFileSystem::Operation operation, const std::string& path) {
            const bool fails = operation == CrashFileSystem::Operation::kSync && (*count)-- == 0;
            return fails ? Unavailable("{}: injected", path) : absl::OkStatus();
          });
    }
  }

  void Work() {
    const uint64_t steps = Below(20);
    for (uint64_t step = 0; step < steps; ++step) {
      const State& last = states_.back();
      if (Chance(15) && last.entries.size() > last.hard_state.commit.value()) {
        const uint64_t uncommitted = last.entries.size() - last.hard_state.commit.value();
        AppendAfter(last.entries.size() - Below(uncommitted + 1));
      } else {
        AppendAfter(last.entries.size());
      }
      if (Chance(50)) RunLogThread();
    }
  }

  void AppendAfter(size_t kept) {
    State state = states_.back();
    if (kept < state.entries.size()) {
      harness_.log->TruncateFrom(Index(kept + 1));
      state.entries.resize(kept);
      ++term_;
    }
    if (Chance(10)) ++term_;
    std::vector<Entry> added;
    for (uint64_t n = Below(4); n > 0; --n) {
      const uint64_t size = Chance(5) ? 3000 : Below(Chance(20) ? 700 : 60);
      added.push_back(MakeEntry(kept + added.size() + 1, term_, fmt::format("{}", random_.Next())));
      if (Chance(80)) {
        added.back().payload =
            std::make_shared<const std::string>(size, static_cast<char>('a' + Below(26)));
      }
    }
    state.entries.insert(state.entries.end(), added.begin(), added.end());
    std::optional<HardState> hard_state;
    if (added.empty() || Chance(50)) {
      hard_state =
          HardState{.term = Term(term_),
                    .vote = std::string(Below(12), 'v'),
                    .commit = Index(std::max(state.hard_state.commit.value(), Below(kept + 1)))};
      state.hard_state = *hard_state;
    }
    harness_.log->Append(added, hard_state);
    states_.push_back(std::move(state));
  }

  void RunLogThread() {
    const size_t before = harness_.durable.size();
    harness_.executor.RunAll();
    if (harness_.durable.size() > before) acknowledged_ = states_.size() - 1;
  }

  void Die() {
    ++crashes_;
    if (harness_.log != nullptr && Chance(20)) {
      const size_t before = harness_.durable.size();
      harness_.log->Close();
      if (harness_.durable.size() > before) acknowledged_ = states_.size() - 1;
    }
    harness_.Kill();
    harness_.files.SetFault(nullptr);
    if (Chance(75)) harness_.files.PowerLoss(random_);
  }

  SeededRandom random_;
  LogHarness harness_;
  std::vector<State> states_ = {State()};  // After each append since the last check.
  size_t acknowledged_ = 0;                // In states_.
  uint64_t term_ = 1;
  uint64_t crashes_ = 0;
};

TEST(LogCrash, KeepsWhatWasAcknowledgedAndInventsNothing) {
  SetLogLevel(LogLevel::kError);
  uint64_t crashes = 0;
  for (uint64_t seed = 1; seed <= 800 && !HasFailure(); ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    Life life(seed);
    life.Run();
    crashes += life.crashes();
  }
  SetLogLevel(LogLevel::kInfo);
  EXPECT_GT(crashes, 8000u);
}

}  // namespace
}  // namespace mokv::wal
