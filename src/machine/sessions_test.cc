#include "machine/sessions.h"

#include <gtest/gtest.h>

#include <thread>

#include "base/random.h"
#include "machine/session_record.pb.h"

namespace mokv::machine {
namespace {

using Outcome = Result::Outcome;

constexpr uint64_t kTtlMs = 5000;

SessionContext In(SessionId session, uint64_t sequence, uint64_t lowest = 0,
                  const std::string& subject = "ann") {
  return {session, sequence, lowest, subject};
}

store::ApplyResult AtRevision(uint64_t revision) { return {.revision = Revision(revision)}; }

class SessionsTest : public ::testing::Test {
 protected:
  SessionId Open(uint64_t id, const std::string& subject = "ann", uint64_t ttl_ms = kTtlMs) {
    const Result result = sessions.Open(SessionId(id), {ttl_ms, subject});
    EXPECT_EQ(result.outcome, Outcome::kApplied);
    EXPECT_EQ(result.session, SessionId(id));
    return result.session;
  }
  // A write that is carried out if it may be, at that revision.
  Result Write(const SessionContext& context, uint64_t revision) {
    if (std::optional<Result> known = sessions.Begin(context)) return *known;
    sessions.Answer(context, AtRevision(revision));
    return ResultOf(AtRevision(revision));
  }
  void PassMs(uint64_t ms) { sessions.AdvanceTo(sessions.time() + ms); }

  Sessions sessions;
};

TEST_F(SessionsTest, ARetryGetsTheFirstAnswer) {
  const SessionId session = Open(7);
  EXPECT_EQ(Write(In(session, 1), 10).revision, Revision(10));
  EXPECT_EQ(Write(In(session, 2), 11).revision, Revision(11));
  EXPECT_EQ(Write(In(session, 1), 12).revision, Revision(10));
  EXPECT_EQ(Write(In(session, 2), 12).revision, Revision(11));
  EXPECT_EQ(Write(In(session, 3), 12).revision, Revision(12));
}

TEST_F(SessionsTest, AFailedConditionIsAnAnswerToo) {
  const SessionId session = Open(7);
  const store::ApplyResult failed{.outcome = store::ApplyResult::Outcome::kConditionFailed,
                                  .revision = Revision(5),
                                  .found_revision = Revision(4),
                                  .failed_operation = 1};
  ASSERT_EQ(sessions.Begin(In(session, 1)), std::nullopt);
  sessions.Answer(In(session, 1), failed);
  EXPECT_EQ(sessions.Begin(In(session, 1)), ResultOf(failed));
}

TEST_F(SessionsTest, SequencesMayComeInAnyOrderAndWithGaps) {
  const SessionId session = Open(7);
  for (uint64_t sequence : {50, 3, 17, 4}) Write(In(session, sequence), sequence);
  for (uint64_t sequence : {3, 4, 17, 50}) {
    EXPECT_EQ(Write(In(session, sequence), 99).revision, Revision(sequence));
  }
}

TEST_F(SessionsTest, WhatIsAnsweredForGoodIsRefused) {
  const SessionId session = Open(7);
  for (uint64_t sequence = 1; sequence <= 4; ++sequence) Write(In(session, sequence), sequence);
  EXPECT_EQ(Write(In(session, 5, 4), 5).revision, Revision(5));
  EXPECT_EQ(Write(In(session, 3), 9).outcome, Outcome::kAnswerGone);
  EXPECT_EQ(Write(In(session, 4), 9).revision, Revision(4));
  // An older write that comes late does not bring back what is gone.
  EXPECT_EQ(Write(In(session, 4, 1), 9).revision, Revision(4));
  EXPECT_EQ(Write(In(session, 3, 1), 9).outcome, Outcome::kAnswerGone);
}

TEST_F(SessionsTest, AWriteBelowItsOwnLowestIsRefusedAndLetsNothingGo) {
  const SessionId session = Open(7);
  Write(In(session, 1), 1);
  EXPECT_EQ(Write(In(session, 2, 3), 2).outcome, Outcome::kAnswerGone);
  EXPECT_EQ(Write(In(session, 1), 9).revision, Revision(1));
}

TEST_F(SessionsTest, KeepsABoundedNumberOfAnswers) {
  const SessionId session = Open(7);
  const uint64_t most = Sessions::kUnansweredMax;
  for (uint64_t sequence = 1; sequence <= most; ++sequence) {
    EXPECT_EQ(Write(In(session, sequence), sequence).outcome, Outcome::kApplied);
  }
  EXPECT_EQ(Write(In(session, most + 1, 1), 1).outcome, Outcome::kTooManyUnanswered);
  EXPECT_EQ(Write(In(session, most), 1).revision, Revision(most)) << "those that are there stay";
  EXPECT_EQ(Write(In(session, most + 1, 2), most + 1).outcome, Outcome::kApplied)
      << "one was let go";
}

TEST_F(SessionsTest, BelongsToItsSubject) {
  const SessionId session = Open(7, "ann");
  EXPECT_EQ(Write(In(session, 1, 0, "bob"), 1).outcome, Outcome::kNoSession);
  EXPECT_EQ(sessions.Renew(KeepAlive{{{session, "bob"}}}).ttls_ms, std::vector<uint64_t>{0});
  EXPECT_EQ(sessions.Close({session, "bob"}).outcome, Outcome::kNoSession);
  EXPECT_EQ(Write(In(session, 1), 1).outcome, Outcome::kApplied);
}

TEST_F(SessionsTest, OneThatIsClosedIsUnknown) {
  const SessionId session = Open(7);
  Write(In(session, 1), 1);
  EXPECT_EQ(sessions.Close({session, "ann"}).outcome, Outcome::kApplied);
  EXPECT_EQ(sessions.Close({session, "ann"}).outcome, Outcome::kNoSession);
  EXPECT_EQ(Write(In(session, 1), 1).outcome, Outcome::kNoSession);
  EXPECT_EQ(sessions.size(), 0u);
}

// Goal: a session has its whole time to live, also where the last step of time was long ago.
TEST_F(SessionsTest, ExpiresByClusterTimeAndNeverTooEarly) {
  const SessionId session = Open(7);
  PassMs(kTtlMs);
  EXPECT_EQ(sessions.size(), 1u) << "up to one step of it may have passed before it was opened";
  PassMs(Sessions::kTimeStepMs);
  EXPECT_EQ(sessions.size(), 0u);
  EXPECT_EQ(Write(In(session, 1), 1).outcome, Outcome::kNoSession);
}

TEST_F(SessionsTest, EverySignOfLifeRenews) {
  const SessionId writes = Open(7);
  const SessionId repeats = Open(8);
  const SessionId keeps_alive = Open(9);
  const SessionId silent = Open(10);
  Write(In(repeats, 1), 1);
  for (uint64_t round = 1; round <= 4; ++round) {
    PassMs(kTtlMs / 2);
    Write(In(writes, round), round);
    Write(In(repeats, 1), 1);
    EXPECT_EQ(sessions.Renew(KeepAlive{{{keeps_alive, "ann"}, {SessionId(77), "ann"}}}).ttls_ms,
              (std::vector<uint64_t>{kTtlMs, 0}));
  }
  EXPECT_EQ(sessions.size(), 3u);
  EXPECT_EQ(sessions.Renew(KeepAlive{{{silent, "ann"}}}).ttls_ms, std::vector<uint64_t>{0});
}

TEST_F(SessionsTest, TimeNeverGoesBack) {
  PassMs(3000);
  sessions.AdvanceTo(ClusterTime(2000));
  EXPECT_EQ(sessions.time(), ClusterTime(3000));
}

TEST_F(SessionsTest, VeryManyExpireInPieces) {
  const size_t all = Sessions::kExpiredTogetherMax + 10;
  for (uint64_t id = 1; id <= all; ++id) Open(id);
  PassMs(kTtlMs + Sessions::kTimeStepMs);
  EXPECT_EQ(sessions.size(), 10u);
  PassMs(Sessions::kTimeStepMs);
  EXPECT_EQ(sessions.size(), 0u);
}

TEST_F(SessionsTest, HasABound) {
  for (uint64_t id = 1; id <= Sessions::kSessionsMax; ++id) Open(id);
  const Result refused = sessions.Open(SessionId(Sessions::kSessionsMax + 1), {kTtlMs, "ann"});
  EXPECT_EQ(refused.outcome, Outcome::kTooManySessions);
  sessions.Close({SessionId(1), "ann"});
  Open(Sessions::kSessionsMax + 2);
}

TEST_F(SessionsTest, GivesItsMemoryBack) {
  EXPECT_EQ(sessions.memory_bytes(), 0u);
  const SessionId session = Open(7);
  const uint64_t one = sessions.memory_bytes();
  EXPECT_GT(one, 0u);
  for (uint64_t sequence = 1; sequence <= 1000; ++sequence) Write(In(session, sequence), sequence);
  const uint64_t full = sessions.memory_bytes();
  EXPECT_GT(full, one + 1000 * sizeof(store::ApplyResult));
  Write(In(session, 1001, 1001), 1001);
  EXPECT_LT(sessions.memory_bytes(), full / 4);
  sessions.Freeze();
  Write(In(session, 1002, 1002), 1002);
  sessions.Close({session, "ann"});
  EXPECT_EQ(sessions.memory_bytes(), 0u);
}

TEST_F(SessionsTest, TheDigestIsOfAllThatMatters) {
  EXPECT_EQ(sessions.digest(), store::Digest());
  std::vector<store::Digest> seen{sessions.digest()};
  const auto expect_new = [&](const char* what) {
    for (const store::Digest& before : seen) EXPECT_FALSE(sessions.digest() == before) << what;
    seen.push_back(sessions.digest());
  };
  PassMs(1);
  expect_new("time");
  const SessionId session = Open(7);
  expect_new("a session");
  Write(In(session, 1), 1);
  expect_new("an answer");
  Write(In(session, 2, 2), 2);
  expect_new("the lowest");
  PassMs(1);
  expect_new("time");
  sessions.Renew(KeepAlive{{{session, "ann"}}});
  expect_new("its expiry");
}

std::vector<std::string> RecordsOf(const Sessions::Frozen& frozen) {
  std::vector<std::string> records;
  for (size_t part = 0; part < Sessions::Frozen::kParts; ++part) {
    for (std::string& record : frozen.Records(part)) records.push_back(std::move(record));
  }
  return records;
}

std::unique_ptr<Sessions> Load(const std::vector<std::string>& records) {
  Sessions::Loader loader;
  for (const std::string& record : records) {
    const absl::Status added = loader.Add(record);
    EXPECT_TRUE(added.ok()) << added;
  }
  auto loaded = loader.Finish();
  EXPECT_TRUE(loaded.ok()) << loaded.status();
  return *std::move(loaded);
}

// What happens to a table, drawn at random.
void DoAnything(Sessions& sessions, uint64_t step, SeededRandom& random) {
  const SessionId some(1 + random.Next() % step);
  switch (random.Next() % 8) {
    case 0:
    case 1:
      sessions.Open(SessionId(step), {1000 + random.Next() % 5000, "ann"});
      return;
    case 2:
      sessions.Close({some, "ann"});
      return;
    case 3:
      sessions.AdvanceTo(sessions.time() + random.Next() % 200);
      return;
    case 4:
      sessions.Renew(KeepAlive{{{some, "ann"}}});
      return;
    default:
      const uint64_t sequence = 1 + random.Next() % 40;
      const SessionContext context = In(some, sequence, random.Next() % (sequence + 1));
      if (!sessions.Begin(context).has_value()) {
        sessions.Answer(context, {.revision = Revision(step), .deleted = random.Next() % 2});
      }
  }
}

// Goal: what is kept as the table changes is what a table has that is built at once; a frozen one
//       does not change; both go into records and back.
TEST(SessionsModel, AFrozenTableStaysAndComesBack) {
  constexpr uint64_t kSeed = 5;
  SCOPED_TRACE(::testing::Message() << "seed " << kSeed);
  SeededRandom random(kSeed);
  Sessions sessions;
  std::shared_ptr<const Sessions::Frozen> frozen = sessions.Freeze();
  std::vector<std::string> records = RecordsOf(*frozen);
  for (uint64_t step = 1; step <= 20'000; ++step) {
    DoAnything(sessions, step, random);
    if (random.Next() % 100 != 0) continue;
    ASSERT_EQ(RecordsOf(*frozen), records) << "step " << step;
    frozen = sessions.Freeze();
    records = RecordsOf(*frozen);
    ASSERT_EQ(records.size(), sessions.size() + 1);
    const std::unique_ptr<Sessions> loaded = Load(records);
    ASSERT_EQ(loaded->digest(), sessions.digest()) << "step " << step;
    ASSERT_EQ(frozen->digest(), sessions.digest());
    ASSERT_EQ(loaded->time(), sessions.time());
    ASSERT_EQ(RecordsOf(*loaded->Freeze()), records);
  }
  EXPECT_GT(sessions.size(), 10u) << "the test has looked at something";
}

TEST(SessionsModel, ALoadedTableGoesOnAsTheOther) {
  SeededRandom random(6);
  Sessions one;
  for (uint64_t step = 1; step <= 3000; ++step) DoAnything(one, step, random);
  const std::unique_ptr<Sessions> other = Load(RecordsOf(*one.Freeze()));
  SeededRandom here(7);
  SeededRandom there(7);
  for (uint64_t step = 3001; step <= 6000; ++step) {
    DoAnything(one, step, here);
    DoAnything(*other, step, there);
    ASSERT_EQ(one.digest(), other->digest()) << "step " << step;
  }
}

// Goal: a snapshot is written while the table changes. For ThreadSanitizer.
TEST(SessionsModel, AFrozenTableIsReadOnAnotherThread) {
  SeededRandom random(8);
  Sessions sessions;
  for (uint64_t step = 1; step <= 2000; ++step) DoAnything(sessions, step, random);
  std::shared_ptr<const Sessions::Frozen> frozen = sessions.Freeze();
  const std::vector<std::string> records = RecordsOf(*frozen);
  std::thread reader([&records, frozen = std::move(frozen)]() mutable {
    for (int round = 0; round < 20; ++round) EXPECT_EQ(RecordsOf(*frozen), records);
    frozen.reset();
  });
  for (uint64_t step = 2001; step <= 20'000; ++step) DoAnything(sessions, step, random);
  reader.join();
}

void ExpectDataLoss(const proto::SessionRecord& record, const char* what) {
  Sessions::Loader loader;
  proto::SessionRecord time;
  time.mutable_time()->set_now_ms(100'000);
  ASSERT_TRUE(loader.Add(time.SerializeAsString()).ok());
  EXPECT_TRUE(absl::IsDataLoss(loader.Add(record.SerializeAsString()))) << what;
}

TEST(SessionsLoader, RefusesWhatCannotBe) {
  proto::SessionRecord good;
  proto::SessionRecord::Session& session = *good.mutable_session();
  session.set_session(7);
  session.set_ttl_ms(kTtlMs);
  session.set_expires_at_ms(100'000 + kTtlMs + Sessions::kTimeStepMs);
  session.set_lowest_unanswered(3);
  session.add_answers()->set_sequence(3);
  session.add_answers()->set_sequence(5);
  ASSERT_EQ(Load({[] {
                    proto::SessionRecord time;
                    time.mutable_time()->set_now_ms(100'000);
                    return time.SerializeAsString();
                  }(),
                  good.SerializeAsString()})
                ->size(),
            1u);

  const auto refused = [&](const char* what, auto change) {
    proto::SessionRecord bad = good;
    change(*bad.mutable_session());
    ExpectDataLoss(bad, what);
  };
  refused("no id", [](auto& bad) { bad.set_session(0); });
  refused("a short ttl", [](auto& bad) { bad.set_ttl_ms(kSessionTtlMsMin - 1); });
  refused("a long ttl", [](auto& bad) { bad.set_ttl_ms(kSessionTtlMsMax + 1); });
  refused("a late expiry", [](auto& bad) { bad.set_expires_at_ms(bad.expires_at_ms() + 1); });
  refused("no lowest", [](auto& bad) { bad.set_lowest_unanswered(0); });
  refused("an answer below", [](auto& bad) { bad.set_lowest_unanswered(4); });
  refused("an answer twice", [](auto& bad) { bad.mutable_answers(1)->set_sequence(3); });
  refused("too many answers", [](auto& bad) {
    for (uint64_t i = 0; i < Sessions::kUnansweredMax; ++i) bad.add_answers()->set_sequence(6 + i);
  });
  refused("a newer field",
          [](auto& bad) { bad.GetReflection()->MutableUnknownFields(&bad)->AddVarint(99, 1); });
  ExpectDataLoss({}, "nothing");
  proto::SessionRecord time;
  time.mutable_time();
  ExpectDataLoss(time, "the time twice");
}

TEST(SessionsLoader, RefusesASessionTwiceAndATableWithoutTime) {
  Sessions sessions;
  sessions.Open(SessionId(3), {kTtlMs, "ann"});
  const std::vector<std::string> records = RecordsOf(*sessions.Freeze());
  Sessions::Loader twice;
  for (const std::string& record : records) ASSERT_TRUE(twice.Add(record).ok());
  EXPECT_TRUE(absl::IsDataLoss(twice.Add(records[1])));
  EXPECT_TRUE(absl::IsDataLoss(Sessions::Loader().Add(records[1]))) << "the time comes first";
  EXPECT_TRUE(absl::IsDataLoss(Sessions::Loader().Finish().status()));
  EXPECT_TRUE(absl::IsDataLoss(Sessions::Loader().Add("\x99 what?")));
}

}  // namespace
}  // namespace mokv::machine
