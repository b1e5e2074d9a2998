// Replica: what comes in, from any thread, and the turn that handles it.
#include "replica/replica.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/status.h"

namespace mokv::replica {
namespace {

// A change of the cluster may take long; that there is somebody to ask may not: whoever asked a
// node that is cut off, or was removed, goes on to the next one.
constexpr Duration kLeaderWaitMax = std::chrono::seconds(5);
// What another node may ask this one to wait: more than any client does, and far from what a clock
// can count to.
constexpr Duration kForwardWaitMax = std::chrono::minutes(10);

}  // namespace

Replica::Replica(Executors executors, const Clock& clock, Random& random, machine::Machine& machine,
                 Options options, Callbacks callbacks)
    : executors_(executors),
      clock_(clock),
      random_(random),
      machine_(machine),
      options_(std::move(options)),
      callbacks_(std::move(callbacks)),
      recovery_(std::make_unique<Recovery>(machine)),
      administration_([this] { ScheduleTurn(); }) {
  options_.raft.id = raft::NodeIdOf(options_.name, options_.instance_id);
  MOKV_CHECK(callbacks_.set_alarm && callbacks_.on_fatal);
}

Replica::~Replica() = default;

absl::Status Replica::Start(wal::Log& log, Peers& peers,
                            std::optional<std::string> new_cluster_id) {
  MOKV_CHECK(log_ == nullptr);
  log_ = &log;
  peers_ = &peers;
  const wal::Recovery& found = log.recovery();
  MOKV_ASSIGN_OR_RETURN(raft::Recovered recovered,
                        recovery_->Finish(found.hard_state, found.last_index));
  recovery_.reset();
  const std::string& log_cluster = recovered.log.membership()->cluster_id();
  if (!options_.cluster_id.empty() && !log_cluster.empty() && log_cluster != options_.cluster_id) {
    return FailedPrecondition("its identity is of cluster {}, its log of {}", options_.cluster_id,
                              log_cluster);
  }
  if (found.last_index == Index(0) && new_cluster_id.has_value()) {
    if (found.hard_state.term != Term(0)) {
      return FailedPrecondition(
          "the log is empty, but the node has been in term {} of a cluster already; start it "
          "without bootstrap, or with an empty data directory",
          found.hard_state.term);
    }
    BeginCluster(*new_cluster_id);
    open_ = true;
    return absl::OkStatus();
  }
  // Reads wait for these, also where nothing new comes to be applied.
  applied_index_ = recovered.applied.value();
  commit_index_ = recovered.applied.value();
  auto core = raft::Core::Create(options_.raft, std::move(recovered), random_, clock_.Now());
  if (!core.ok()) return core.status();
  core_ = *std::move(core);
  OnMembership();
  open_ = true;
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
  raft::Recovered& begun = initial_.emplace();
  const absl::Status recovered = begun.log.Recover(entry);
  MOKV_CHECK(recovered.ok());
  begun.hard_state = {.term = entry.term, .vote = {}, .commit = entry.index};
  begun.applied = entry.index;
  applied_index_ = entry.index.value();
  commit_index_ = entry.index.value();
  initial_ticket_ = log_->Append({.entries = {entry}, .hard_state = begun.hard_state});
}

void Replica::Enqueue(Event event) {
  bool post = false;
  {
    const MutexLock lock(inbox_mutex_);
    inbox_.push_back(std::move(event));
    post = !std::exchange(turn_posted_, true);
  }
  if (post) executors_.replica.Post([this] { Turn(); });
}

void Replica::ScheduleTurn() {
  {
    const MutexLock lock(inbox_mutex_);
    if (std::exchange(turn_posted_, true)) return;
  }
  executors_.replica.Post([this] { Turn(); });
}

void Replica::OnDurable(wal::Ticket ticket) { Enqueue(Durable{ticket}); }
void Replica::OnLogFailure(absl::Status reason) { Enqueue(LogFailed{std::move(reason)}); }

void Replica::Propose(WriteRequest request, WriteDone done) {
  auto command = std::make_shared<const std::string>(machine::EncodeCommand(request.command));
  const uint64_t bytes = command->size();
  if (absl::Status status = Admit(request.command, bytes); !status.ok()) {
    proposals_refused_.fetch_add(1, std::memory_order_relaxed);
    done({.fate = WriteResult::Fate::kNotDone, .reason = std::move(status)});
    return;
  }
  ++proposals_pending_;
  proposals_bytes_ += bytes;
  Enqueue(Write{.command = std::move(command),
                .subject = std::move(request.subject),
                .give_up_at = request.give_up_at,
                .done = std::move(done)});
}

bool Replica::CanReadNow(const ReadRequirement& requirement) const {
  // A store that is still being recovered has less than was acknowledged.
  if (!started_.load(std::memory_order_acquire) || gone_.load(std::memory_order_acquire)) {
    return false;
  }
  if (requirement.linearizable) {
    const int64_t until = lease_until_ns_.load(std::memory_order_acquire);
    if (until == 0) return false;
    // The clock is asked now, not in some turn before: a process that was paused wakes up without
    // a lease. What is read after this was the newest state at this moment.
    const bool forever = until == MonotonicTime::Max().since_start.count();
    if (!forever && clock_.Now().since_start.count() >= until) return false;
    // What is committed but not published here yet may have been read on a follower already.
    const uint64_t commit = commit_index_.load(std::memory_order_acquire);
    if (applied_index_.load(std::memory_order_acquire) < commit) return false;
  }
  return requirement.min_revision <= machine_.revision();
}

void Replica::WaitForRead(const ReadRequirement& requirement, MonotonicTime give_up_at,
                          ReadReady ready) {
  if (!open_) return ready(Unavailable("the node is starting"));
  if (reads_waiting_.load() >= options_.reads_waiting_max) {
    ready(ResourceExhausted("{} reads are waiting already; limit {}", reads_waiting_.load(),
                            options_.reads_waiting_max));
    return;
  }
  ++reads_waiting_;
  Enqueue(WaitingRead{requirement, give_up_at, std::move(ready)});
}

absl::Status Replica::WhyReadsWait() const {
  if (!started_) return Unavailable("the node is starting, or waits to be added to a cluster");
  const Status now = status();
  if (now.leader.empty()) return Unavailable("no leader");
  if (now.applied_index < now.commit_index) {
    return Unavailable("this node has applied entry {} and waits to apply {}, which is committed",
                       now.applied_index, now.commit_index);
  }
  return Unavailable("the leader, {}, has not confirmed the read in time", now.leader);
}

void Replica::Request(AdminRequest request, MonotonicTime give_up_at, AdminDone done) {
  if (!accepting_) return done(Unavailable("the node is stopping"), false);
  if (!open_) return done(Unavailable("the node is starting; nothing was changed"), false);
  Enqueue(AdminCall{.request = std::move(request),
                    .give_up_at = give_up_at,
                    .leader_by = clock_.Now() + kLeaderWaitMax,
                    .done = std::move(done)});
}

void Replica::StepAside(MonotonicTime give_up_at, AdminDone done) {
  Enqueue(AdminCall{.request = {.kind = AdminRequest::Kind::kTransfer},
                    .give_up_at = give_up_at,
                    .only_here = true,
                    .done = std::move(done)});
}

void Replica::OnMessage(raft::Message message) {
  if (core_ == nullptr) return;
  Step(raft::Receive{std::move(message)});
}

void Replica::OnForward(raft::NodeId, ConnectionId connection, Forward forward) {
  const MonotonicTime give_up_at = clock_.Now() + std::min(forward.wait, kForwardWaitMax);
  if (auto* writes = std::get_if<ForwardedWrites>(&forward.body)) {
    AcceptForwarded(connection, forward.id, give_up_at, std::move(*writes));
    ScheduleTurn();
    return;
  }
  Handle(AdminCall{
      .request = std::get<AdminRequest>(std::move(forward.body)),
      .give_up_at = give_up_at,
      .from_peer = true,
      .done = [this, connection, id = forward.id](const absl::Status& status, bool unknown) {
        peers_->Answer(connection, {.id = id, .body = ForwardAnswer::Admin{status, unknown}});
      }});
  ScheduleTurn();
}

void Replica::OnForwardAnswer(ConnectionId connection, ForwardAnswer answer) {
  if (auto* results = std::get_if<std::vector<WriteResult>>(&answer.body)) {
    AnswerForwarded(writes_at_leader_.OnAnswer(answer.id, connection), std::move(*results));
  } else {
    administration_.OnAnswer(answer.id, connection, std::get<ForwardAnswer::Admin>(answer.body));
  }
}

void Replica::OnConnectionClosed(raft::NodeId peer, ConnectionId connection, bool last) {
  Unknown(writes_at_leader_.OnClosed(connection), "the connection to the leader broke");
  administration_.OnClosed(connection);
  if (core_ == nullptr) return;
  // A leader probes what may be lost; that it is gone itself only the last connection says.
  if (last || core_->role() == raft::Role::kLeader) Step(raft::ConnectionClosed{peer});
}

void Replica::Step(raft::Event event) {
  if (failed_) return;
  core_->Step(clock_.Now(), std::move(event));
  ScheduleTurn();
}

void Replica::TakeInbox() {
  {
    const MutexLock lock(inbox_mutex_);
    batch_.swap(inbox_);
    turn_posted_ = false;
  }
  for (Event& event : batch_) {
    std::visit([this](auto& alternative) { Handle(std::move(alternative)); }, event);
  }
  batch_.clear();
}

// One turn: all that has come, as one batch, and then what it led to, in the one order that is
// safe. The core withholds every promise (a vote, an acknowledgement) until it is told that what it
// rests on is durable, so what it gives out may leave at once:
//   persist  first, so that the disk works while the rest is done; nothing waits for it here;
//   send     at once: a leader's own disk is one vote among others (§10.2.1);
//   apply    what is committed, show it to readers, and only then tell anybody.
void Replica::Turn() {
  TakeInbox();
  if (core_ == nullptr || failed_) return;
  const MonotonicTime now = clock_.Now();
  TickIfDue(now);
  RouteWrites();
  if (reads_.wants_to_ask() && !reads_blocked_) {
    const raft::RequestId question(++last_id_);
    ++counters_.read_groups;
    reads_.OnAsked(question);
    core_->Step(now, raft::Read{question});
  }
  for (raft::Event& event :
       administration_.Route(*core_, *peers_, now, [this] { return ++last_id_; })) {
    core_->Step(now, std::move(event));
  }
  Process(core_->TakeOutput());
  SetAlarm();
}

// Where this thread was busy, or stood still, what others sent meanwhile is still in the sockets.
// Taken for silence it would make a follower stand against a leader that is well, and a leader
// that is followed resign. So a tick that is late waits until the sockets have been read.
void Replica::TickIfDue(MonotonicTime now) {
  if (now < core_->NextDeadline()) return;
  if (now - core_->NextDeadline() <= options_.raft.heartbeat_interval) {
    core_->Step(now, raft::Tick{});
  } else if (!std::exchange(tick_posted_, true)) {
    // Twice: a task that was posted once may still come before them (net/io_pool.h).
    executors_.replica.Post([this] { executors_.replica.Post([this] { TickBehindSockets(); }); });
  }
}

void Replica::TickBehindSockets() {
  tick_posted_ = false;
  if (clock_.Now() >= core_->NextDeadline()) Step(raft::Tick{});
}

void Replica::Handle(Write write) {
  if (failed_) return NotDone(write, Unavailable("{}; nothing was written", failure_));
  waiting_writes_.push_back(std::move(write));
}

void Replica::Handle(AdminCall call) {
  if (failed_) return call.done(Unavailable("{}; nothing was changed", failure_), false);
  administration_.Add(std::move(call));
}

void Replica::Handle(WaitingRead read) {
  if (failed_) {
    --reads_waiting_;
    return read.ready(Unavailable("{}", failure_));
  }
  reads_.Add(std::move(read));
}

void Replica::Handle(Durable durable) {
  durable_ = std::max(durable_, durable.ticket);
  if (initial_ticket_.has_value() && *initial_ticket_ <= durable_) {
    initial_ticket_.reset();
    auto core =
        raft::Core::Create(options_.raft, *std::exchange(initial_, {}), random_, clock_.Now());
    MOKV_CHECK(core.ok());
    core_ = *std::move(core);
    OnMembership();
  }
  OnPersisted(durable_);
}

void Replica::Handle(LogFailed failed) {
  FailEverything("the node is stopping: its log has failed");
  callbacks_.on_fatal(failed.reason);
}

void Replica::Fence(std::string reason) { Enqueue(Fenced{std::move(reason)}); }
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
  core_->Step(clock_.Now(), raft::EntriesFetched{.peer = read.peer, .entries = std::move(entries)});
}

// Alarms that are too early do no harm, and setting one costs a system call: so it is only set
// anew for an earlier time, or when it has rung.
void Replica::SetAlarm() {
  const MonotonicTime next = core_->NextDeadline();
  if (next >= alarm_at_) return;
  alarm_at_ = next;
  callbacks_.set_alarm(next);
}

void Replica::OnAlarm() {
  alarm_at_ = MonotonicTime::Max();
  if (core_ == nullptr || failed_) return;
  if (clock_.Now() >= core_->NextDeadline()) {
    ScheduleTurn();
  } else {
    SetAlarm();
  }
}

void Replica::Tick() {
  const MonotonicTime now = clock_.Now();
  ExpireWrites(now);
  for (WaitingRead& read : reads_.TakeExpired(now)) {
    --reads_waiting_;
    const Revision wanted = read.requirement.min_revision;
    read.ready(started_ && wanted > machine_.revision()
                   ? Unavailable("revision {} has not been applied on this node, which is at {}",
                                 wanted, machine_.revision())
                   : WhyReadsWait());
  }
  const bool has_leader = core_ != nullptr && (core_->role() == raft::Role::kLeader ||
                                               core_->leader() != raft::NodeId());
  administration_.Expire(now, has_leader);
  if (log_ != nullptr) log_->Tick();
  if (core_ == nullptr || failed_) return;
  machine_.Reclaim();
  writes_blocked_ = false;
  reads_blocked_ = false;
  administration_.Unblock();
  ScheduleTurn();
}

void Replica::StopAccepting() { accepting_ = false; }

}  // namespace mokv::replica
