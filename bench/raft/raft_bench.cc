// What consensus itself costs: a leader and four followers in memory, on one thread, each disk and
// each link at once done.
//
//   mokv_raft_bench [BATCHES]
//
// Prints, each the best of five rounds with the spread: CPU time per entry for all five cores
// together (64-byte entries in batches of 64); bytes of memory per follower, per entry in flight
// and per idle core; CPU time of ten thousand idle cores' ticks, as a share of one processor.
#include <fmt/format.h>
#include <malloc.h>
#include <sys/resource.h>

#include <algorithm>
#include <cstdlib>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "base/check.h"
#include "base/random.h"
#include "raft/core.h"

namespace mokv::raft {
namespace {

using std::chrono::milliseconds;

constexpr size_t kBatch = 64;
constexpr size_t kEntryBytes = 64;
constexpr int kRounds = 5;

double CpuSeconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

size_t HeapBytes() { return mallinfo2().uordblks; }

Member Numbered(uint64_t id) {
  return {.id = NodeId(id),
          .name = fmt::format("node-{}", id),
          .instance_id = fmt::format("{:032x}", id),
          .rpc_address = fmt::format("10.0.0.{}:7400", id)};
}

Membership Members(uint64_t count) {
  std::vector<Member> members;
  for (uint64_t id = 1; id <= count; ++id) members.push_back(Numbered(id));
  return {"cluster", members};
}

std::unique_ptr<Core> MakeCore(uint64_t id, const Membership& membership, Random& random,
                               MonotonicTime now) {
  InitialState initial;
  MOKV_CHECK(initial.log.Recover(InitialEntry(membership)).ok());
  initial.hard_state.term = Term(1);
  auto core = Core::Create({.id = NodeId(id)}, std::move(initial), random, now);
  MOKV_CHECK(core.ok());
  return std::move(*core);
}

class Cluster {
 public:
  explicit Cluster(uint64_t size) {
    const Membership membership = Members(size);
    for (uint64_t id = 1; id <= size; ++id) {
      cores_.push_back(MakeCore(id, membership, random_, now_));
    }
    now_ = cores_[0]->NextDeadline();
    cores_[0]->Step(now_, Tick{});
    Run();
    MOKV_CHECK(leader().can_serve());
  }

  Core& leader() { return *cores_[0]; }
  uint64_t applied() const { return applied_; }

  void Propose(const std::vector<Payload>& payloads) {
    leader().Step(now_, raft::Propose{.request = RequestId(++requests_), .payloads = payloads});
  }
  // Turns of all until nothing moves.
  void Run() {
    for (bool moved = true; moved;) {
      moved = false;
      for (auto& core : cores_) moved |= Turn(*core);
    }
  }
  void Heartbeat() {
    now_ = leader().NextDeadline();
    leader().Step(now_, Tick{});
    Run();
  }

 private:
  bool Turn(Core& core) {
    Output output = core.TakeOutput();
    applied_ += output.committed.size();
    if (output.persist.has_value()) core.Step(now_, Persisted{output.persist->ticket});
    for (Message& message : output.messages) {
      Core& to = *cores_[message.to.value() - 1];
      to.Step(now_, Receive{std::move(message)});
    }
    return output.persist.has_value() || !output.messages.empty() || output.more_committed;
  }

  SeededRandom random_{1};
  MonotonicTime now_{std::chrono::hours(1)};
  std::vector<std::unique_ptr<Core>> cores_;
  uint64_t requests_ = 0;
  uint64_t applied_ = 0;
};

void Report(const char* what, std::vector<double> values, const char* unit) {
  std::sort(values.begin(), values.end());
  fmt::print("{:<58} {:>9.3f} {} (worst {:.3f})\n", what, values.front(), unit, values.back());
}

void EntryCost(int batches) {
  std::vector<double> per_entry;
  for (int round = 0; round < kRounds; ++round) {
    Cluster cluster(5);
    const std::vector<Payload> payloads(kBatch,
                                        std::make_shared<const std::string>(kEntryBytes, 'x'));
    const uint64_t before = cluster.applied();
    const double begin = CpuSeconds();
    for (int i = 0; i < batches; ++i) {
      cluster.Propose(payloads);
      cluster.Run();
    }
    const double seconds = CpuSeconds() - begin;
    const auto entries = static_cast<uint64_t>(batches) * kBatch;
    MOKV_CHECK_EQ(cluster.applied() - before, 5 * entries);
    per_entry.push_back(seconds * 1e6 / static_cast<double>(entries));
  }
  Report("CPU per entry, leader and four followers", per_entry, "us");
}

void ReadCost(int rounds) {
  std::vector<double> per_round;
  for (int round = 0; round < kRounds; ++round) {
    Cluster cluster(5);
    const double begin = CpuSeconds();
    for (int i = 0; i < rounds; ++i) {
      cluster.leader().Step({std::chrono::hours(2)}, Read{RequestId(static_cast<uint64_t>(i + 1))});
      cluster.Run();
    }
    per_round.push_back((CpuSeconds() - begin) * 1e6 / rounds);
  }
  Report("CPU per read round, leader and four followers", per_round, "us");
}

// A leader whose followers answer nothing: what stands in memory for them.
void Memory() {
  Cluster cluster(5);
  const std::vector<Payload> none;
  const size_t before = HeapBytes();
  size_t sent = 0;
  std::deque<Message> lost;
  for (int i = 0; i < 64; ++i) {
    std::vector<Payload> payloads;
    for (size_t n = 0; n < kBatch; ++n) {
      payloads.push_back(std::make_shared<const std::string>(kEntryBytes, 'x'));
    }
    cluster.Propose(payloads);
    Output output = cluster.leader().TakeOutput();
    sent += kBatch;
    if (output.persist.has_value()) {
      cluster.leader().Step({std::chrono::hours(2)}, Persisted{output.persist->ticket});
    }
  }
  const size_t in_flight = HeapBytes() - before;
  fmt::print("{:<58} {:>9} bytes of {} (payload included)\n",
             "memory per entry in flight, at the leader", in_flight / sent, kEntryBytes);
  const auto& progress = cluster.leader().progress();
  const size_t ring = progress.begin()->second.inflight().capacity() * 16;
  fmt::print("{:<58} {:>9} bytes ({} of them the window of {} appends)\n",
             "memory per follower, at the leader", sizeof(Progress) + 48 + ring, ring,
             progress.begin()->second.inflight().capacity());
}

// Room for several groups later: cores of which nothing is asked but to notice time.
void Idle() {
  constexpr int kCores = 10'000;
  constexpr int kTicksPerSecond = 100;
  constexpr int kSeconds = 10;
  SeededRandom random(1);
  const Membership membership = Members(3);
  const MonotonicTime start{std::chrono::hours(1)};
  const size_t before = HeapBytes();
  std::vector<std::unique_ptr<Core>> cores;
  for (int i = 0; i < kCores; ++i) cores.push_back(MakeCore(1, membership, random, start));
  fmt::print("{:<58} {:>9} bytes\n", "memory per idle core, with its configuration",
             (HeapBytes() - before) / kCores);
  // An owner keeps the deadline that each core told it after its last turn, and so need not touch
  // those that have nothing to do.
  std::vector<MonotonicTime> deadlines;
  for (const auto& core : cores) deadlines.push_back(core->NextDeadline());
  std::vector<double> asked;
  std::vector<double> heard;
  for (int round = 0; round < kRounds; ++round) {
    uint64_t due = 0;
    double begin = CpuSeconds();
    for (int i = 0; i < kTicksPerSecond * kSeconds; ++i) {
      for (const MonotonicTime deadline : deadlines) due += deadline <= start ? 1 : 0;
    }
    asked.push_back((CpuSeconds() - begin) / kSeconds * 100);
    MOKV_CHECK_EQ(due, 0U);
    begin = CpuSeconds();
    for (auto& core : cores) {
      core->Step(start, Receive{{.from = NodeId(2),
                                 .to = NodeId(1),
                                 .term = Term(2),
                                 .body = raft::Heartbeat{.round = Round(1)}}});
      Output output = core->TakeOutput();
      if (output.persist.has_value()) core->Step(start, Persisted{output.persist->ticket});
    }
    heard.push_back((CpuSeconds() - begin) * 1e9 / kCores);
  }
  Report("10,000 idle cores asked 100 times a second", asked, "% of a processor");
  Report("one heartbeat received and answered", heard, "ns");
}

int Main(int argc, char** argv) {
  const int batches = argc > 1 ? std::atoi(argv[1]) : 20'000;
  EntryCost(batches);
  ReadCost(batches);
  Memory();
  Idle();
  return 0;
}

}  // namespace
}  // namespace mokv::raft

int main(int argc, char** argv) { return mokv::raft::Main(argc, argv); }
