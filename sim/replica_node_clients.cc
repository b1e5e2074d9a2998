// ReplicaNode: what clients and operators ask of it.
#include <utility>

#include "base/status.h"
#include "sim/replica_node.h"

namespace mokv::sim {
namespace {

bool IsOfMemory(const absl::Status& refusal) {
  return absl::IsResourceExhausted(refusal) &&
         refusal.message().find("max-memory-bytes") != std::string_view::npos;
}

}  // namespace

void ReplicaNode::Submit(const ClientRequest& request) {
  const bool is_read = request.call == SessionCall::kNone && request.command.op == Op::kGet;
  if (is_read) return Read(request);
  Write(request);
}

// As a service does, the node answers at once if that is allowed, and otherwise as soon as it is.
void ReplicaNode::Read(const ClientRequest& request) {
  replica::ReadRequirement requirement;
  uint64_t floor = shared_.told.newest();
  if (request.stale) {
    floor = request.min_revision;
    requirement = {.linearizable = false, .min_revision = Revision(floor)};
  } else if (core() != nullptr) {
    ++(core()->role() == raft::Role::kLeader ? node_.coverage.reads_leader
                                             : node_.coverage.reads_follower);
  }
  if ((request.by_lease || request.stale) && life_->replica->CanReadNow(requirement)) {
    ++(request.stale ? node_.coverage.reads_stale : node_.coverage.reads_by_lease);
    return Look(request, floor);
  }
  life_->replica->WaitForRead(requirement, node_.host.Now(place_) + request.patience,
                              [this, request, floor](const absl::Status& status) {
                                if (!up()) return;
                                if (!status.ok()) {
                                  ++node_.coverage.reads_failed;
                                  return Reply({.id = request.id, .kind = ReplyKind::kRefused});
                                }
                                ++node_.coverage.reads_waited;
                                Look(request, floor);
                              });
}

void ReplicaNode::Look(const ClientRequest& request, uint64_t floor) {
  if (life_->fenced) return shared_.told.Fail("fenced: {} answers a read", id());
  if (fencing_.changed()) {
    // Whoever asks is told something, and it may be wrong, until the next comparison.
    ++node_.coverage.reads_unjudged;
    return Reply({.id = request.id, .kind = ReplyKind::kRefused});
  }
  const auto view = life_->machine.TakeView();
  const store::Item* item = view->Find(fmt::format("k{}", request.command.key));
  const uint64_t value = item == nullptr ? 0 : Told::NumberOf(item->value());
  const uint64_t modified = item == nullptr ? 0 : item->mod_revision().value();
  const uint64_t revision = view->revision().value();
  if (request.stale) {
    if (revision < floor) {
      shared_.told.Fail("revision: {} is at {}, after {} was asked for", id(), revision, floor);
    }
  } else {
    node_.rules.OnRead(*core(), applied(), request.committed_before);
    shared_.told.OnLook(place_, revision, floor, value, modified);
  }
  Reply({.id = request.id, .value = value, .revision = revision});
}

// A cas compares the revision of what the client saw: values are unique, so comparing revisions is
// comparing values.
machine::Command ReplicaNode::CommandOf(const ClientRequest& request) const {
  const std::string subject = "client";
  const SessionId session(request.session);
  if (request.call == SessionCall::kOpen) return machine::OpenSession{request.ttl_ms, subject};
  if (request.call == SessionCall::kKeepAlive) return machine::KeepAlive{{{session, subject}}};
  const Command& command = request.command;
  const std::string key = fmt::format("k{}", command.key);
  machine::Command wanted = store::Delete{key, {}};
  if (command.op != Op::kDelete) {
    std::optional<Revision> expected;
    if (command.op == Op::kCas) expected = Revision(shared_.told.RevisionOf(command.expected));
    wanted = store::Set{key, Told::ValueOf(command.value), expected};
  }
  if (request.session != 0) {
    wanted.session = machine::SessionContext{.session = session,
                                             .sequence = request.sequence,
                                             .lowest_unanswered = request.sequence,
                                             .subject = subject};
  }
  return wanted;
}

ReplyKind ReplicaNode::KindOf(const replica::WriteResult& result) {
  using Fate = replica::WriteResult::Fate;
  using Outcome = machine::Result::Outcome;
  if (result.fate == Fate::kNotDone) return ReplyKind::kRefused;
  if (result.fate == Fate::kUnknown) return ReplyKind::kUnknown;
  if (result.applied.outcome == Outcome::kConditionFailed) return ReplyKind::kCompared;
  const std::vector<uint64_t>& ttls_ms = result.applied.ttls_ms;
  const bool kept_nothing_alive = !ttls_ms.empty() && ttls_ms.front() == 0;
  if (result.applied.outcome != Outcome::kApplied || kept_nothing_alive) return ReplyKind::kEnded;
  return ReplyKind::kDone;
}

void ReplicaNode::Write(const ClientRequest& request) {
  shared_.told.OnAsked(request);
  machine::Command command = CommandOf(request);
  const bool grows = machine::MayGrow(command);
  ++owed_writes_;
  life_->replica->Propose(
      {.command = std::move(command), .give_up_at = node_.host.Now(place_) + request.patience},
      [this, id = request.id, grows](const replica::WriteResult& result) {
        if (!up()) return;
        --owed_writes_;
        shared_.told.OnAnswered(id, result);
        if (life_->fenced && !passes_on_ && result.fate == replica::WriteResult::Fate::kApplied) {
          shared_.told.Fail("fenced: {} answers write #{}", this->id(), id);
        }
        const bool full = IsOfMemory(result.reason);
        if (full) {
          ++node_.coverage.refused_memory;
          node_.timeline.Note(place_, "refuses #{}: {}", id, MessageOf(result.reason));
        }
        if (full && !grows)
          shared_.told.Fail("memory: {} refuses #{}: {}", this->id(), id, result.reason.ToString());
        Reply({.id = id,
               .kind = KindOf(result),
               .revision = result.applied.revision.value(),
               .session = result.applied.session.value(),
               .full = full});
      });
}

void ReplicaNode::Reply(ClientReply reply) {
  if (reply.kind == ReplyKind::kRefused && core() != nullptr) {
    reply.leader = node_.host.PlaceOf(core()->leader());
  }
  node_.host.Reply(place_, reply);
  if (in_turn_) node_.host.Interrupt(place_, /*handed_over=*/false);
}

void ReplicaNode::Request(replica::AdminRequest request) {
  const Duration wait = node_.settings.options.election_timeout * dice_.Between(1, 4);
  life_->replica->Request(std::move(request), node_.host.Now(place_) + wait,
                          [this](const absl::Status& status, bool unknown) {
                            if (!up()) return;
                            ++(status.ok() ? node_.coverage.changes_done
                               : unknown   ? node_.coverage.changes_unknown
                                           : node_.coverage.changes_refused);
                            node_.timeline.Note(place_, "change of the cluster: {}",
                                                status.ok() ? "done" : MessageOf(status));
                          });
}

// Operators and gossip add and remove members. A learner that has caught up needs no request to be
// promoted.
void ReplicaNode::ChangeMembers(std::vector<raft::MemberChange> changes) {
  using Kind = raft::MemberChange::Kind;
  for (const raft::MemberChange& change : changes) {
    const bool goes = change.kind == Kind::kRemove || change.kind == Kind::kDemote;
    Request({.kind = goes ? replica::AdminRequest::Kind::kRemoveMember
                          : replica::AdminRequest::Kind::kAddMember,
             .name = change.member.name,
             .rpc_address = change.member.rpc_address,
             .automatic = change.kind == Kind::kDemote || dice_.OneIn(4)});
  }
}

void ReplicaNode::Transfer(raft::NodeId target) {
  const auto done = [this](const absl::Status& status, bool) {
    if (!up()) return;
    ++(status.ok() ? node_.coverage.transfers_done : node_.coverage.transfers_failed);
    node_.timeline.Note(place_, "transfer: {}", status.ok() ? "done" : MessageOf(status));
  };
  const MonotonicTime give_up_at =
      node_.host.Now(place_) + node_.settings.options.election_timeout * 2;
  if (target == raft::NodeId() && dice_.OneIn(2)) {
    return life_->replica->StepAside(give_up_at, done);
  }
  const raft::Member* member =
      core() == nullptr || target == raft::NodeId() ? nullptr : core()->membership()->Find(target);
  life_->replica->Request({.kind = replica::AdminRequest::Kind::kTransfer,
                           .name = member == nullptr ? std::string() : member->name},
                          give_up_at, done);
}

}  // namespace mokv::sim
