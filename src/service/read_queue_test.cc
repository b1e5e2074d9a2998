// ReadQueue over a real replica on threads of its own. Unless a test says otherwise the replica is
// of no cluster yet, so that reads wait, and what the replica counts as waiting are the questions
// that it was asked.
#include "service/read_queue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "net/testing/wait.h"
#include "replica/testing/threaded_replica.h"
#include "service/testing/shared_clock.h"

namespace mokv::service {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr replica::ReadRequirement kLinearizable;

class Reads {
 public:
  struct Answer {
    std::string name;
    absl::Status status;
    bool on_its_thread;
  };

  explicit Reads(const std::string& cluster = "")
      : replica_({.new_cluster_id = cluster, .clock = &clock}) {
    queue_ = std::make_unique<ReadQueue>(pool_.thread(0), clock, *replica_.replica);
    pool_.thread(0).AtTurnEnd([this] { ++turns_; });  // Behind the queue's.
    pool_.Start();
  }
  ~Reads() { End(); }

  // As the node ends: the I/O threads, then the replica, then what waited for it.
  void End() {
    pool_.Stop();
    replica_.Stop();
    queue_ = nullptr;
  }

  // Runs `task` in a turn of the I/O thread, and waits for the turn's end.
  void InOneTurn(Task task) {
    std::atomic<uint64_t> during{UINT64_MAX};
    pool_.thread(0).Post([&] {
      task();
      during = turns_.load();
    });
    EXPECT_TRUE(net::Until([&] { return turns_ > during; }));
  }
  // On the I/O thread. `held` is let go of when the read is.
  void Add(const std::string& name, const replica::ReadRequirement& requirement, Duration patience,
           std::shared_ptr<int> held = nullptr) {
    queue_->Add(requirement, clock.Now() + patience,
                [this, name, held = std::move(held)](const absl::Status& status) {
                  const MutexLock lock(mutex_);
                  answers_.push_back({name, status, pool_.thread(0).IsCurrent()});
                });
  }

  uint64_t questions() const { return replica_.replica->report().counters.reads_waiting; }
  void TickReplica() { replica_.Tick(); }
  replica::WriteResult Write(machine::Command command) {
    return replica_.Write(std::move(command));
  }

  // All that have come, once there are so many; by then the turn in which they came has ended.
  std::vector<Answer> WaitForAnswers(size_t count) {
    EXPECT_TRUE(net::Until([&] { return answers().size() >= count; }));
    InOneTurn([] {});
    return answers();
  }
  std::vector<Answer> answers() {
    const MutexLock lock(mutex_);
    return answers_;
  }
  std::vector<std::string> NamesOfAnswered() {
    std::vector<std::string> names;
    for (const Answer& answer : answers()) names.push_back(answer.name);
    std::sort(names.begin(), names.end());
    return names;
  }

  testing::SharedClock clock;

 private:
  replica::testing::ThreadedReplica replica_;
  net::IoPool pool_{1};
  std::atomic<uint64_t> turns_{0};
  Mutex mutex_;
  std::vector<Answer> answers_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<ReadQueue> queue_;
};

TEST(ReadQueue, ReadsOfOneTurnShareOneQuestion) {
  Reads reads;
  reads.InOneTurn([&] {
    for (int i = 0; i < 100; ++i) reads.Add("first", kLinearizable, seconds(5));
  });
  EXPECT_EQ(reads.questions(), 1u);
  reads.InOneTurn([&] {
    for (int i = 0; i < 100; ++i) reads.Add("second", kLinearizable, seconds(5));
  });
  EXPECT_EQ(reads.questions(), 2u);
  reads.InOneTurn([] {});  // Nobody asks for nothing.
  EXPECT_EQ(reads.questions(), 2u);
  EXPECT_THAT(reads.answers(), IsEmpty());
}

TEST(ReadQueue, AnswersAllReadsOfAQuestionOnTheirThread) {
  Reads reads("cluster");
  reads.InOneTurn([&] {
    for (int i = 0; i < 100; ++i) reads.Add("read", kLinearizable, seconds(5));
  });
  const auto answers = reads.WaitForAnswers(100);
  EXPECT_THAT(answers, SizeIs(100));
  for (const Reads::Answer& answer : answers) {
    EXPECT_TRUE(answer.status.ok()) << answer.status;
    EXPECT_TRUE(answer.on_its_thread);
  }
}

// Goal:   a read that is impatient is not kept waiting by patient ones that share its question.
// Method: three of one turn with 1, 2 and 3 seconds; the replica, which has the longest, says
//         nothing, since it is not let look at its clock.
TEST(ReadQueue, EachReadExpiresAtItsOwnTimeAndIsToldWhy) {
  Reads reads;
  reads.InOneTurn([&] {
    reads.Add("3 s", kLinearizable, seconds(3));
    reads.Add("1 s", kLinearizable, seconds(1));
    reads.Add("2 s", kLinearizable, seconds(2));
  });
  reads.clock.Move(milliseconds(999));
  reads.TickReplica();
  EXPECT_THAT(reads.NamesOfAnswered(), IsEmpty());
  reads.clock.Move(milliseconds(1));
  reads.WaitForAnswers(1);
  EXPECT_THAT(reads.NamesOfAnswered(), ElementsAre("1 s"));
  EXPECT_EQ(reads.questions(), 1u);
  reads.clock.Move(seconds(1));
  reads.WaitForAnswers(2);
  EXPECT_THAT(reads.NamesOfAnswered(), ElementsAre("1 s", "2 s"));
  reads.clock.Move(seconds(1));
  for (const Reads::Answer& answer : reads.WaitForAnswers(3)) {
    EXPECT_EQ(answer.status, absl::UnavailableError("no leader")) << answer.name;
    EXPECT_TRUE(answer.on_its_thread);
  }
  // The replica's answer comes too late for all of them.
  EXPECT_EQ(reads.questions(), 1u);
  reads.TickReplica();
  EXPECT_EQ(reads.questions(), 0u);
  reads.InOneTurn([] {});
  EXPECT_THAT(reads.answers(), SizeIs(3));
}

TEST(ReadQueue, GivesTheQuestionAsLongAsItsMostPatientReadHas) {
  Reads reads;
  reads.InOneTurn([&] {
    reads.Add("1 s", kLinearizable, seconds(1));
    reads.Add("3 s", kLinearizable, seconds(3));
  });
  reads.clock.Move(milliseconds(2'999));
  reads.WaitForAnswers(1);
  reads.TickReplica();
  EXPECT_EQ(reads.questions(), 1u);
  EXPECT_THAT(reads.NamesOfAnswered(), ElementsAre("1 s"));
}

// Those that come after all others have expired are watched, too.
TEST(ReadQueue, GoesOnWatchingTheTime) {
  Reads reads;
  for (size_t count = 1; count <= 3; ++count) {
    reads.InOneTurn([&] { reads.Add("read", kLinearizable, seconds(1)); });
    reads.clock.Move(seconds(1));
    EXPECT_THAT(reads.WaitForAnswers(count), SizeIs(count));
  }
}

TEST(ReadQueue, ReadsWithARevisionAskOneByOne) {
  Reads reads;
  reads.InOneTurn([&] {
    reads.Add("a", {.linearizable = true, .min_revision = Revision(5)}, seconds(1));
    reads.Add("b", {.linearizable = true, .min_revision = Revision(5)}, seconds(2));
    reads.Add("c", {.linearizable = false, .min_revision = Revision(7)}, seconds(1));
    // At once, and not only at the turn's end.
    EXPECT_EQ(reads.questions(), 3u);
  });
  EXPECT_EQ(reads.questions(), 3u);
  // The replica knows what each waits for.
  reads.clock.Move(seconds(1));
  reads.TickReplica();
  const auto answers = reads.WaitForAnswers(2);
  EXPECT_THAT(reads.NamesOfAnswered(), ElementsAre("a", "c"));
  for (const Reads::Answer& answer : answers) {
    const std::string revision = answer.name == "a" ? "5" : "7";
    EXPECT_EQ(answer.status,
              absl::UnavailableError("revision " + revision +
                                     " has not been applied on this node, which is at 0"));
    EXPECT_TRUE(answer.on_its_thread);
  }
  EXPECT_EQ(reads.questions(), 1u);
}

TEST(ReadQueue, ReadsWithARevisionAreAnsweredWhenItIsApplied) {
  Reads reads("cluster");
  reads.InOneTurn([&] {
    reads.Add("first", {.linearizable = true, .min_revision = Revision(1)}, seconds(5));
    reads.Add("second", {.linearizable = false, .min_revision = Revision(2)}, seconds(5));
  });
  EXPECT_THAT(reads.answers(), IsEmpty());
  EXPECT_EQ(reads.Write(store::Set{"k", "v"}).applied.revision, Revision(1));
  EXPECT_TRUE(reads.WaitForAnswers(1).at(0).status.ok());
  EXPECT_THAT(reads.NamesOfAnswered(), ElementsAre("first"));
  EXPECT_EQ(reads.Write(store::Set{"k", "v"}).applied.revision, Revision(2));
  EXPECT_TRUE(reads.WaitForAnswers(2).at(1).status.ok());
  EXPECT_THAT(reads.NamesOfAnswered(), ElementsAre("first", "second"));
}

TEST(ReadQueue, LetsGoOfWhatWaitsWhenItEnds) {
  const auto held = std::make_shared<int>(0);
  Reads reads;
  reads.InOneTurn([&] {
    reads.Add("shared", kLinearizable, seconds(5), held);
    reads.Add("shared", kLinearizable, seconds(5), held);
    reads.Add("alone", {.linearizable = false, .min_revision = Revision(5)}, seconds(5), held);
  });
  EXPECT_EQ(held.use_count(), 4);
  reads.End();
  EXPECT_EQ(held.use_count(), 1);
  EXPECT_THAT(reads.answers(), IsEmpty());
}

}  // namespace
}  // namespace mokv::service
