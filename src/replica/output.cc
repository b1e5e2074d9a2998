// Replica: what a turn of the core gave, and what the replica tells of itself.
#include <algorithm>
#include <functional>
#include <iterator>
#include <utility>

#include "base/check.h"
#include "base/status.h"
#include "replica/replica.h"

namespace mokv::replica {
namespace {

std::string NameOf(const raft::Membership& membership, raft::NodeId id) {
  const raft::Member* member = membership.Find(id);
  return member == nullptr ? std::string() : member->name;
}

// How far followers may commit, said on its own: nobody waits for it here.
bool IsCommitNews(const raft::Message& message) {
  const auto* heartbeat = std::get_if<raft::Heartbeat>(&message.body);
  return heartbeat != nullptr && heartbeat->round == raft::Round();
}

}  // namespace

// In the order that Turn explains; whoever is to be connected with, and what this node may no
// longer answer by itself, come before the messages that depend on it.
void Replica::Process(raft::Output output) {
  if (output.membership_changed) OnMembership();
  if (output.persist.has_value()) Persist(*std::move(output.persist));
  LowerLease();
  // Clients first, then the followers that learn of it: each message is a system call.
  std::vector<raft::Message>& messages = output.messages;
  const auto news =
      std::stable_partition(messages.begin(), messages.end(), std::not_fn(IsCommitNews));
  const std::vector<raft::Message> later(std::make_move_iterator(news),
                                         std::make_move_iterator(messages.end()));
  messages.erase(news, messages.end());
  if (!messages.empty()) {
    // Others may act upon it at once: from here on nobody reads less than that here by the lease.
    commit_index_.store(core_->commit().value(), std::memory_order_release);
    peers_->Send(messages);
  }
  for (const raft::ProposalResult& result : output.proposals) OnProposed(result);
  if (!output.committed.empty()) Apply(output.committed);
  if (callbacks_.on_entries_lost) {
    for (const raft::EntriesLost& loss : output.losses) {
      // An old log may not have this node among its members.
      callbacks_.on_entries_lost(
          loss.node == core_->id() ? options_.name : NameOf(*core_->membership(), loss.node), loss);
    }
  }
  if (output.standing.has_value()) OnStanding(*output.standing);
  for (const raft::ReadResult& result : output.reads) {
    reads_.OnAnswer(result);
    // Asking again at once would be refused again, unless somebody else leads now.
    const bool moved = output.standing.has_value() && output.standing->leader != raft::NodeId();
    if (result.refusal != raft::Refusal::kNone && !moved) reads_blocked_ = true;
  }
  RaiseLease();
  ReleaseReads();
  for (const raft::ChangeResult& result : output.changes) administration_.OnChange(result);
  for (const raft::TransferResult& result : output.transfers) administration_.OnTransfer(result);
  for (const raft::EntriesWanted& wanted : output.entries_wanted) FetchEntries(wanted);
  if (!later.empty()) peers_->Send(later);
  if (output.more_committed) ScheduleTurn();
  PublishStatus();
}

void Replica::Persist(raft::PersistRequest request) {
  // Snapshots are not sent yet, so none can have come.
  MOKV_CHECK(!request.install.has_value());
  ++counters_.batches;
  counters_.batch_entries += request.entries.size();
  const wal::Ticket written = log_->Append({.truncate_from = request.truncate_from,
                                            .entries = std::move(request.entries),
                                            .hard_state = std::move(request.hard_state)});
  persisting_.push_back({written, request.ticket});
  // What changed nothing on disk has the ticket of an earlier write, perhaps answered already.
  OnPersisted(durable_);
}

void Replica::OnPersisted(wal::Ticket ticket) {
  std::optional<raft::PersistTicket> persisted;
  while (!persisting_.empty() && persisting_.front().written <= ticket) {
    persisted = persisting_.front().ticket;
    persisting_.pop_front();
  }
  if (persisted.has_value()) Step(raft::Persisted{*persisted});
}

void Replica::Apply(const std::vector<Entry>& committed) {
  results_.clear();
  // The others go on without this node; going on past it would make this one differ.
  if (const absl::Status applied = machine_.Apply(committed, results_); !applied.ok()) {
    FailEverything("the node is stopping: its log cannot be applied");
    return callbacks_.on_fatal(applied);
  }
  std::vector<Write> superseded;
  for (size_t i = 0; i < committed.size(); ++i) {
    std::optional<Write> write =
        pending_writes_.OnApplied({committed[i].index, committed[i].term}, superseded);
    if (!write.has_value()) continue;
    finished_.push_back(
        {*std::move(write),
         {.fate = WriteResult::Fate::kApplied, .applied = results_[i], .reason = {}}});
  }
  // Readers first: whoever has been told that a write is done must find it.
  machine_.Publish();
  applied_index_.store(committed.back().index.value(), std::memory_order_release);
  counters_.proposals_applied += finished_.size();
  for (Finished& finished : std::exchange(finished_, {})) Answer(finished.write, finished.result);
  for (Write& write : superseded) WaitAgain(std::move(write));
}

// The disk is not waited for here. What comes back is compared with what the core knows of the log
// by then.
void Replica::FetchEntries(const raft::EntriesWanted& wanted) {
  auto task = log_->PrepareRead(wanted.from, wanted.bytes_max);
  executors_.background.Post([this, peer = wanted.peer, task = std::move(task)]() mutable {
    Enqueue(EntriesRead{peer, task()});
  });
}

void Replica::OnStanding(const raft::Standing& standing) {
  const bool new_leader = standing.leader != raft::NodeId() && standing.leader != standing_.leader;
  if (new_leader) ++counters_.leader_changes;
  PublishStatus();  // Who is told of it below, and asks, must not find what was.
  if (standing.leader != standing_.leader && callbacks_.on_leader_changed) {
    callbacks_.on_leader_changed(NameOf(*core_->membership(), standing.leader), core_->term());
  }
  standing_ = standing;
  // There may be somebody now who takes what waits.
  writes_blocked_ = false;
  reads_blocked_ = false;
  administration_.Unblock();
  ScheduleTurn();
  const bool follows = standing.role == raft::Role::kFollower && standing.leader != raft::NodeId();
  // Others must not be sent to a node that has less than it once had.
  const bool whole = !standing.lacks_acknowledged;
  const bool serving = !failed_ && whole && (standing.can_serve || follows);
  if (serving_.exchange(serving) != serving && callbacks_.on_serving_changed) {
    callbacks_.on_serving_changed(serving);
  }
}

void Replica::OnMembership() {
  started_ = true;
  const std::shared_ptr<const raft::Membership> membership = core_->membership();
  std::string before;
  {
    const MutexLock lock(shown_mutex_);
    before = membership_->cluster_id();
    membership_ = membership;
  }
  peers_->SetMembership(membership);
  if (membership->cluster_id() != before && callbacks_.on_cluster_id) {
    callbacks_.on_cluster_id(membership->cluster_id());
  }
}

void Replica::ReleaseReads() {
  if (reads_.size() == 0) return;
  for (WaitingRead& read : reads_.TakeReady({Index(applied_index_.load()), machine_.revision()})) {
    --reads_waiting_;
    read.ready(absl::OkStatus());
  }
}

// Until when linearizable reads may be answered from what is published here: while the core's lease
// lasts, and for ever where this node is the only voter, since nobody else could have committed
// anything.
MonotonicTime Replica::LeaseNow() const {
  if (failed_ || !core_->can_serve()) return MonotonicTime();
  const raft::Membership& membership = *core_->membership();
  if (!membership.joint() && membership.voters() == raft::Membership::Ids{core_->id()}) {
    return MonotonicTime::Max();
  }
  return core_->lease_until();
}

void Replica::LowerLease() {
  const int64_t now = LeaseNow().since_start.count();
  if (now < lease_until_ns_.load()) lease_until_ns_.store(now, std::memory_order_release);
}

void Replica::RaiseLease() {
  lease_until_ns_.store(LeaseNow().since_start.count(), std::memory_order_release);
}

void Replica::PublishStatus() {
  term_ = core_->term().value();
  last_index_ = core_->log().last().index.value();
  commit_index_ = core_->commit().value();
  const MonotonicTime now = clock_.Now();
  const raft::Membership& membership = *core_->membership();
  const raft::Stats& stats = core_->stats();
  const MutexLock lock(shown_mutex_);
  settled_membership_ = core_->log().SettledMembership(core_->commit());
  status_.role = core_->role();
  status_.is_member = membership.Contains(core_->id());
  status_.is_learner = status_.is_member && !settled_membership_->IsVoter(core_->id());
  status_.leader = NameOf(membership, core_->leader());
  status_.lost_through = core_->lost_through().index;
  status_.peers.clear();
  for (const auto& [id, progress] : core_->progress()) {
    status_.peers.push_back(
        {.name = NameOf(membership, id),
         .match = progress.match(),
         .lag_entries = core_->log().last().index - progress.match(),
         .lost_through = progress.lost_through(),
         .alive = now - progress.last_response < options_.raft.election_timeout});
  }
  Counters& counters = status_.counters;
  counters = counters_;
  counters.forwarded_pending = writes_at_leader_.size();
  counters.elections = stats.elections;
  counters.leaderships = stats.leaderships;
  counters.read_rounds = stats.read_rounds;
  counters.lease_reads = stats.lease_reads;
  counters.disk_stalls = stats.disk_stalls;
  counters.appends_rejected = stats.appends_rejected;
  counters.messages_malformed = stats.malformed;
  counters.messages_misaddressed = stats.misaddressed;
}

Status Replica::status() const {
  Status status;
  {
    const MutexLock lock(shown_mutex_);
    status = status_;
  }
  status.serving = serving_;
  status.term = Term(term_);
  status.last_index = Index(last_index_);
  status.commit_index = Index(commit_index_);
  status.applied_index = Index(applied_index_);
  status.counters.proposals_pending = proposals_pending_;
  status.counters.proposals_refused = proposals_refused_;
  status.counters.reads_waiting = reads_waiting_;
  return status;
}

std::string Replica::cluster_id() const {
  const MutexLock lock(shown_mutex_);
  return membership_->cluster_id();
}

ClusterView Replica::View() const {
  const MutexLock lock(shown_mutex_);
  ClusterView view{
      .cluster_id = membership_->cluster_id(), .term = Term(term_), .leader = status_.leader};
  for (const auto& [id, member] : membership_->members()) {
    ClusterMember shown{.name = member.name,
                        .instance_id = member.instance_id,
                        .rpc_address = member.rpc_address,
                        .is_voter = settled_membership_->IsVoter(id),
                        .is_leader = member.name == status_.leader};
    if (id == options_.raft.id) {
      shown.applied_index = Index(applied_index_);
    } else {
      for (const PeerProgress& peer : status_.peers) {
        if (peer.name == member.name)
          shown.applied_index = std::min(peer.match, Index(commit_index_));
      }
    }
    view.members.push_back(std::move(shown));
  }
  std::sort(view.members.begin(), view.members.end(),
            [](const ClusterMember& a, const ClusterMember& b) { return a.name < b.name; });
  return view;
}

std::string_view RoleText(const Status& status) {
  if (status.role == raft::Role::kLeader) return "leader";
  if (!status.is_member) return "none";
  if (status.is_learner) return "learner";
  return status.role == raft::Role::kFollower ? "follower" : "candidate";
}

}  // namespace mokv::replica
