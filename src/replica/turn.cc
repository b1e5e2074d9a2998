// Replica: the turn, and what it is made of, in the order in which the turn does it.
#include <fmt/ranges.h>

#include <algorithm>
#include <functional>
#include <iterator>
#include <utility>

#include "base/check.h"
#include "base/status.h"
#include "replica/replica.h"

namespace mokv::replica {
namespace {

// A fenced leader waits so long for somebody else to lead.
constexpr Duration kStepAsideMax = std::chrono::seconds(1);

// How far followers may commit, said on its own: nobody waits for it here.
bool IsCommitNews(const raft::Message& message) {
  const auto* heartbeat = std::get_if<raft::Heartbeat>(&message.body);
  return heartbeat != nullptr && heartbeat->round == raft::Round();
}

// Takes what is no news out of `messages`, in its order.
std::vector<raft::Message> SplitOffCommitNews(std::vector<raft::Message>& messages) {
  const auto news =
      std::stable_partition(messages.begin(), messages.end(), std::not_fn(IsCommitNews));
  std::vector<raft::Message> out(std::make_move_iterator(news),
                                 std::make_move_iterator(messages.end()));
  messages.erase(news, messages.end());
  return out;
}

}  // namespace

// One turn: all that has come, as one batch, and then what it led to, in the one order that is
// safe. The core withholds every promise (a vote, an acknowledgement) until it is told that what it
// rests on is durable, so what it gives out may leave at once:
//   inbox    what other threads have for the core; peers' messages have been given to it already;
//   step     the clock, writes, one question for all reads that wait, changes of the cluster;
//   persist  first, so that the disk works while the rest is done; nothing waits for it here;
//   send     at once: a leader's own disk is one vote among others (§10.2.1). Before, the
//            connections follow the membership, and the lease ends where messages may end it;
//   apply    what is committed, and show it to readers;
//   answer   only then, and the counters first: writes, then the standing, which may let waiting
//            ones go on, then reads, after the lease has been raised to what is shown now, then
//            changes of the cluster.
// Last, what nobody here waits for: entries that a slow peer needs are read from the disk, followers
// hear how far they may commit (each such message is a system call), and the alarm is set.
void Replica::Turn() {
  TakeInbox();
  if (core_ == nullptr || life() == Life::kGone) return;
  const MonotonicTime now = clock_.Now();
  TickIfDue(now);
  AskCore(now);
  raft::Output output = core_->TakeOutput();
  if (callbacks_.observer != nullptr) callbacks_.observer->OnOutput(*core_, output);
  board_.SetLast(core_->term(), core_->log().last().index);

  if (output.membership_changed) OnMembership();
  if (output.persist.has_value()) Persist(*std::move(output.persist));
  gate_.LowerLease(LeaseNow());
  const std::vector<raft::Message> news = SplitOffCommitNews(output.messages);
  Send(output.messages);

  for (const raft::ProposalResult& result : output.proposals) writes_.OnProposed(result, *core_);
  if (!output.committed.empty()) Apply(output.committed);
  if (life() == Life::kGone) return;

  PublishCounters();
  AnswerWrites();
  TellLosses(output.losses);
  if (output.standing.has_value()) OnStanding(*output.standing);
  // What is committed and could not all be applied in this turn must be seen by who reads by the lease.
  gate_.Promise(core_->commit());
  gate_.RaiseLease(LeaseNow());
  AnswerReads(output);
  for (const raft::ChangeResult& result : output.changes) administration_.OnChange(result);
  for (const raft::TransferResult& result : output.transfers) administration_.OnTransfer(result);

  for (const raft::EntriesWanted& wanted : output.entries_wanted) FetchEntries(wanted);
  Send(news);
  if (snapshots_ != nullptr) snapshots_->OnTurn(*core_, output.snapshot_wanted);
  if (output.more_committed) inbox_.Wake();
  SetAlarm();
}

// --- inbox

void Replica::TakeInbox() {
  inbox_.Take(batch_);
  for (Event& event : batch_) {
    std::visit([this](auto& alternative) { Handle(std::move(alternative)); }, event);
  }
  batch_.clear();
}

void Replica::Handle(Write write) {
  if (const absl::Status out = CheckTakesPart(); !out.ok()) return writes_.NotDone(write, out);
  writes_.Add(std::move(write));
}

void Replica::Handle(AdminCall call) {
  if (life() == Life::kGone) return call.done(Unavailable("{}", failure_), false);
  administration_.Add(std::move(call));
}

void Replica::Handle(WaitingRead read) {
  reads_.Add(std::move(read));
  if (life() == Life::kGone) reads_.FailAll(Unavailable("{}", failure_));
}

void Replica::Handle(Durable durable) {
  if (life() == Life::kGone) return;
  // Of a write in pieces all but the last one give back the ticket before it.
  if (durable.ticket <= durable_) return;
  durable_ = durable.ticket;
  if (durable_ > kInitialTicket) return Step(raft::Persisted{CoreTicket(durable_)});
  MOKV_CHECK(initial_.has_value());
  const absl::Status started = StartCore(*std::exchange(initial_, {}));
  MOKV_CHECK(started.ok());
}

void Replica::Handle(LogFailed failed) {
  FailEverything("the node is stopping: its log has failed");
  callbacks_.on_fatal(failed.reason);
}

void Replica::Handle(Fenced fenced) { FailEverything("this node is fenced: " + fenced.reason); }

void Replica::Handle(EntriesRead read) {
  if (core_ == nullptr) return;
  raft::EntryBatch entries;
  if (read.entries.ok()) {
    entries = std::make_shared<const std::vector<Entry>>(*std::move(read.entries));
  } else if (absl::IsDataLoss(read.entries.status())) {
    // Not final for this node, which has applied them; but whoever looks after it should know.
    ++counters_.log_reads_failed;
  }
  GiveCore(clock_.Now(), raft::EntriesFetched{.peer = read.peer, .entries = std::move(entries)});
}

void Replica::Handle(TellWhenIdle tell) { writes_.WhenIdle(std::move(tell.done)); }

void Replica::Handle(Freezing freezing) {
  if (life() == Life::kGone) return freezing.done(Unavailable("{}", failure_));
  const Index applied = core_ == nullptr ? Index() : core_->applied();
  if (core_ != nullptr && applied != gate_.applied()) {
    // The core has taken a snapshot's place already, and the state follows later in this turn.
    return freezing.done(Unavailable("the node is just installing a snapshot; ask again"));
  }
  if (applied == Index() || core_->log().MembershipAt(applied)->empty()) {
    return freezing.done(Unavailable(
        "the node is starting, or waits to be added to a cluster: it has no state yet"));
  }
  freezing.done(FrozenSnapshot{.meta = {.last = {applied, core_->log().TermAt(applied)},
                                        .membership = core_->log().MembershipAt(applied)},
                               .state = machine_.Freeze()});
}

void Replica::Handle(Task task) {
  if (life() != Life::kGone) task();
}

// --- step

// Where this thread was busy, or stood still, what others sent meanwhile is still in the sockets.
// Taken for silence it would make a follower stand against a leader that is well, and a leader
// that is followed resign. So a tick that is late waits until the sockets have been read.
void Replica::TickIfDue(MonotonicTime now) {
  if (now < core_->NextDeadline()) return;
  if (now - core_->NextDeadline() <= options_.raft.heartbeat_interval) {
    GiveCore(now, raft::Tick{});
  } else if (!std::exchange(tick_posted_, true)) {
    // Twice: a task that was posted once may still come before them (net/io_pool.h).
    executors_.replica.Post([this] { executors_.replica.Post([this] { TickBehindSockets(); }); });
  }
}

void Replica::TickBehindSockets() {
  tick_posted_ = false;
  if (clock_.Now() >= core_->NextDeadline()) Step(raft::Tick{});
}

void Replica::AskCore(MonotonicTime now) {
  const auto next_id = [this] { return NextId(); };
  if (auto propose = differs_ ? std::nullopt : writes_.Route(*core_, *log_, *peers_, next_id)) {
    GiveCore(now, *std::move(propose));
  }
  if (const auto read = reads_.Ask(next_id)) GiveCore(now, *read);
  for (raft::Event& event : administration_.Route(*core_, *peers_, now, next_id)) {
    GiveCore(now, std::move(event));
  }
}

void Replica::GiveCore(MonotonicTime now, raft::Event event) {
  if (callbacks_.observer != nullptr) callbacks_.observer->OnStep(*core_, event);
  core_->Step(now, std::move(event));
}

// What comes outside of a turn is stepped at once, and asks for a turn.
void Replica::Step(raft::Event event) {
  if (life() == Life::kGone) return;
  GiveCore(clock_.Now(), std::move(event));
  inbox_.Wake();
}

// --- persist

void Replica::Persist(raft::PersistRequest request) {
  if (request.install.has_value()) Install(*request.install);
  ++counters_.batches;
  counters_.batch_entries += request.entries.size();
  log_->Append(LogTicket(request.ticket), {.truncate_from = request.truncate_from,
                                           .entries = std::move(request.entries),
                                           .hard_state = std::move(request.hard_state)});
}

// The snapshot is on disk, so the log may begin behind it. What was frozen of the state from before
// is let go of elsewhere: that takes as long as it was large.
void Replica::Install(const raft::SnapshotMeta& snapshot) {
  log_->ResetTo(wal::Ticket(), snapshot.last.index, snapshot.last.term);
  machine::Machine::Replaced before = machine_.Install(snapshots_->TakeInstalled(snapshot.last));
  executors_.snapshots.Post([before = std::move(before)]() mutable { before = {}; });
  writes_.OnInstalled(snapshot.last.index);
  gate_.OnApplied(snapshot.last.index, machine_.revision());
}

// --- send

void Replica::Send(const std::vector<raft::Message>& messages) {
  if (messages.empty()) return;
  // Others may act upon it at once: from here on nobody reads less than that here by the lease.
  gate_.Promise(core_->commit());
  if (snapshots_ != nullptr) snapshots_->OnSent(messages, clock_.Now());
  peers_->Send(messages);
}

void Replica::OnMembership() {
  const std::shared_ptr<const raft::Membership> membership = core_->membership();
  const bool new_cluster = board_.SetMembership(membership);
  peers_->SetMembership(membership);
  FillBoard();
  if (new_cluster && callbacks_.on_cluster_id) callbacks_.on_cluster_id(membership->cluster_id());
}

// Until when linearizable reads may be answered from what is published here: while the core's lease
// lasts, and for ever where this node is the only voter, since nobody else could have committed
// anything.
MonotonicTime Replica::LeaseNow() const {
  if (!core_->can_serve()) return MonotonicTime();
  const raft::Membership& membership = *core_->membership();
  if (!membership.joint() && membership.voters() == raft::Membership::Ids{core_->id()}) {
    return MonotonicTime::Max();
  }
  return core_->lease_until();
}

// --- apply

void Replica::Apply(const std::vector<Entry>& committed) {
  results_.clear();
  // The others go on without this node; going on past it would make this one differ.
  if (const absl::Status applied = ApplyAndCompare(committed); !applied.ok()) {
    FailEverything("the node is stopping: its log cannot be applied");
    return callbacks_.on_fatal(applied);
  }
  writes_.OnApplied(committed, results_);
  if (snapshots_ != nullptr) snapshots_->OnApplied(committed);
  machine_.Publish();
  gate_.OnApplied(committed.back().index, machine_.revision());
  const auto is_configuration = [](const Entry& e) { return e.type == EntryType::kConfiguration; };
  if (std::any_of(committed.begin(), committed.end(), is_configuration)) FillBoard();
}

// Where replicas compare their states, a batch is applied in two parts: a state is of one index.
absl::Status Replica::ApplyAndCompare(std::span<const Entry> entries) {
  while (!entries.empty()) {
    const auto due = std::find_if(entries.begin(), entries.end(), [this](const Entry& entry) {
      return comparison_.IsDue(entry.index);
    });
    const bool compares = due != entries.end();
    const auto count = static_cast<size_t>(due - entries.begin()) + (compares ? 1 : 0);
    MOKV_RETURN_IF_ERROR(machine_.Apply(entries.first(count), results_));
    if (compares) TellDigest(due->index);
    entries = entries.subspan(count);
  }
  return absl::OkStatus();
}

void Replica::TellDigest(Index index) {
  machine_.Publish();
  const store::Digest state = machine_.digest();
  const StateDigest own{
      .index = index, .format = Comparison::kFormat, .low = state.low, .high = state.high};
  const raft::Membership& membership = *core_->membership();
  for (const auto& [id, member] : membership.members()) {
    if (id != core_->id()) peers_->SendDigest(id, own);
  }
  OnFinding(comparison_.OnOwn(own, membership, core_->id()));
}

void Replica::OnFinding(const Comparison::Finding& finding) {
  using Verdict = Comparison::Verdict;
  if (finding.verdict == Verdict::kOpen) return;
  ++counters_.comparisons;
  if (finding.verdict == Verdict::kEqual) {
    counters_.compared_index = std::max(counters_.compared_index, finding.index.value());
    return;
  }
  ++counters_.differences;
  std::vector<std::string> names;
  for (const raft::NodeId node : finding.others)
    names.push_back(NameOf(*core_->membership(), node));
  const std::string others = fmt::format("{}", fmt::join(names, ", "));
  if (finding.verdict == Verdict::kDiffers) {
    return FenceAsDiffering(
        fmt::format("its state at entry {} is not that of a majority ({})", finding.index, others));
  }
  // Once, not with every comparison.
  if (std::exchange(told_differing_, others) == others || !callbacks_.on_differing) return;
  callbacks_.on_differing(
      finding.verdict == Verdict::kOthers
          ? fmt::format("the state of {} at entry {} is not that of a majority", others,
                        finding.index)
          : fmt::format("no majority has the same state at entry {}; others than this node's: {}",
                        finding.index, others),
      /*fences=*/false);
}

// Nothing is answered from here on, and nothing taken. A leader lets somebody else lead first, so that
// nobody waits for an election.
void Replica::FenceAsDiffering(const std::string& reason) {
  if (std::exchange(told_differing_, reason) == reason) return;
  gate_.Close();
  differs_ = true;
  if (callbacks_.on_differing) callbacks_.on_differing(reason, /*fences=*/true);
  if (core_->role() != raft::Role::kLeader) return Handle(Fenced{reason});
  StepAside(clock_.Now() + kStepAsideMax,
            [this, reason](const absl::Status&, bool) { Fence(reason); });
}

// --- answer

// What a write has come to in a state that is not everybody's is nobody's answer.
void Replica::AnswerWrites() {
  if (!differs_) return writes_.AnswerApplied();
  writes_.FailAll("this node is fenced: " + told_differing_);
}

void Replica::TellLosses(const std::vector<raft::EntriesLost>& losses) {
  if (!callbacks_.on_entries_lost) return;
  for (const raft::EntriesLost& loss : losses) {
    // An old log may not have this node among its members.
    callbacks_.on_entries_lost(
        loss.node == core_->id() ? options_.name : NameOf(*core_->membership(), loss.node), loss);
  }
}

void Replica::OnStanding(const raft::Standing& standing) {
  const bool another = standing.leader != standing_.leader;
  if (another && standing.leader != raft::NodeId()) ++counters_.leader_changes;
  standing_ = standing;
  FillBoard();  // Who is told of it below, and asks, must not find what was.
  if (another && callbacks_.on_leader_changed) {
    callbacks_.on_leader_changed(NameOf(*core_->membership(), standing.leader), core_->term());
  }
  // There may be somebody now who takes what waits.
  writes_.Unblock();
  reads_.Unblock();
  administration_.Unblock();
  inbox_.Wake();
  const bool follows = standing.role == raft::Role::kFollower && standing.leader != raft::NodeId();
  // Others must not be sent to a node that has less than it once had.
  const bool serving = !standing.lacks_acknowledged && (standing.can_serve || follows);
  if (board_.SetServing(serving) && callbacks_.on_serving_changed) {
    callbacks_.on_serving_changed(serving);
  }
}

void Replica::AnswerReads(const raft::Output& output) {
  // Asking again at once would be refused again, unless somebody else leads now.
  if (differs_) return reads_.FailAll(Unavailable("this node is fenced: {}", told_differing_));
  const bool moved = output.standing.has_value() && output.standing->leader != raft::NodeId();
  for (const raft::ReadResult& result : output.reads) reads_.OnAnswer(result, moved);
  reads_.Release({gate_.applied(), gate_.revision()});
}

// The disk is not waited for here. What comes back is compared with what the core knows of the log
// by then.
void Replica::FetchEntries(const raft::EntriesWanted& wanted) {
  auto task = log_->PrepareRead(wanted.from, wanted.bytes_max);
  executors_.background.Post([this, peer = wanted.peer, task = std::move(task)]() mutable {
    inbox_.Add(EntriesRead{peer, task()});
  });
}

// Alarms that are too early do no harm, and setting one costs a system call: so it is only set
// anew for an earlier time, or when it has rung.
void Replica::SetAlarm() {
  const MonotonicTime next = core_->NextDeadline();
  if (next >= alarm_at_) return;
  alarm_at_ = next;
  callbacks_.set_alarm(next);
}

void Replica::FillBoard() {
  PublishCounters();
  board_.Fill(*core_, snapshots_ == nullptr ? SnapshotReport() : snapshots_->report(),
              comparison_.DigestsOf(core_->id()), clock_.Now());
}

void Replica::PublishCounters() {
  Counters counters = counters_;
  writes_.Count(counters);
  counters.read_groups = reads_.questions();
  const raft::Stats& stats = core_->stats();
  counters.elections = stats.elections;
  counters.leaderships = stats.leaderships;
  counters.read_rounds = stats.read_rounds;
  counters.lease_reads = stats.lease_reads;
  counters.disk_stalls = stats.disk_stalls;
  counters.appends_rejected = stats.appends_rejected;
  counters.messages_malformed = stats.malformed;
  counters.messages_misaddressed = stats.misaddressed;
  board_.SetCounters(counters);
}

}  // namespace mokv::replica
