#include "replica/administration.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/logging.h"
#include "base/status.h"

namespace mokv::replica {
namespace {

const raft::Member* FindByName(const raft::Membership& membership, std::string_view name) {
  for (const auto& [id, member] : membership.members()) {
    if (member.name == name) return &member;
  }
  return nullptr;
}

absl::Status NoSuchMember(std::string_view name) {
  return MakeStatus(absl::StatusCode::kNotFound, "no member is called {}", name);
}

raft::Event ChangeEvent(uint64_t number, raft::MemberChange change) {
  return raft::ChangeMembership{.request = raft::RequestId(number), .changes = {std::move(change)}};
}

}  // namespace

void Administration::Add(AdminCall call) {
  if (pending_.size() >= kCallsMax) {
    call.done(ResourceExhausted("{} changes of the cluster wait already", pending_.size()), false);
    return;
  }
  pending_[++last_key_].call = std::move(call);
}

void Administration::Unblock() {
  for (auto& [key, pending] : pending_) {
    if (pending.state == State::kBlocked) pending.state = State::kWaiting;
  }
}

std::vector<raft::Event> Administration::Route(const raft::Core& core, Peers& peers,
                                               MonotonicTime now,
                                               absl::FunctionRef<uint64_t()> next_id) {
  std::vector<raft::Event> events;
  for (auto next = pending_.begin(); next != pending_.end();) {
    const auto at = next++;  // It may be finished, and gone.
    Pending& pending = at->second;
    if (pending.state != State::kWaiting) continue;
    const bool leads = core.role() == raft::Role::kLeader;
    if (leads) {
      if (auto event = RouteHere(at->first, pending, core, peers, now, next_id())) {
        events.push_back(*std::move(event));
      }
    } else if (pending.call.only_here) {
      Finish(at, absl::OkStatus());
    } else if (pending.call.from_peer) {
      Finish(at, Unavailable("this node does not lead"));
    } else if (core.leader() != raft::NodeId()) {
      Forward(pending, core, peers, now, next_id());
    }
  }
  return events;
}

std::optional<raft::Event> Administration::RouteHere(uint64_t key, Pending& pending,
                                                     const raft::Core& core, Peers& peers,
                                                     MonotonicTime now, uint64_t number) {
  const AdminRequest& request = pending.call.request;
  if (request.kind == AdminRequest::Kind::kAddMember) {
    return RouteAddMember(key, pending, core, peers, now, number);
  }
  const raft::Member* member = FindByName(*core.membership(), request.name);
  const bool named = request.kind == AdminRequest::Kind::kRemoveMember || !request.name.empty();
  if (named && member == nullptr) {
    Finish(pending_.find(key), NoSuchMember(request.name));
    return std::nullopt;
  }
  if (!named && core.membership()->voters().size() == 1) {
    Finish(pending_.find(key), FailedPrecondition("there is no other voter that could lead"));
    return std::nullopt;
  }
  pending.state = State::kAtCore;
  pending.number = number;
  if (request.kind == AdminRequest::Kind::kTransfer) {
    return raft::TransferLeadership{.request = raft::RequestId(number),
                                    .target = member == nullptr ? raft::NodeId() : member->id};
  }
  return ChangeEvent(number, {.kind = raft::MemberChange::Kind::kRemove,
                              .member = *member,
                              .for_good = !request.automatic});
}

std::optional<raft::Event> Administration::RouteAddMember(uint64_t key, Pending& pending,
                                                          const raft::Core& core, Peers& peers,
                                                          MonotonicTime now, uint64_t number) {
  const AdminRequest& request = pending.call.request;
  const auto finish = [&](const absl::Status& status) {
    Finish(pending_.find(key), status);
    return std::nullopt;
  };
  if (!pending.identity.has_value()) {
    pending.state = State::kIdentifying;
    peers.Identify(request.rpc_address, [self = self_, key](absl::StatusOr<PeerIdentity> identity) {
      if (*self != nullptr) (*self)->OnIdentity(key, std::move(identity));
    });
    return std::nullopt;
  }
  const PeerIdentity& found = *pending.identity;
  const raft::Membership& membership = *core.membership();
  if (found.name != request.name) {
    return finish(InvalidArgument("the node at {} is called {}, not {}", request.rpc_address,
                                  found.name, request.name));
  }
  if (!found.cluster_id.empty() && found.cluster_id != membership.cluster_id()) {
    return finish(FailedPrecondition("{} at {} belongs to another cluster, {}; this one is {}",
                                     found.name, request.rpc_address, found.cluster_id,
                                     membership.cluster_id()));
  }
  raft::Member added{.id = raft::NodeIdOf(found.name, found.instance_id),
                     .name = found.name,
                     .instance_id = found.instance_id,
                     .rpc_address = request.rpc_address,
                     .promote_when_caught_up = true};
  if (request.automatic && membership.WasRemoved(added.id)) {
    return finish(
        FailedPrecondition("{} at {} was removed for good; stop it and run mokvctl rebuild on its "
                           "data-dir, or add it by hand: mokvctl member add {} {}",
                           found.name, request.rpc_address, found.name, request.rpc_address));
  }
  raft::MemberChange::Kind kind = raft::MemberChange::Kind::kAddLearner;
  if (const raft::Member* known = FindByName(membership, found.name)) {
    if (known->instance_id != found.instance_id) {
      const absl::Status replaces = CheckReplacement(core, *known, found, request.rpc_address, now);
      if (!replaces.ok()) return finish(replaces);
      LogWarn("a member is removed: a node that was rebuilt takes its place",
              {{"name", known->name},
               {"instance", known->instance_id},
               {"new_instance", found.instance_id}});
      pending.state = State::kAtCore;
      pending.makes_room = true;
      pending.number = number;
      return ChangeEvent(
          number, {.kind = raft::MemberChange::Kind::kRemove, .member = *known, .for_good = true});
    }
    if (known->rpc_address == request.rpc_address) return finish(absl::OkStatus());
    added = *known;
    added.rpc_address = request.rpc_address;
    kind = raft::MemberChange::Kind::kUpdate;
  }
  pending.state = State::kAtCore;
  pending.number = number;
  return ChangeEvent(number, {.kind = kind, .member = std::move(added)});
}

bool Administration::IsAlive(const raft::Core& core, raft::NodeId id, MonotonicTime now) const {
  if (id == core.id()) return true;
  const auto peer = core.progress().find(id);
  return peer != core.progress().end() && now - peer->second.last_response < election_timeout_;
}

absl::Status Administration::CheckReplacement(const raft::Core& core, const raft::Member& known,
                                              const PeerIdentity& found,
                                              const std::string& rpc_address,
                                              MonotonicTime now) const {
  const bool means_it = std::any_of(
      found.replaces.begin(), found.replaces.end(),
      [&](const std::string& old) { return old == known.instance_id || old == kAnyInstance; });
  if (!means_it) {
    return FailedPrecondition(
        "{} is a member with another data directory (instance {}; the one at {} is {}). If that is "
        "lost, stop the node, run mokvctl rebuild on its data-dir, and start it; or remove the old "
        "one first: mokvctl member remove {}",
        found.name, known.instance_id, rpc_address, found.instance_id, found.name);
  }
  // Somebody rebuilt a copy, or another machine's directory under this name.
  if (IsAlive(core, known.id, now)) {
    return FailedPrecondition(
        "{} at {} was rebuilt in the place of instance {}, which is alive: one of the two is to be "
        "stopped",
        found.name, rpc_address, known.instance_id);
  }
  // The others can do without it: a leader hears a majority of the voters (check-quorum), which
  // without one that is silent is a majority of the rest.
  return absl::OkStatus();
}

void Administration::Forward(Pending& pending, const raft::Core& core, Peers& peers,
                             MonotonicTime now, uint64_t number) {
  pending.number = number;
  pending.connection = peers.SendForward(
      core.leader(), {.id = ForwardId(number),
                      .wait = std::max(pending.call.give_up_at - now, Duration(0)),
                      .body = pending.call.request});
  pending.state = pending.connection == ConnectionId() ? State::kBlocked : State::kAtLeader;
}

void Administration::OnIdentity(uint64_t key, absl::StatusOr<PeerIdentity> identity) {
  const auto at = pending_.find(key);
  if (at == pending_.end() || at->second.state != State::kIdentifying) return;
  if (!identity.ok()) {
    // Also that nobody is there is an answer to the request, and not something that will pass: as
    // UNAVAILABLE, the node that has passed the request on would ask again until its time is up.
    return Finish(at, FailedPrecondition("{}", MessageOf(identity.status())));
  }
  at->second.identity = *std::move(identity);
  at->second.state = State::kWaiting;
  wake_();
}

Administration::Pendings::iterator Administration::Find(State state, uint64_t number) {
  return std::find_if(pending_.begin(), pending_.end(), [&](const auto& entry) {
    return entry.second.state == state && entry.second.number == number;
  });
}

void Administration::Settle(uint64_t number, const absl::Status& status, bool fate_unknown) {
  const auto at = Find(State::kAtCore, number);
  if (at == pending_.end()) return;  // Given up.
  // Something is in the way that will pass: leadership moves, or another change is under way.
  if (absl::IsUnavailable(status) && !fate_unknown) {
    // A transfer is not tried again, by nobody: each try stops the writes for a while.
    if (at->second.call.request.kind == AdminRequest::Kind::kTransfer) {
      return Finish(at, FailedPrecondition("{}", MessageOf(status)));
    }
    at->second.state = State::kBlocked;
    at->second.refusal = status;
    return;
  }
  if (std::exchange(at->second.makes_room, false) && status.ok()) {
    at->second.state = State::kWaiting;
    return wake_();
  }
  Finish(at, status, fate_unknown);
}

void Administration::OnChange(const raft::ChangeResult& result) {
  Settle(result.request.value(), result.status, result.fate_unknown);
}

void Administration::OnTransfer(const raft::TransferResult& result) {
  Settle(result.request.value(), result.status, false);
}

void Administration::OnAnswer(ForwardId id, ConnectionId connection,
                              const ForwardAnswer::Admin& answer) {
  const auto at = Find(State::kAtLeader, id.value());
  if (at == pending_.end() || at->second.connection != connection) return;
  if (absl::IsUnavailable(answer.status) && !answer.fate_unknown) {
    at->second.state = State::kBlocked;
    at->second.refusal = answer.status;
    return;
  }
  Finish(at, answer.status, answer.fate_unknown);
}

void Administration::OnClosed(ConnectionId connection) {
  for (auto next = pending_.begin(); next != pending_.end();) {
    const auto at = next++;
    if (at->second.state != State::kAtLeader || at->second.connection != connection) continue;
    Finish(at, Unavailable("the connection to the leader broke"), true);
  }
}

void Administration::Expire(MonotonicTime now, bool has_leader) {
  for (auto next = pending_.begin(); next != pending_.end();) {
    const auto at = next++;
    const AdminCall& call = at->second.call;
    if (!has_leader && at->second.state == State::kWaiting && call.leader_by <= now) {
      Finish(at, Unavailable("no leader"));
      continue;
    }
    if (call.give_up_at > now) continue;
    const bool unknown = at->second.state == State::kAtCore || at->second.state == State::kAtLeader;
    const absl::Status& refusal = at->second.refusal;
    Finish(at,
           unknown        ? Unavailable("no answer in time")
           : refusal.ok() ? Unavailable("no leader has taken the request")
                          : Unavailable("{}", MessageOf(refusal)),
           unknown);
  }
}

void Administration::FailAll() {
  while (!pending_.empty()) {
    Finish(pending_.begin(), Unavailable("the node is stopping"), true);
  }
}

void Administration::Finish(Pendings::iterator at, const absl::Status& status, bool fate_unknown) {
  AdminDone done = std::move(at->second.call.done);
  pending_.erase(at);
  done(status, fate_unknown);
}

}  // namespace mokv::replica
