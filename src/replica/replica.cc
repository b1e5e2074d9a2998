// Replica: how it starts, what is asked of it from any thread, and how it ends.
#include "replica/replica.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/status.h"

namespace mokv::replica {
namespace {

// A change of the cluster may take long, but not to find somebody to ask: whoever asked a node that
// is cut off, or was removed, goes on to the next one.
constexpr Duration kLeaderWaitMax = std::chrono::seconds(5);
// What another node may ask this one to wait: more than any client does, and far from what a clock
// can count to.
constexpr Duration kForwardWaitMax = std::chrono::minutes(10);

Replica::Options WithId(Replica::Options options) {
  options.raft.id = raft::NodeIdOf(options.name, options.instance_id);
  return options;
}

}  // namespace

Replica::Replica(Executors executors, const Clock& clock, Random& random, machine::Machine& machine,
                 Options options, Callbacks callbacks)
    : executors_(executors),
      clock_(clock),
      random_(random),
      machine_(machine),
      options_(WithId(std::move(options))),
      callbacks_(std::move(callbacks)),
      inbox_(executors.replica, [this] { Turn(); }),
      writes_(clock, machine, options_.writes, options_.forward_guard),
      reads_(options_.reads_waiting_max),
      gate_(clock),
      board_(options_.raft.id, options_.raft.election_timeout),
      administration_([this] { inbox_.Wake(); }, options_.raft.election_timeout),
      replay_(std::make_unique<Replay>(machine, std::nullopt, nullptr)),
      comparison_(options_.comparison_interval) {
  MOKV_CHECK(callbacks_.set_alarm && callbacks_.on_fatal);
  if (options_.snapshots.files == nullptr) return;
  snapshots_ = std::make_unique<Snapshots>(
      options_.snapshots,
      Snapshots::Executors{executors.background, executors.snapshots, executors.snapshot_writer},
      [this](Task task) { inbox_.Add(std::move(task)); },
      [this](raft::Event event) { Step(std::move(event)); });
}

const snapshot::Directory* Replica::snapshots() const {
  return snapshots_ == nullptr ? nullptr : &snapshots_->directory();
}

Replay& Replica::BeginReplay(std::optional<SnapshotToLoad> snapshot, Executor* thread) {
  MOKV_CHECK(log_ == nullptr);
  replay_ = std::make_unique<Replay>(machine_, std::move(snapshot), thread);
  return *replay_;
}

Replica::~Replica() = default;

void Replica::Advance(Life to) {
  Life from = life();
  while (from < to && !life_.compare_exchange_weak(from, to, std::memory_order_acq_rel)) {
  }
}

absl::Status Replica::CheckAccepting() const {
  switch (life()) {
    case Life::kReplaying:
      return absl::UnavailableError("the node is starting");
    case Life::kStopping:
      return absl::UnavailableError("the node is stopping");
    case Life::kBeginning:
    case Life::kRunning:
    case Life::kGone:  // Whoever asks is told why, on the replica thread.
      break;
  }
  return absl::OkStatus();
}

absl::Status Replica::CheckTakesPart() const {
  if (life() == Life::kGone) return Unavailable("{}", failure_);
  return differs_ ? Unavailable("this node is fenced: {}", told_differing_) : absl::OkStatus();
}

absl::Status Replica::Start(wal::Log& log, Peers& peers,
                            std::optional<std::string> new_cluster_id) {
  MOKV_CHECK(log_ == nullptr);
  log_ = &log;
  peers_ = &peers;
  RecoveredState recovered = replay_->Take();
  replay_.reset();
  raft::InitialState& initial = recovered.initial;
  const std::string& log_cluster = initial.log.membership()->cluster_id();
  if (!options_.cluster_id.empty() && !log_cluster.empty() && log_cluster != options_.cluster_id) {
    return FailedPrecondition("its identity is of cluster {}, its log of {}", options_.cluster_id,
                              log_cluster);
  }
  if (initial.log.last().index == Index(0) && new_cluster_id.has_value()) {
    if (initial.hard_state.term != Term(0)) {
      return FailedPrecondition(
          "the log is empty, but the node has been in term {} of a cluster already; start it "
          "without bootstrap, or with an empty data directory",
          initial.hard_state.term);
    }
    BeginCluster(*new_cluster_id);
    return absl::OkStatus();
  }
  if (recovered.reset_log) {
    const raft::Position last = initial.log.base();
    log.ResetTo(wal::Ticket(), last.index, last.term);
  }
  if (snapshots_ != nullptr) {
    snapshots_->OnFound(found_snapshots_, recovered.bytes_since_snapshot);
  }
  MOKV_RETURN_IF_ERROR(StartCore(std::move(initial)));
  // An election that nobody else could object to is due at once.
  OnAlarm();
  return absl::OkStatus();
}

// Entry 1 is the first configuration, and committed from the start, since its only voter has it:
// once it is durable.
void Replica::BeginCluster(const std::string& cluster_id) {
  const raft::Membership first(cluster_id, {{.id = options_.raft.id,
                                             .name = options_.name,
                                             .instance_id = options_.instance_id,
                                             .rpc_address = options_.rpc_address}});
  const Entry entry = raft::InitialEntry(first);
  raft::InitialState& begun = initial_.emplace();
  const absl::Status added = begun.log.Recover(entry);
  MOKV_CHECK(added.ok());
  begun.hard_state = {.term = entry.term, .vote = {}, .commit = entry.index};
  begun.applied = entry.index;
  log_->Append(kInitialTicket, {.entries = {entry}, .hard_state = begun.hard_state});
  Advance(Life::kBeginning);
}

absl::Status Replica::StartCore(raft::InitialState initial) {
  // Reads wait for these, also where nothing new comes to be applied.
  gate_.Promise(initial.applied);
  gate_.OnApplied(initial.applied, machine_.revision());
  MOKV_ASSIGN_OR_RETURN(
      core_, raft::Core::Create(options_.raft, std::move(initial), random_, clock_.Now()));
  gate_.Open();
  Advance(Life::kRunning);
  OnMembership();
  return absl::OkStatus();
}

void Replica::OnDurable(wal::Ticket ticket) { inbox_.Add(Durable{ticket}); }
void Replica::OnLogFailure(absl::Status reason) { inbox_.Add(LogFailed{std::move(reason)}); }
void Replica::Fence(std::string reason) { inbox_.Add(Fenced{std::move(reason)}); }
void Replica::WhenIdle(Task done) { inbox_.Add(TellWhenIdle{std::move(done)}); }

void Replica::Propose(WriteRequest request, WriteDone done) {
  auto command = std::make_shared<const std::string>(machine::EncodeCommand(request.command));
  absl::Status status = CheckAccepting();
  if (status.ok()) status = writes_.Admit(request.command, command->size());
  if (!status.ok()) {
    return done({.fate = WriteResult::Fate::kNotDone, .applied = {}, .reason = std::move(status)});
  }
  inbox_.Add(Write{.command = std::move(command),
                   .subject = std::move(request.subject),
                   .give_up_at = request.give_up_at,
                   .may_repeat = machine::MayRepeat(request.command),
                   .keep_alive = machine::IsKeepAlive(request.command),
                   .done = std::move(done)});
}

void Replica::ProposeHere(machine::Command command, WriteDone done) {
  auto bytes = std::make_shared<const std::string>(machine::EncodeCommand(command));
  writes_.CountIn(bytes->size());
  Handle(Write{.command = std::move(bytes),
               .subject = {},
               .give_up_at = MonotonicTime::Max(),
               .only_here = true,
               .done = std::move(done)});
  inbox_.Wake();
}

void Replica::WaitForRead(const ReadRequirement& requirement, MonotonicTime give_up_at,
                          ReadReady ready) {
  absl::Status status = life() == Life::kReplaying ? CheckAccepting() : reads_.Admit();
  if (!status.ok()) return ready(status);
  inbox_.Add(WaitingRead{requirement, give_up_at, std::move(ready)});
}

absl::Status Replica::WhyReadsWait() const {
  if (life() < Life::kRunning) {
    return Unavailable("the node is starting, or waits to be added to a cluster");
  }
  const Report now = report();
  if (now.leader.empty()) return Unavailable("no leader");
  if (now.applied_index < now.commit_index) {
    return Unavailable("this node has applied entry {} and waits to apply {}, which is committed",
                       now.applied_index, now.commit_index);
  }
  return Unavailable("the leader, {}, has not confirmed the read in time", now.leader);
}

void Replica::Request(AdminRequest request, MonotonicTime give_up_at, AdminDone done) {
  if (const absl::Status status = CheckAccepting(); !status.ok()) return done(status, false);
  inbox_.Add(AdminCall{.request = std::move(request),
                       .give_up_at = give_up_at,
                       .leader_by = clock_.Now() + kLeaderWaitMax,
                       .done = std::move(done)});
}

void Replica::StepAside(MonotonicTime give_up_at, AdminDone done) {
  inbox_.Add(AdminCall{.request = {.kind = AdminRequest::Kind::kTransfer},
                       .give_up_at = give_up_at,
                       .only_here = true,
                       .done = std::move(done)});
}

void Replica::Freeze(FreezeDone done) {
  if (const absl::Status status = CheckAccepting(); !status.ok()) return done(status);
  inbox_.Add(Freezing{std::move(done)});
}

void Replica::OnMessage(raft::Message message) {
  if (core_ == nullptr || life() == Life::kGone) return;
  if (std::holds_alternative<raft::InstallSnapshot>(message.body)) {
    if (snapshots_ == nullptr) return;
    return snapshots_->OnInstallSnapshot(message, *core_, *peers_, clock_.Now());
  }
  Step(raft::Receive{std::move(message)});
}

void Replica::OnDigest(raft::NodeId from, const StateDigest& digest) {
  if (core_ == nullptr || life() == Life::kGone) return;
  OnFinding(comparison_.OnTold(from, digest, *core_->membership(), core_->id()));
}

void Replica::OnSnapshotRead(raft::NodeId from, ConnectionId connection, const SnapshotRead& read) {
  if (core_ == nullptr || snapshots_ == nullptr || life() == Life::kGone) return;
  snapshots_->OnRead(*peers_, from, connection, read, clock_.Now());
}

void Replica::OnSnapshotChunk(raft::NodeId from, SnapshotChunk chunk) {
  if (core_ == nullptr || snapshots_ == nullptr || life() == Life::kGone) return;
  snapshots_->OnChunk(*peers_, from, std::move(chunk), clock_.Now());
}

void Replica::OnForward(raft::NodeId from, ConnectionId connection, Forward forward) {
  const MonotonicTime give_up_at = clock_.Now() + std::min(forward.wait, kForwardWaitMax);
  const std::string node = core_ == nullptr ? "" : NameOf(*core_->membership(), from);
  if (auto* writes = std::get_if<ForwardedWrites>(&forward.body)) {
    absl::Status refusal = CheckTakesPart();
    if (refusal.ok()) refusal = CheckAccepting();
    writes_.AddForwarded(*peers_, {.node = node, .connection = connection, .id = forward.id},
                         give_up_at, std::move(*writes), refusal);
  } else {
    AdminRequest& request = std::get<AdminRequest>(forward.body);
    ForwardGuard::ChangeTold told;
    // What nodes want by themselves is nobody's: what gossip suggests, and to leave (leave-on-stop).
    const bool is_nobodys =
        request.automatic || (request.kind == AdminRequest::Kind::kRemoveMember &&
                              request.name == node && request.subject.empty());
    const bool asks_guard = options_.forward_guard != nullptr && !is_nobodys;
    const absl::Status allowed =
        asks_guard ? options_.forward_guard->CheckChange(node, request, told) : absl::OkStatus();
    AdminDone done = [this, connection, id = forward.id, told = std::move(told)](
                         const absl::Status& status, bool unknown) mutable {
      if (told != nullptr) told(status);
      peers_->Answer(connection, {.id = id, .body = ForwardAnswer::Admin{status, unknown}});
    };
    if (!allowed.ok()) return done(allowed, false);
    Handle(AdminCall{.request = std::move(request),
                     .give_up_at = give_up_at,
                     .from_peer = true,
                     .done = std::move(done)});
  }
  inbox_.Wake();
}

void Replica::OnForwardAnswer(ConnectionId connection, ForwardAnswer answer) {
  if (auto* results = std::get_if<std::vector<WriteResult>>(&answer.body)) {
    const raft::NodeId leader = core_ == nullptr ? raft::NodeId() : core_->leader();
    writes_.OnForwardAnswer(answer.id, connection, std::move(*results), leader);
    inbox_.Wake();  // Some may wait again.
  } else {
    administration_.OnAnswer(answer.id, connection, std::get<ForwardAnswer::Admin>(answer.body));
  }
}

void Replica::OnConnectionClosed(raft::NodeId peer, ConnectionId connection, bool last) {
  writes_.OnConnectionClosed(connection);
  administration_.OnClosed(connection);
  inbox_.Wake();  // Some may go by another one.
  if (core_ == nullptr) return;
  // A leader probes what may be lost; that it is gone itself only the last connection says.
  if (last || core_->role() == raft::Role::kLeader) Step(raft::ConnectionClosed{peer});
}

void Replica::OnAlarm() {
  alarm_at_ = MonotonicTime::Max();
  if (core_ == nullptr || life() == Life::kGone) return;
  if (clock_.Now() >= core_->NextDeadline()) {
    inbox_.Wake();
  } else {
    SetAlarm();
  }
}

void Replica::Tick() {
  const MonotonicTime now = clock_.Now();
  const bool has_core = core_ != nullptr;
  writes_.Expire(now, has_core && core_->can_serve(),
                 has_core ? "no leader" : "the node is starting");
  reads_.Expire(now, [&](const WaitingRead& read) {
    const Revision wanted = read.requirement.min_revision;
    if (!has_core || wanted <= gate_.revision()) return WhyReadsWait();
    return Unavailable("revision {} has not been applied on this node, which is at {}", wanted,
                       gate_.revision());
  });
  const bool has_leader =
      has_core && (core_->role() == raft::Role::kLeader || core_->leader() != raft::NodeId());
  administration_.Expire(now, has_leader);
  if (log_ != nullptr) log_->Tick();
  if (!has_core) return;
  FillBoard();
  if (life() == Life::kGone) return;
  machine_.Reclaim();
  if (snapshots_ != nullptr) {
    // Where the core has taken a snapshot's place already, the state follows with the next turn.
    const bool state_is_cores = gate_.applied() == core_->applied();
    snapshots_->Tick(*core_, state_is_cores ? &machine_ : nullptr, *log_, *peers_, now);
  }
  writes_.Unblock();
  reads_.Unblock();
  administration_.Unblock();
  inbox_.Wake();
}

Report Replica::report() const {
  // In this order, since each of these goes ahead of the next: the picture makes sense.
  const Index applied = gate_.applied();
  const Index commit = gate_.commit();
  Report report = board_.report();
  report.applied_index = applied;
  report.commit_index = std::max(commit, applied);
  report.counters.proposals_pending = writes_.pending();
  report.counters.reads_waiting = reads_.size();
  report.counters.proposals_refused = writes_.refused();
  return report;
}

// The node takes no part any more: nobody is left waiting, and nobody is told more than is known.
void Replica::FailEverything(std::string_view why) {
  if (life() == Life::kGone) return;
  failure_ = why;
  Advance(Life::kGone);
  gate_.Close();
  if (board_.SetServing(false) && callbacks_.on_serving_changed) {
    callbacks_.on_serving_changed(false);
  }
  writes_.FailAll(why);
  reads_.FailAll(Unavailable("{}", why));
  administration_.FailAll();
}

}  // namespace mokv::replica
