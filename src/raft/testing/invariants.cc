#include "raft/testing/invariants.h"

#include "base/check.h"
#include "raft/quorum.h"

namespace mokv::raft::testing {

bool Disk::Holds(Position position) const {
  if (position.index < base.index) return true;  // Under the snapshot, which is of committed ones.
  if (position.index == base.index) return position.term == base.term;
  if (position.index > last().index) return false;
  return entries[position.index - base.index - 1].term == position.term;
}

void Disk::Write(const PersistRequest& request) {
  if (request.install.has_value()) {
    snapshot = request.install;
    base = request.install->last;
    entries.clear();
  }
  if (request.truncate_from.has_value()) {
    MOKV_CHECK_GT(*request.truncate_from, base.index);
    while (!entries.empty() && entries.back().index >= *request.truncate_from) entries.pop_back();
  }
  for (const Entry& entry : request.entries) {
    MOKV_CHECK_EQ(entry.index, last().index.next());
    entries.push_back(entry);
  }
  if (request.hard_state.has_value()) hard_state = *request.hard_state;
}

void Invariants::OnStart(const Core& core, const Disk& disk) {
  lives_[core.id()] = {.term = core.term(), .vote = core.vote(), .commit = core.commit()};
  Position previous = disk.base;
  for (const Entry& entry : disk.entries) {
    CheckEntry(previous, entry);
    previous = {entry.index, entry.term};
  }
}

void Invariants::OnTransition(const Core& core) {
  Life& life = lives_[core.id()];
  const LogView& log = core.log();
  if (core.term() < life.term) Fail("{}: term fell", core.id());
  if (core.term() == life.term && life.vote != NodeId() && core.vote() != life.vote) {
    Fail("{}: its vote in term {} changed from {} to {}", core.id(), life.term, life.vote,
         core.vote());
  }
  if (core.commit() < life.commit) Fail("{}: commit fell from {}", core.id(), life.commit);
  if (log.base().index > core.applied() || core.applied() > core.commit() ||
      core.commit() > log.last().index || core.durability().stable() > log.last().index) {
    Fail("{}: base {} applied {} commit {} stable {} last {} are out of order", core.id(),
         log.base().index, core.applied(), core.commit(), core.durability().stable(),
         log.last().index);
  }
  if (core.role() == Role::kLeader) {
    const bool same_term = life.role == Role::kLeader && life.term == core.term();
    if (!same_term) {
      life.match.clear();
      CheckNewLeader(core);
    }
    // Who has been removed begins anew when it is added again.
    std::erase_if(life.match,
                  [&](const auto& peer) { return !core.progress().contains(peer.first); });
    for (const auto& [peer, progress] : core.progress()) {
      Index& match = life.match[peer];
      if (progress.match() < match)
        Fail("{}: the match of {} fell from {}", core.id(), peer, match);
      match = progress.match();
      if (progress.match() >= progress.next()) Fail("{}: match and next of {}", core.id(), peer);
    }
    if (core.can_serve() && log.ConfigurationsAfter(core.commit()) > 1) {
      Fail("{}: two membership changes are in flight", core.id());
    }
  } else if (!core.progress().empty()) {
    Fail("{}: progress without leadership", core.id());
  }
  life.term = core.term();
  life.vote = core.vote();
  life.commit = core.commit();
  life.role = core.role();
}

// Election safety, and leader completeness: "if a log entry is committed in a given term, then that
// entry will be present in the logs of the leaders for all higher-numbered terms".
void Invariants::CheckNewLeader(const Core& core) {
  const auto [leader, added] = leaders_.emplace(core.term(), core.id());
  if (leader->second != core.id()) {
    Fail("election safety: {} and {} lead in term {}", leader->second, core.id(), core.term());
  }
  const LogView& log = core.log();
  for (Index i = log.base().index.next(); i <= committed(); ++i) {
    if (i > log.last().index || log.TermAt(i) != committed_[i.value() - 1]) {
      if (committed_[i.value() - 1] >= core.term()) break;  // Committed after it was overruled.
      Fail("leader completeness: {}, leader of term {}, lacks {}/{}", core.id(), core.term(), i,
           committed_[i.value() - 1]);
    }
  }
}

// Log matching: what has the same index and term is the same, and so is what comes before it.
void Invariants::CheckEntry(Position previous, const Entry& entry) {
  const auto [seen, added] = seen_.emplace(std::pair(entry.index, entry.term),
                                           Seen{.previous_term = previous.term,
                                                .type = entry.type,
                                                .payload = std::string(entry.bytes())});
  if (added) return;
  if (seen->second.previous_term != previous.term || seen->second.type != entry.type ||
      seen->second.payload != entry.bytes()) {
    Fail("log matching: two entries {}/{} differ", entry.index, entry.term);
  }
}

void Invariants::OnPersist(const Core& core, const PersistRequest& request) {
  for (const Entry& entry : request.entries) {
    CheckEntry({entry.index - 1, core.log().TermAt(entry.index - 1)}, entry);
  }
}

void Invariants::CheckVote(NodeId voter, Term term, NodeId candidate) {
  const auto [vote, added] = votes_.emplace(std::pair(voter, term), candidate);
  if (vote->second != candidate) {
    Fail("one vote a term: {} voted for {} and for {} in term {}", voter, vote->second, candidate,
         term);
  }
}

// Promises that leave a node must be on its disk.
void Invariants::OnSend(const Message& message, const Disk& disk) {
  const HardState& durable = disk.hard_state;
  const auto voted_for = [&](NodeId candidate) {
    return durable.term > message.term ||
           (durable.term == message.term && ParseVote(durable.vote) == candidate);
  };
  if (const auto* reply = std::get_if<VoteReply>(&message.body);
      reply != nullptr && reply->granted) {
    CheckVote(message.from, message.term, message.to);
    if (!voted_for(message.to)) Fail("a vote left before it was durable: {}", ToString(message));
  }
  if (std::holds_alternative<VoteRequest>(message.body)) {
    CheckVote(message.from, message.term, message.from);
    if (!voted_for(message.from)) {
      Fail("a candidacy left before it was durable: {}", ToString(message));
    }
  }
  if (const auto* reply = std::get_if<AppendReply>(&message.body);
      reply != nullptr && reply->accepted) {
    if (disk.last().index < reply->match) {
      Fail("an acknowledgement left before it was durable: {}", ToString(message));
    }
  }
}

void Invariants::OnCommitted(const Core& core, const std::vector<Entry>& entries,
                             const std::function<bool(NodeId, Position)>& holds) {
  for (const Entry& entry : entries) {
    if (entry.index <= committed()) {
      if (committed_[entry.index.value() - 1] != entry.term) {
        Fail("state machine safety: {} applies {}/{}, but {}/{} was committed", core.id(),
             entry.index, entry.term, entry.index, committed_[entry.index.value() - 1]);
      }
      continue;
    }
    if (entry.index > committed().next()) return;  // Under a snapshot of some other node.
    committed_.push_back(entry.term);
    const auto durable_in = [&](const Membership& membership) {
      return membership.empty() || QuorumResult(membership, [&](NodeId voter) {
                                     return holds(voter, {entry.index, entry.term}) ? 1 : -1;
                                   }) == VoteResult::kWon;
    };
    if (!durable_in(*core.log().membership()) &&
        !durable_in(*core.log().MembershipAt(entry.index))) {
      Fail("{}/{} is committed, says {}, but not durable on a quorum", entry.index, entry.term,
           core.id());
    }
  }
}

void Invariants::OnRead(NodeId node, RequestId read) { reads_[{node, read}] = committed(); }

void Invariants::OnReadResult(NodeId node, const ReadResult& result) {
  const auto read = reads_.find({node, result.request});
  if (read == reads_.end()) return Fail("{}: an unknown read {} ends", node, result.request);
  if (result.refusal == Refusal::kNone && result.index < read->second) {
    Fail("{}: read {} may see {}, but {} was committed when it came", node, result.request,
         result.index, read->second);
  }
  reads_.erase(read);
}

}  // namespace mokv::raft::testing
