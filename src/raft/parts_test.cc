// The core's small parts alone: progress, the log view, durability, read index, forwarded reads,
// lease, learners' rounds, votes.
#include <gtest/gtest.h>

#include "raft/catch_up.h"
#include "raft/durability.h"
#include "raft/forwarded_reads.h"
#include "raft/lease.h"
#include "raft/log_view.h"
#include "raft/progress.h"
#include "raft/read_index.h"
#include "raft/vote_tally.h"

namespace mokv::raft {
namespace {

using std::chrono::milliseconds;

constexpr Progress::Limits kLimits{.appends_max = 3, .bytes_max = 1000};

MonotonicTime At(int ms) { return {milliseconds(ms)}; }

Member Named(const std::string& name) {
  return {.id = NodeIdOf(name, "disk"), .name = name, .instance_id = "disk"};
}

Entry Command(uint64_t index, uint64_t term) {
  return {.index = Index(index), .term = Term(term), .type = EntryType::kCommand};
}

Entry Configured(uint64_t index, uint64_t term, const Membership& membership) {
  return {.index = Index(index),
          .term = Term(term),
          .type = EntryType::kConfiguration,
          .payload = std::make_shared<const std::string>(membership.Encode())};
}

// --- Progress

TEST(Progress, ProbesOneAtATimeUntilTheLogsAgree) {
  Progress progress(Index(10), At(0));
  EXPECT_TRUE(progress.CanSend(kLimits));
  progress.OnSent(Index(12), 100);
  EXPECT_FALSE(progress.CanSend(kLimits));
  EXPECT_TRUE(progress.OnRejected(Index(9), Index(5)));
  EXPECT_EQ(progress.next(), Index(6));
  progress.OnSent(Index(8), 100);
  EXPECT_TRUE(progress.OnAccepted(Index(8)));
  EXPECT_EQ(progress.state(), Progress::State::kReplicate);
  EXPECT_EQ(progress.next(), Index(9));
}

TEST(Progress, BoundsWhatIsInFlightByNumberAndBytes) {
  Progress progress(Index(2), At(0));
  progress.OnAccepted(Index(1));
  for (uint64_t i = 2; i <= 4; ++i) progress.OnSent(Index(i), 10);
  EXPECT_FALSE(progress.CanSend(kLimits));
  progress.OnAccepted(Index(3));
  EXPECT_EQ(progress.inflight().count(), 1U);
  EXPECT_EQ(progress.inflight().bytes(), 10U);
  progress.OnSent(Index(5), 5000);
  EXPECT_FALSE(progress.CanSend(kLimits));
  progress.OnAccepted(Index(5));
  EXPECT_TRUE(progress.CanSend(kLimits));
  EXPECT_EQ(progress.inflight().bytes(), 0U);
}

TEST(Progress, NeverMovesMatchBack) {
  Progress progress(Index(5), At(0));
  EXPECT_TRUE(progress.OnAccepted(Index(4)));
  EXPECT_FALSE(progress.OnAccepted(Index(2)));
  EXPECT_EQ(progress.match(), Index(4));
  EXPECT_FALSE(progress.OnRejected(Index(3), Index(1)));
  EXPECT_EQ(progress.next(), Index(5));
  EXPECT_EQ(progress.state(), Progress::State::kReplicate);
}

TEST(Progress, IgnoresTheAnswerToAnEarlierProbe) {
  Progress progress(Index(10), At(0));
  progress.OnSent(Index(9), 0);
  EXPECT_TRUE(progress.OnRejected(Index(9), Index(4)));
  EXPECT_FALSE(progress.OnRejected(Index(9), Index(2)));
  EXPECT_EQ(progress.next(), Index(5));
}

// A rejection of what is acknowledged is an old one, or the peer has lost it: only a heartbeat's
// answer tells, and it must not be asked over and over meanwhile.
TEST(Progress, DoesNotAskAgainWhereItHasAcknowledged) {
  Progress progress(Index(5), At(0));
  progress.OnAccepted(Index(4));
  progress.BecomeProbe();
  progress.OnSent(Index(4), 0);
  EXPECT_FALSE(progress.OnRejected(Index(4), Index(1)));
  EXPECT_FALSE(progress.CanSend(kLimits));
  progress.OnHeartbeatReply(Round(1), Round(1));
  EXPECT_TRUE(progress.CanSend(kLimits));
}

TEST(Progress, CountsNothingOfWhatWasLostUntilItIsConfirmedAnew) {
  Progress progress(Index(10), At(0));
  progress.OnAccepted(Index(9));
  progress.OnLost(Index(3));
  EXPECT_EQ(progress.state(), Progress::State::kProbe);
  EXPECT_EQ(progress.match(), Index(0));
  EXPECT_EQ(progress.next(), Index(4));
  EXPECT_EQ(progress.lost_through(), Index(9));
  EXPECT_TRUE(progress.OnAccepted(Index(6)));
  EXPECT_EQ(progress.acknowledged(), Index(9));
  progress.OnLost(Index(2));  // Once more, on the way.
  EXPECT_EQ(progress.lost_through(), Index(9));
  progress.OnAccepted(Index(9));
  EXPECT_EQ(progress.lost_through(), Index(0));
  EXPECT_EQ(progress.acknowledged(), Index(9));
}

TEST(Progress, NoticesSilenceByHeartbeats) {
  Progress progress(Index(5), At(0));
  progress.OnAccepted(Index(4));
  progress.matched_round = Round(1);
  EXPECT_FALSE(progress.OnHeartbeatReply(Round(2), Round(2)));  // Nothing is in flight.
  progress.sent_round = Round(2);
  progress.OnSent(Index(5), 10);
  EXPECT_FALSE(progress.OnHeartbeatReply(Round(2), Round(2))) << "sent before what is in flight";
  EXPECT_TRUE(progress.OnHeartbeatReply(Round(3), Round(2))) << "a round for a read tells as well";
  EXPECT_FALSE(progress.OnHeartbeatReply(Round(4), Round(2))) << "once an interval";
  progress.OnSent(Index(6), 10);
  progress.OnAccepted(Index(5));
  progress.matched_round = Round(5);
  EXPECT_FALSE(progress.OnHeartbeatReply(Round(5), Round(5))) << "it has spoken since";
  EXPECT_TRUE(progress.OnHeartbeatReply(Round(6), Round(6)));
  progress.OnAccepted(Index(6));
  EXPECT_FALSE(progress.OnHeartbeatReply(Round(7), Round(7)));
}

TEST(Progress, SendsAProbeAgainWhenALaterHeartbeatIsAnswered) {
  Progress progress(Index(5), At(0));
  progress.sent_round = Round(3);
  progress.OnSent(Index(4), 0);
  EXPECT_FALSE(progress.OnHeartbeatReply(Round(3), Round(3)));
  EXPECT_FALSE(progress.CanSend(kLimits));
  EXPECT_FALSE(progress.OnHeartbeatReply(Round(4), Round(4)));
  EXPECT_TRUE(progress.CanSend(kLimits));
}

TEST(Progress, WaitsForASnapshot) {
  Progress progress(Index(5), At(0));
  progress.BecomeSnapshot(Index(20));
  EXPECT_FALSE(progress.CanSend(kLimits));
  EXPECT_FALSE(progress.OnRejected(Index(4), Index(0)));
  progress.OnAccepted(Index(20));
  EXPECT_EQ(progress.state(), Progress::State::kReplicate);
  EXPECT_EQ(progress.next(), Index(21));
  progress.BecomeSnapshot(Index(30));
  progress.OnSnapshotFailed();
  EXPECT_EQ(progress.state(), Progress::State::kProbe);
  EXPECT_EQ(progress.next(), Index(21));
  EXPECT_FALSE(progress.CanSend(kLimits));
  progress.OnHeartbeatReply(Round(1), Round(1));
  EXPECT_TRUE(progress.CanSend(kLimits));
}

TEST(Inflight, ReusesItsRing) {
  Inflight inflight;
  for (uint64_t i = 1; i <= 1000; ++i) {
    inflight.Add(Index(i), 1);
    if (i > 3) inflight.FreeThrough(Index(i - 3));
  }
  EXPECT_EQ(inflight.count(), 3U);
  EXPECT_LE(inflight.capacity(), 4U);
}

// --- LogView

LogView MakeLog() {
  LogView log;
  EXPECT_TRUE(log.Recover(InitialEntry(Membership("c", {Named("a")}))).ok());
  EXPECT_TRUE(log.Recover(Command(2, 1)).ok());
  EXPECT_TRUE(log.Recover(Command(3, 2)).ok());
  return log;
}

TEST(LogView, ComparesByTermThenIndex) {
  const LogView log = MakeLog();
  EXPECT_TRUE(log.IsUpToDate({Index(3), Term(2)}));
  EXPECT_TRUE(log.IsUpToDate({Index(1), Term(3)}));
  EXPECT_FALSE(log.IsUpToDate({Index(9), Term(1)}));
  EXPECT_FALSE(log.IsUpToDate({Index(2), Term(2)}));
}

TEST(LogView, RefusesToRecoverWhatDoesNotFollow) {
  LogView log = MakeLog();
  EXPECT_FALSE(log.Recover(Command(5, 2)).ok());
  EXPECT_FALSE(log.Recover(Command(4, 1)).ok());
  EXPECT_TRUE(log.Recover(Command(4, 2)).ok());
  LogView empty;
  EXPECT_FALSE(empty.Recover(Command(1, 1)).ok());
  Entry broken = Command(5, 2);
  broken.type = EntryType::kConfiguration;
  EXPECT_FALSE(log.Recover(broken).ok());
  EXPECT_EQ(log.last().index, Index(4));
}

TEST(LogView, TakesConfigurationsBackWithTheirEntries) {
  LogView log = MakeLog();
  EXPECT_TRUE(log.Recover(Configured(4, 2, Membership("c", {Named("b")}))).ok());
  EXPECT_TRUE(log.Recover(Configured(5, 2, Membership("c", {Named("d")}))).ok());
  EXPECT_TRUE(log.membership()->IsVoter(Named("d").id));
  EXPECT_TRUE(log.MembershipAt(Index(4))->IsVoter(Named("b").id));
  EXPECT_TRUE(log.MembershipAt(Index(3))->IsVoter(Named("a").id));
  log.TruncateFrom(Index(5));
  EXPECT_TRUE(log.membership()->IsVoter(Named("b").id));
  log.TruncateFrom(Index(2));
  EXPECT_TRUE(log.membership()->IsVoter(Named("a").id));
  EXPECT_EQ(log.membership_index(), Index(1));
}

TEST(LogView, AConfigurationIsSettledWhenItIsCommittedAndNotJoint) {
  const auto settled_has = [](const LogView& log, uint64_t commit, const std::string& name) {
    return log.SettledMembership(Index(commit))->IsVoter(Named(name).id);
  };
  LogView log = MakeLog();
  const auto with_learner = log.membership()->Begin(
      std::vector<MemberChange>{{.kind = MemberChange::Kind::kAddLearner, .member = Named("b")}});
  ASSERT_TRUE(with_learner.ok());
  const auto joint = with_learner->Begin(
      std::vector<MemberChange>{{.kind = MemberChange::Kind::kPromote, .member = Named("b")}});
  ASSERT_TRUE(joint.ok() && joint->joint());
  EXPECT_TRUE(log.Recover(Configured(4, 2, *joint)).ok());
  EXPECT_FALSE(settled_has(log, 3, "b"));
  EXPECT_FALSE(settled_has(log, 4, "b"));
  EXPECT_FALSE(settled_has(log, 0, "b")) << "the newest that is not joint";
  EXPECT_TRUE(settled_has(log, 4, "a"));
  EXPECT_TRUE(log.Recover(Configured(5, 2, joint->LeaveJoint())).ok());
  EXPECT_FALSE(settled_has(log, 4, "b"));
  EXPECT_TRUE(settled_has(log, 5, "b"));
  EXPECT_TRUE(settled_has(log, 0, "b"));
}

TEST(LogView, KeepsTermsAndConfigurationsOfWhatItForgets) {
  LogView log = MakeLog();
  log.Trim(Index(2), 0);
  EXPECT_EQ(log.first_in_memory(), Index(3));
  EXPECT_TRUE(log.Holds({Index(2), Term(1)}));
  EXPECT_FALSE(log.Holds({Index(2), Term(2)}));
  log.CompactThrough(Index(2));
  EXPECT_EQ(log.base(), (Position{Index(2), Term(1)}));
  EXPECT_FALSE(log.Holds({Index(1), Term(1)}));
  EXPECT_TRUE(log.membership()->IsVoter(Named("a").id));
  EXPECT_EQ(log.bytes_in_memory(), kEntryOverheadBytes);
}

TEST(LogView, SlicesByBytesButAtLeastOne) {
  const LogView log = MakeLog();
  EXPECT_EQ(log.Slice(Index(2), Index(3), 1).size(), 1U);
  EXPECT_EQ(log.Slice(Index(2), Index(3), 2 * kEntryOverheadBytes).size(), 2U);
}

// --- Durability

TEST(Durability, CountsWhatTheDiskHasAnswered) {
  Durability durability(Index(3));
  const PersistTicket one = durability.Issue(Index(5), At(0));
  durability.Issue(Index(8), At(1));
  EXPECT_EQ(durability.stable(), Index(3));
  durability.OnPersisted(one, At(7));
  EXPECT_EQ(durability.stable(), Index(5));
  EXPECT_TRUE(durability.waiting());
  EXPECT_EQ(durability.waiting_since(), At(7));
  durability.OnPersisted(durability.last_ticket(), At(8));
  EXPECT_EQ(durability.stable(), Index(8));
  EXPECT_FALSE(durability.waiting());
}

// The ABA race: the answer for entries that have been overwritten says nothing of their successors.
TEST(Durability, ForgetsWhatWasOverwritten) {
  Durability durability(Index(3));
  const PersistTicket old = durability.Issue(Index(8), At(0));
  durability.OnTruncated(Index(5));
  const PersistTicket rewritten = durability.Issue(Index(9), At(0));
  durability.OnPersisted(old, At(1));
  EXPECT_EQ(durability.stable(), Index(4));
  durability.OnPersisted(rewritten, At(2));
  EXPECT_EQ(durability.stable(), Index(9));
}

TEST(Durability, ASnapshotCountsWithItsOwnWrite) {
  Durability durability(Index(3));
  const PersistTicket old = durability.Issue(Index(8), At(0));
  durability.OnReset(Index(20));
  const PersistTicket installed = durability.Issue(Index(20), At(0));
  durability.OnPersisted(old, At(1));
  EXPECT_EQ(durability.stable(), Index(0));
  durability.OnPersisted(installed, At(1));
  EXPECT_EQ(durability.stable(), Index(20));
}

// --- ReadIndex, ForwardedReads

TEST(ReadIndex, SharesARoundAmongThoseWhoWait) {
  ReadIndex reads;
  reads.Add({.from = NodeId(1), .request = RequestId(1)});
  reads.Add({.from = NodeId(1), .request = RequestId(2)});
  reads.BeginRound(Round(1), Index(7));
  reads.Add({.from = NodeId(1), .request = RequestId(3)});
  EXPECT_EQ(reads.waiting(), 3U);
  EXPECT_TRUE(reads.OnQuorum(Round(0)).empty());
  const auto confirmed = reads.OnQuorum(Round(1));
  ASSERT_EQ(confirmed.size(), 2U);
  EXPECT_EQ(confirmed[1].index, Index(7));
  EXPECT_EQ(reads.waiting(), 1U);
  EXPECT_EQ(reads.FailAll().size(), 1U);
  EXPECT_EQ(reads.waiting(), 0U);
}

TEST(ReadIndex, LaterRoundConfirmsEarlierOnes) {
  ReadIndex reads;
  reads.Add({.from = NodeId(1), .request = RequestId(1)});
  reads.BeginRound(Round(1), Index(7));
  reads.Add({.from = NodeId(1), .request = RequestId(2)});
  reads.BeginRound(Round(4), Index(9));
  const auto confirmed = reads.OnQuorum(Round(5));
  ASSERT_EQ(confirmed.size(), 2U);
  EXPECT_EQ(confirmed[0].index, Index(7));
  EXPECT_EQ(confirmed[1].index, Index(9));
}

TEST(ForwardedReads, NeverUseAContextTwice) {
  ForwardedReads reads(77);
  reads.Add(RequestId(1));
  const ReadContext first = *reads.TakeRequest(At(0), 2);
  EXPECT_EQ(reads.FailAll().size(), 1U);
  reads.Add(RequestId(2));
  const ReadContext second = *reads.TakeRequest(At(0), 2);
  EXPECT_NE(first, second);
  EXPECT_TRUE(reads.OnReply(first).empty());
  EXPECT_TRUE(reads.OnReply({.boot = 78, .sequence = second.sequence}).empty());
  EXPECT_EQ(reads.OnReply(second).size(), 1U);
  EXPECT_TRUE(reads.OnReply(second).empty());
  EXPECT_TRUE(reads.empty());
}

TEST(ForwardedReads, AskAgainWhenAnAnswerIsOverdue) {
  ForwardedReads reads(1);
  reads.Add(RequestId(1));
  const ReadContext context = *reads.TakeRequest(At(0), 1);
  reads.Add(RequestId(2));
  EXPECT_FALSE(reads.TakeRequest(At(1), 1).has_value());  // One at a time, here.
  EXPECT_TRUE(reads.Overdue(At(-1), At(5)).empty());
  EXPECT_EQ(reads.Overdue(At(0), At(5)), std::vector<ReadContext>{context});
  EXPECT_TRUE(reads.Overdue(At(4), At(9)).empty());
}

// --- Lease, CatchUp, VoteTally, votes as text

TEST(Lease, RunsFromTheSendingAndEndsEarly) {
  HeartbeatRounds rounds;
  Lease lease(true, milliseconds(1000), 10);
  lease.BeginTerm();
  rounds.Begin(At(100));
  const Round second = rounds.Begin(At(200));
  lease.OnQuorum(rounds.OnQuorum(second));
  EXPECT_EQ(lease.until(), At(1100));
  lease.GiveUpForTerm();
  EXPECT_EQ(lease.until(), MonotonicTime());
  lease.OnQuorum(At(500));
  EXPECT_EQ(lease.until(), MonotonicTime());
  lease.BeginTerm();
  lease.OnQuorum(At(500));
  EXPECT_EQ(lease.until(), At(1400));
}

TEST(Lease, IsNeverThereWhenSwitchedOff) {
  Lease lease(false, milliseconds(1000), 10);
  lease.OnQuorum(At(100));
  EXPECT_EQ(lease.until(), MonotonicTime());
}

TEST(CatchUp, NeedsARoundShorterThanAnElectionTimeout) {
  CatchUp catch_up(Index(100), At(0));
  catch_up.OnProgress(Index(99), Index(150), At(10), milliseconds(50));
  EXPECT_FALSE(catch_up.done());
  catch_up.OnProgress(Index(100), Index(160), At(60), milliseconds(50));  // Too long.
  EXPECT_FALSE(catch_up.done());
  catch_up.OnProgress(Index(160), Index(161), At(90), milliseconds(50));
  EXPECT_TRUE(catch_up.done());
}

TEST(CatchUp, ASlowRoundAfterWhichNothingIsMissingIsEnough) {
  CatchUp catch_up(Index(100), At(0));
  catch_up.OnProgress(Index(100), Index(100), At(60), milliseconds(50));
  EXPECT_TRUE(catch_up.done());
}

TEST(VoteTally, AGrantStands) {
  const Membership three("c", {Named("a"), Named("b"), Named("d")});
  VoteTally tally;
  tally.Record(Named("a").id, true);
  tally.Record(Named("b").id, false);
  EXPECT_EQ(tally.Result(three), VoteResult::kPending);
  tally.Record(Named("b").id, true);
  EXPECT_EQ(tally.Result(three), VoteResult::kWon);
  tally.Reset();
  tally.Record(NodeId(99), true);  // A stranger.
  EXPECT_EQ(tally.Result(three), VoteResult::kPending);
}

TEST(Vote, SurvivesAsText) {
  EXPECT_EQ(ParseVote(VoteText(NodeId(77))), NodeId(77));
  EXPECT_EQ(ParseVote(VoteText(NodeId())), NodeId());
  EXPECT_NE(ParseVote("node-1"), NodeId());  // Of an earlier version: somebody has the vote.
}

}  // namespace
}  // namespace mokv::raft
