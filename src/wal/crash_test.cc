// Whole logs against crashes: each seed is the life of a log with several crashes, at any
// operation, in recovery too, with lost, torn and reordered writes, lost names, failed syncs,
// kills, power losses, full disks and flipped bits, while it appends, truncates, cuts its head and
// is reset.
//
// Environment: MOKV_CRASH_POINTS says how many crashes there are to be, MOKV_SEED where the seeds
// begin: with the seed that a failure prints, and MOKV_CRASH_POINTS=1, that life is lived again.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <iostream>
#include <random>

#include "base/logging.h"
#include "base/random.h"
#include "base/status.h"
#include "base/testing/sanitizers.h"
#include "wal/dump.h"
#include "wal/log_harness.h"

namespace mokv::wal {
namespace {

using ::testing::HasSubstr;

constexpr uint64_t kCrashPoints = kSanitized ? 8'000 : 200'000;

uint64_t NumberFromEnvironment(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

bool Same(const Entry& a, const Entry& b) {
  return a.index == b.index && a.term == b.term && a.type == b.type && a.bytes() == b.bytes();
}

// What the log should hold after some number of operations.
struct State {
  EntryId head;
  std::vector<Entry> entries;
  HardState hard_state;
  // The entries that the last operation added: after a crash some of them may be there without the
  // others.
  size_t added = 0;

  Index last() const { return head.index + entries.size(); }
  Term last_term() const { return entries.empty() ? head.term : entries.back().term; }

  bool Holds(const State& found, size_t entry_count) const {
    if (found.head != head || found.entries.size() != entry_count) return false;
    HardState expected = hard_state;
    // A part of the entries comes with a commit index that does not go beyond it.
    if (entry_count < entries.size() && found.hard_state.commit < expected.commit) {
      if (found.hard_state.commit > found.last()) return false;
      expected.commit = found.hard_state.commit;
    }
    return found.hard_state == expected &&
           std::equal(found.entries.begin(), found.entries.end(), entries.begin(), Same);
  }
  // Whether `found` is this, or this without some of the last entries of its last operation.
  bool Allows(const State& found) const {
    const size_t count = found.entries.size();
    if (count > entries.size() || (count < entries.size() && entries.size() - count >= added)) {
      return false;
    }
    return Holds(found, count);
  }

  std::string Text() const {
    std::string text =
        fmt::format("head {}/{}, hard state term {}, vote of {}, commit {}, {} added\n", head.index,
                    head.term, hard_state.term, hard_state.vote.size(), hard_state.commit, added);
    for (const Entry& entry : entries) {
      text += fmt::format("  {}/{} {} bytes\n", entry.index, entry.term, entry.bytes().size());
    }
    return text;
  }
};

struct Counts {
  uint64_t crashes = 0;
  uint64_t power_losses = 0;
  uint64_t in_recovery = 0;
  uint64_t head_cuts = 0;
  uint64_t resets = 0;
  uint64_t truncations = 0;
  uint64_t full_disks = 0;
  uint64_t reused = 0;
  uint64_t cut_tails = 0;
  uint64_t flips = 0;
  uint64_t flips_refused = 0;
  uint64_t flips_cut = 0;
};

// Does not fit into a segment.
constexpr uint64_t kLarge = 6000;

class Life {
 public:
  Life(uint64_t seed, Counts& counts)
      : random_(seed), counts_(counts), harness_(2048 + random_.Next() % 3000) {
    harness_.options.ready_segments = 1 + Below(2);
  }

  void Run() {
    for (int round = 0; round < 10 && !testing::Test::HasFailure(); ++round) {
      SCOPED_TRACE(fmt::format("round {}", round));
      OpenAndCheck();
      if (testing::Test::HasFailure()) return;
      const bool trapped = SetTrap();
      Work();
      if (testing::Test::HasFailure()) return;
      if (!trapped) FinishInPeace();
      Die();
    }
    OpenAndCheck();
  }

 private:
  uint64_t Below(uint64_t bound) { return random_.Next() % bound; }
  bool Chance(uint64_t percent) { return Below(100) < percent; }

  // A new log needs space to open; one that has something must open without.
  bool MayNotOpen(const absl::Status& status) const {
    return harness_.files.stopped() ||
           (absl::IsResourceExhausted(status) && acknowledged_ == 0 &&
            states_.front().last() == Index(0) && states_.front().hard_state == HardState());
  }

  void OpenAndCheck() {
    // Crashes in the middle of a recovery, each of which may have changed something.
    while (Chance(30)) {
      harness_.files.StopAfter(Below(8));
      const absl::Status status = harness_.Open();
      ASSERT_TRUE(status.ok() || MayNotOpen(status)) << status;
      if (status.ok()) {
        Check();
        if (testing::Test::HasFailure()) return;
        // Preparing segments, recycling what was left over.
        harness_.executor.RunAll();
      }
      ++counts_.in_recovery;
      Die();
    }
    absl::Status status = harness_.Open();
    if (MayNotOpen(status)) {
      harness_.files.SetCapacity(std::nullopt);
      status = harness_.Open();
    }
    ASSERT_TRUE(status.ok()) << status;
    Check();
  }

  static State Found(LogHarness& harness) {
    const FoundLog& log = harness.log->found();
    State found;
    found.head.index = log.first_index - 1;
    found.head.term = harness.log->TermAt(found.head.index).value();
    found.entries = harness.entries;
    found.hard_state = log.hard_state;
    EXPECT_EQ(log.last_index, found.last());
    EXPECT_EQ(log.last_term, found.last_term());
    return found;
  }

  // The state that was found, as it is among those from `from` on; all of them when there is none.
  size_t Match(const State& found, size_t from) const {
    for (size_t i = states_.size(); i-- > from;) {
      if (states_[i].Allows(found)) return i;
    }
    return states_.size();
  }

  std::string GivenSince() const {
    std::string text;
    for (size_t i = acknowledged_ + 1; i < states_.size(); ++i) text += states_[i].Text();
    return text;
  }

  // What was found must be the state after some operation: none that was acknowledged may miss, and
  // nothing may be there that was never given. From then on it counts as acknowledged.
  void Check() {
    State found = Found(harness_);
    // Part of the operation after the last acknowledged one may be there, part of itself not.
    const size_t match = Match(found, acknowledged_);
    ASSERT_TRUE(
        match < states_.size() &&
        (match > acknowledged_ || states_[match].Holds(found, states_[match].entries.size())))
        << "found:\n"
        << found.Text() << "acknowledged:\n"
        << states_[acknowledged_].Text() << "given since:\n"
        << GivenSince() << Dump(harness_.files);
    if (harness_.log->found().cut_bytes > 0) ++counts_.cut_tails;
    found.added = 0;
    states_ = {std::move(found)};
    tickets_ = {Ticket(0)};
    has_own_ticket_ = {true};
    acknowledged_ = before_last_batch_ = 0;
    batch_since_check_ = false;
    CheckReads();
  }

  void CheckReads() {
    const State& now = states_.back();
    ASSERT_EQ(harness_.log->first_index(), now.head.index.next());
    ASSERT_EQ(harness_.log->last_index(), now.last());
    if (now.entries.empty()) return;
    const size_t begin = Below(now.entries.size());
    const auto read =
        harness_.log->Read(now.entries[begin].index, Chance(30) ? Below(500) : 100000);
    ASSERT_TRUE(read.ok()) << read.status();
    ASSERT_GE(read->size(), 1u);
    ASSERT_LE(read->size(), now.entries.size() - begin);
    for (size_t i = 0; i < read->size(); ++i) {
      ASSERT_TRUE(Same((*read)[i], now.entries[begin + i])) << now.entries[begin + i].index.value();
      ASSERT_EQ(harness_.log->TermAt((*read)[i].index), now.entries[begin + i].term);
    }
  }

  bool SetTrap() {
    if (Chance(25)) {
      harness_.files.SetCapacity(harness_.files.used_bytes() + Below(3000));
      ++counts_.full_disks;
    } else if (Chance(50)) {
      harness_.files.SetCapacity(std::nullopt);
    }
    if (Chance(55)) {
      harness_.files.StopAfter(Below(40));
      return true;
    }
    if (Chance(30)) {
      const auto count = std::make_shared<uint64_t>(Below(8));
      const bool no_space = Chance(30);
      harness_.files.SetFault([count, no_space](CrashFileSystem::Operation operation,
                                                const std::string& path) -> absl::Status {
        if (operation != CrashFileSystem::Operation::kSync || (*count)-- != 0) {
          return absl::OkStatus();
        }
        if (no_space) return ResourceExhausted("{}: injected", path);
        return Unavailable("{}: injected", path);
      });
      return true;
    }
    return false;
  }

  void Work() {
    for (uint64_t steps = Below(25); steps > 0 && !testing::Test::HasFailure(); --steps) {
      const State& last = states_.back();
      const uint64_t what = Below(100);
      if (what < 10) {
        CutHead();
      } else if (what < 12) {
        Reset();
      } else if (what < 25 && last.last() > last.hard_state.commit) {
        const uint64_t floor = std::max(last.hard_state.commit, last.head.index).value();
        AppendAfter(floor + Below(last.last().value() - floor + 1));
      } else {
        AppendAfter(last.last().value());
      }
      if (Chance(50)) RunLogThread();
      if (Chance(20) && harness_.failures.empty()) CheckReads();
    }
  }

  void Given(State state, Ticket ticket) {
    states_.push_back(std::move(state));
    has_own_ticket_.push_back(ticket > tickets_.back());
    tickets_.push_back(ticket);
  }

  // Of a cut or a reset: one of its own, the last one, or 0, which stands for that.
  Ticket AnyTicket() {
    if (Chance(50)) return ++harness_.last_ticket;
    return Chance(50) ? harness_.last_ticket : Ticket(0);
  }

  void AppendAfter(uint64_t kept) {
    State state = states_.back();
    AppendRequest request;
    if (Index(kept) < state.last()) {
      request.truncate_from = Index(kept + 1);
      state.entries.resize(kept - state.head.index.value());
      ++term_;
      ++counts_.truncations;
    }
    if (Chance(10)) ++term_;
    for (uint64_t n = Below(5); n > 0; --n) {
      // As a leader asks for it, so that a segment of its own may be ready for it when it comes.
      if (Chance(1)) (void)harness_.log->Admit({1, kLarge, kLarge});
      const uint64_t size = Chance(3) ? kLarge : Below(Chance(20) ? 700 : 60);
      request.entries.push_back(MakeEntry(kept + request.entries.size() + 1, term_,
                                          fmt::format("{:016x}", random_.Next())));
      if (Chance(80)) {
        request.entries.back().payload =
            std::make_shared<const std::string>(size, static_cast<char>('a' + Below(26)));
      }
    }
    state.entries.insert(state.entries.end(), request.entries.begin(), request.entries.end());
    state.added = request.entries.size();
    if ((request.entries.empty() && !request.truncate_from.has_value()) || Chance(50)) {
      const Index commit = std::max(
          {state.hard_state.commit, state.head.index, Index(Below(state.last().value() + 1))});
      request.hard_state = {.term = Term(term_),
                            .vote = std::string(Below(Chance(20) ? 256 : 30), 'v'),
                            .commit = commit};
      state.hard_state = *request.hard_state;
    }
    const Ticket ticket = harness_.Append(std::move(request));
    Given(std::move(state), ticket);
  }

  void CutHead() {
    State state = states_.back();
    if (state.entries.empty()) return;
    const size_t count = 1 + Below(state.entries.size());
    const Entry& last = state.entries[count - 1];
    // Only what is committed is ever in a snapshot.
    if (last.index > state.hard_state.commit) return;
    state.head = {last.index, last.term};
    state.entries.erase(state.entries.begin(),
                        state.entries.begin() + static_cast<std::ptrdiff_t>(count));
    state.added = 0;
    ++counts_.head_cuts;
    harness_.log->CutHead(AnyTicket(), state.head.index);
    Given(std::move(state), harness_.last_ticket);
  }

  void Reset() {
    State state = states_.back();
    const Index floor = std::max(state.hard_state.commit, state.head.index);
    state.head = {floor + Below(state.last() - floor + 50), Term(term_)};
    state.entries.clear();
    state.added = 0;
    ++counts_.resets;
    harness_.log->ResetTo(AnyTicket(), state.head.index, state.head.term);
    Given(std::move(state), harness_.last_ticket);
  }

  void RunLogThread() {
    for (uint64_t tasks = Chance(50) ? 1 : 1000; tasks > 0 && harness_.executor.RunOne(); --tasks) {
    }
    Acknowledge();
  }

  void Acknowledge() {
    for (const Durable& durable : harness_.batches) {
      size_t now = acknowledged_;
      for (size_t i = now + 1; i < tickets_.size() && tickets_[i] <= durable.ticket; ++i) {
        if (has_own_ticket_[i]) now = i;
      }
      CheckEnd(durable, now);
      before_last_batch_ = acknowledged_;
      acknowledged_ = now;
      batch_since_check_ = true;
    }
    harness_.batches.clear();
  }

  // Whoever is told that an entry is durable is told the truth about it: the log on disk is that of
  // states_[now], or of what follows it without a ticket of its own, or has a part of the next.
  void CheckEnd(const Durable& durable, size_t now) const {
    for (size_t i = now; i < states_.size() && (i == now || !has_own_ticket_[i]); now = i++) {
      if (durable.last == states_[i].last() && durable.last_term == states_[i].last_term()) return;
    }
    ASSERT_LT(now + 1, states_.size());
    const State& next = states_[now + 1];
    ASSERT_GT(durable.last, next.head.index);
    ASSERT_LE(durable.last, next.last());
    ASSERT_EQ(durable.last_term, next.entries[durable.last - next.head.index.next()].term);
  }

  // Nothing is to go wrong any more but the lack of space, which ends: then all is acknowledged.
  void FinishInPeace() {
    RunLogThread();
    harness_.files.SetCapacity(std::nullopt);
    harness_.executor.RunAll();
    harness_.clock.now = harness_.clock.now + std::chrono::seconds(1);
    harness_.log->Tick();
    harness_.executor.RunAll();
    Acknowledge();
    for (; acknowledged_ + 1 < states_.size(); ++acknowledged_) {
      ASSERT_FALSE(has_own_ticket_[acknowledged_ + 1]);
    }
    ASSERT_EQ(harness_.log->stats().queued_bytes, 0u);
    ASSERT_TRUE(harness_.failures.empty());
    ASSERT_FALSE(harness_.log->stats().out_of_space);
    ASSERT_EQ(harness_.log->stats().disk_bytes, harness_.files.used_bytes());
    CheckReads();
    if (Chance(50)) FlipABit();
  }

  static std::string Dump(CrashFileSystem& files) {
    std::string text;
    (void)DumpLog(files, "/data/log",
                  [&](std::string_view line) { text += fmt::format("{}\n", line); });
    return text;
  }

  // On another disk with the same contents.
  void FlipABit() {
    std::vector<std::string> names = harness_.files.List(harness_.options.directory).value();
    std::erase_if(names, [](const std::string& name) { return !ParseSegmentName(name); });
    if (names.empty()) return;
    const std::string path =
        fmt::format("{}/{}", harness_.options.directory, names[Below(names.size())]);
    const std::unique_ptr<CrashFileSystem> files = harness_.files.Clone();
    LogHarness other;
    other.file_system = files.get();
    other.options = harness_.options;
    const uint64_t bytes = files->Contents(path).size();
    const uint64_t bit = Below(8 * (Chance(50) ? std::min<uint64_t>(bytes, 300) : bytes));
    files->FlipBit(path, bit);
    const absl::Status status = other.Open();
    SCOPED_TRACE(fmt::format("bit {} of {}", bit, path));
    ++counts_.flips;
    if (!status.ok()) {
      // In the version's number it looks like a newer format.
      const bool version = bit / 64 == 1 && absl::IsFailedPrecondition(status);
      ASSERT_TRUE(absl::IsDataLoss(status) || version) << status;
      ASSERT_THAT(std::string(MessageOf(status)), HasSubstr(path));
      ASSERT_TRUE(version || MessageOf(status).find("offset") != std::string_view::npos) << status;
      ++counts_.flips_refused;
      return;
    }
    const State found = Found(other);
    if (states_.back().Holds(found, states_.back().entries.size())) return;
    // Only the very last batch may be taken for a torn one, and that is told.
    ++counts_.flips_cut;
    EXPECT_GT(other.log->found().cut_bytes, 0u);
    if (!batch_since_check_) return;
    ASSERT_LT(Match(found, before_last_batch_), states_.size())
        << found.Text() << states_[before_last_batch_].Text() << states_.back().Text()
        << Dump(harness_.files);
  }

  void Die() {
    ++counts_.crashes;
    if (harness_.log != nullptr) {
      counts_.reused += harness_.log->stats().segments_reused;
      if (Chance(15)) {
        harness_.log->Close();
        Acknowledge();
      }
    }
    harness_.Kill();
    harness_.files.SetFault(nullptr);
    if (Chance(75)) {
      ++counts_.power_losses;
      harness_.files.PowerLoss(random_);
    }
  }

  SeededRandom random_;
  Counts& counts_;
  LogHarness harness_;
  // After each operation since the last check, and their tickets.
  std::vector<State> states_ = {State()};
  std::vector<Ticket> tickets_ = {Ticket(0)};
  std::vector<bool> has_own_ticket_ = {true};
  size_t acknowledged_ = 0;       // In states_.
  size_t before_last_batch_ = 0;  // What was acknowledged before the last batch.
  bool batch_since_check_ = false;
  uint64_t term_ = 1;
};

TEST(LogCrash, KeepsWhatWasAcknowledgedAndInventsNothing) {
  SetLogLevel(LogLevel::kError);
  const uint64_t crash_points = NumberFromEnvironment("MOKV_CRASH_POINTS", kCrashPoints);
  uint64_t seed = NumberFromEnvironment("MOKV_SEED", std::random_device()());
  std::cout << "MOKV_SEED=" << seed << std::endl;
  Counts counts;
  for (; counts.crashes < crash_points && !HasFailure(); ++seed) {
    SCOPED_TRACE(fmt::format("MOKV_SEED={} MOKV_CRASH_POINTS=1", seed));
    Life life(seed, counts);
    life.Run();
  }
  SetLogLevel(LogLevel::kInfo);
  std::cout << fmt::format(
                   "{} crash points, {} of them in recovery, {} power losses, {} torn or damaged "
                   "ends; {} head cuts, {} resets, {} truncations, {} segments used again, {} full "
                   "disks; {} bits flipped: {} refused, {} in the last batch",
                   counts.crashes, counts.in_recovery, counts.power_losses, counts.cut_tails,
                   counts.head_cuts, counts.resets, counts.truncations, counts.reused,
                   counts.full_disks, counts.flips, counts.flips_refused, counts.flips_cut)
            << std::endl;
}

}  // namespace
}  // namespace mokv::wal
