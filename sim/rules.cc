#include "sim/rules.h"

#include <algorithm>

namespace mokv::sim {

using raft::Core;
using raft::Message;
using raft::NodeId;

void Rules::OnStart(const Core& core, const raft::testing::Disk& disk, MonotonicTime local) {
  Seen& seen = seen_[core.id()] = Seen{.started = local};
  if (disk.snapshot.has_value()) {
    seen.configurations.push_back({disk.base.index, disk.snapshot->membership->Encode()});
  }
  for (const Entry& entry : disk.entries) {
    if (entry.type != EntryType::kConfiguration) continue;
    seen.configurations.push_back({entry.index, std::string(entry.bytes())});
  }
}

// Whether it must not help anybody but its leader to be elected in `term`.
bool Rules::IsBound(const Core& core, const Seen& seen, Term term, MonotonicTime local) const {
  if (core.role() == raft::Role::kLeader) return false;  // Check-quorum is its rule.
  // That term has its leader already: one more vote elects nobody.
  if (seen.heard_leader && seen.contact_term >= term) return false;
  const bool recent = seen.heard_leader && local - seen.contact < election_timeout_;
  if (leases_) return recent || local - seen.started < election_timeout_;
  return recent && core.leader() != NodeId() && !seen.closed;
}

void Rules::OnReceive(const Core& core, const Message& message, MonotonicTime local) {
  Seen& seen = seen_.at(core.id());
  if (message.to != core.id()) return;
  const bool from_leader = std::holds_alternative<raft::Append>(message.body) ||
                           std::holds_alternative<raft::Heartbeat>(message.body) ||
                           std::holds_alternative<raft::InstallSnapshot>(message.body);
  if (from_leader && message.term >= core.term()) {
    seen.heard_leader = true;
    seen.contact = local;
    seen.contact_term = message.term;
    seen.closed = false;
  } else if (const auto* request = std::get_if<raft::VoteRequest>(&message.body)) {
    // It is enough if one of several copies came when the node was free.
    seen.votes[{message.from, message.term}] |=
        request->transfer || !IsBound(core, seen, message.term, local);
  } else if (std::holds_alternative<raft::PreVoteRequest>(message.body)) {
    seen.pre_votes[{message.from, message.term}] |= !IsBound(core, seen, message.term, local);
  } else if (std::holds_alternative<raft::AppendReply>(message.body) ||
             std::holds_alternative<raft::HeartbeatReply>(message.body)) {
    const auto answered = seen.answered.find(message.from);
    if (answered != seen.answered.end() && message.term == core.term()) answered->second = local;
  }
}

void Rules::OnConnectionClosed(const Core& core, NodeId peer) {
  if (peer == core.leader()) seen_.at(core.id()).closed = true;
}

void Rules::OnPersist(const Core& core, const raft::PersistRequest& request) {
  std::deque<Configured>& configurations = seen_.at(core.id()).configurations;
  if (request.install.has_value()) {
    configurations.clear();
    configurations.push_back({request.install->last.index, request.install->membership->Encode()});
  }
  if (request.truncate_from.has_value()) {
    while (!configurations.empty() && configurations.back().index >= *request.truncate_from) {
      configurations.pop_back();
    }
  }
  for (const Entry& entry : request.entries) {
    if (entry.type != EntryType::kConfiguration) continue;
    configurations.push_back({entry.index, std::string(entry.bytes())});
  }
}

void Rules::OnSend(const Core& core, const Message& message) {
  CheckGrant(core, message);
  // More may have been appended in this turn after the message, if the transfer has ended since.
  const Seen& seen = seen_.at(core.id());
  const bool transfers = std::holds_alternative<raft::TimeoutNow>(message.body) &&
                         core.role() == raft::Role::kLeader && core.term() == message.term &&
                         seen.leads == core.term();
  if (transfers && !holds_(message.to, seen.last)) {
    Fail("transfer: {} hands over to {}, which lacks {}", core.id(), message.to,
         raft::ToString(seen.last));
  }
}

void Rules::CheckGrant(const Core& core, const Message& message) {
  const auto* vote = std::get_if<raft::VoteReply>(&message.body);
  const auto* pre_vote = std::get_if<raft::PreVoteReply>(&message.body);
  if (!(vote != nullptr && vote->granted) && !(pre_vote != nullptr && pre_vote->granted)) return;
  const Seen& seen = seen_.at(core.id());
  const auto& requests = vote != nullptr ? seen.votes : seen.pre_votes;
  const auto request = requests.find({message.to, message.term});
  if (request == requests.end() || !request->second) {
    Fail("stickiness: {} grants {} a {} of term {} although it hears a leader", core.id(),
         message.to, vote != nullptr ? "vote" : "pre-vote", message.term);
  }
}

void Rules::OnTurn(const Core& core, MonotonicTime local, bool ticked, bool membership_changed) {
  Seen& seen = seen_.at(core.id());
  if (membership_changed) {
    const std::string newest =
        seen.configurations.empty() ? std::string() : seen.configurations.back().bytes;
    const std::string in_effect =
        core.membership()->empty() ? std::string() : core.membership()->Encode();
    if (newest != in_effect) {
      Fail("configuration: {} does not use the newest one in its log: {}", core.id(),
           raft::ToString(*core.membership()));
    }
  }
  if (core.role() != raft::Role::kLeader) {
    seen.leads = Term();
    return;
  }
  if (seen.leads != core.term()) {
    seen.leads = core.term();
    seen.answered.clear();
    seen.match.clear();
    CheckNewLeader(core);
  }
  seen.last = core.log().last();
  CheckPeers(core, seen, local);
  if (ticked) CheckQuorum(core, seen, local);
}

void Rules::OnTicked(const Core& core, MonotonicTime local) {
  const Seen& seen = seen_.at(core.id());
  if (core.role() != raft::Role::kLeader || seen.leads != core.term()) return;
  CheckQuorum(core, seen, local);
}

void Rules::OnAcknowledged(const Core& core, raft::Position position) {
  acknowledged_[position.index] = {.term = position.term, .in = core.term()};
}

// Newest first, until one in its log shows that what came before is there, too (log matching).
void Rules::CheckNewLeader(const Core& core) {
  for (auto it = acknowledged_.rbegin(); it != acknowledged_.rend(); ++it) {
    const auto& [index, entry] = *it;
    // It was acknowledged under a later leader, of which this one does not know yet.
    if (entry.in >= core.term()) continue;
    const Term term = entry.term;
    if (index <= core.log().base().index || core.log().Holds({index, term})) return;
    Fail("acknowledged: {}, leader of term {}, lacks {}/{}, which a client was told to be done",
         core.id(), core.term(), index, term);
  }
}

void Rules::OnEnd(const Core& core, Index applied) {
  if (acknowledged_.empty()) return;
  const Index index = acknowledged_.rbegin()->first;
  const Term term = acknowledged_.rbegin()->second.term;
  const bool in_log = index <= core.log().base().index || core.log().Holds({index, term});
  if (!in_log || applied < index) {
    Fail("acknowledged: {} leads in the end without {}/{}, which a client was told to be done",
         core.id(), index, term);
  }
}

void Rules::CheckPeers(const Core& core, Seen& seen, MonotonicTime local) {
  for (const auto& [peer, progress] : core.progress()) {
    seen.answered.try_emplace(peer, local);
    Index& match = seen.match[peer];
    if (progress.match() == match) continue;
    match = progress.match();
    // Later leaders may overrule what it had acknowledged to this one; a former life is past.
    const Core* other = core_of_(peer);
    if (other == nullptr || other->term() > core.term()) continue;
    if (match > core.log().base().index && !holds_(peer, {match, core.log().TermAt(match)})) {
      Fail("match: {} believes that {} has {}/{}", core.id(), peer, match,
           core.log().TermAt(match));
    }
  }
  if (seen.answered.size() == core.progress().size()) return;
  std::erase_if(seen.answered, [&](const auto& it) { return !core.progress().contains(it.first); });
  std::erase_if(seen.match, [&](const auto& it) { return !core.progress().contains(it.first); });
}

void Rules::CheckQuorum(const Core& core, const Seen& seen, MonotonicTime local) {
  const bool heard = raft::testing::HeldByQuorum(*core.membership(), [&](NodeId voter) {
    const auto answered = seen.answered.find(voter);
    return answered == seen.answered.end() || local - answered->second < election_timeout_;
  });
  if (!heard) {
    Fail(
        "check-quorum: {} leads term {} although no quorum has answered it for an election timeout",
        core.id(), core.term());
  }
}

void Rules::OnRead(const Core& core, Index seen, Index committed_before) {
  if (seen >= committed_before) return;
  Fail("read: {} answers from {}, but {} was committed when the request came", core.id(), seen,
       committed_before);
}

void Rules::OnApplied(NodeId node, Index applied, uint64_t digest) {
  const size_t at = applied.value();
  if (at >= digests_.size()) {
    digests_.resize(at + 1);
    applied_.resize(at + 1);
  }
  if (!applied_[at]) {
    applied_[at] = true;
    digests_[at] = digest;
  } else if (digests_[at] != digest) {
    Fail("equality: {} has applied {} and is in another state than others were", node, at);
  }
}

std::optional<uint64_t> Rules::DigestAt(Index applied) const {
  const size_t at = applied.value();
  if (at >= digests_.size() || !applied_[at]) return std::nullopt;
  return digests_[at];
}

}  // namespace mokv::sim
