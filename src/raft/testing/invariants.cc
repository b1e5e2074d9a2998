#include "raft/testing/invariants.h"

#include <algorithm>

#include "base/check.h"

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

bool HeldByQuorum(const Membership& membership, const std::function<bool(NodeId)>& holds) {
  const auto majority = [&](const Membership::Ids& voters) {
    const auto held = std::count_if(voters.begin(), voters.end(), holds);
    return 2 * static_cast<size_t>(held) > voters.size();
  };
  return majority(membership.voters()) && (!membership.joint() || majority(membership.outgoing()));
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
  if (core.term() < life.term) Fail("monotonic term: that of {} fell", core.id());
  if (core.term() == life.term && life.vote != NodeId() && core.vote() != life.vote) {
    Fail("one vote a term: that of {} in term {} changed from {} to {}", core.id(), life.term,
         life.vote, core.vote());
  }
  if (core.commit() < life.commit) {
    Fail("monotonic commit: that of {} fell from {}", core.id(), life.commit);
  }
  if (log.base().index > core.applied() || core.applied() > core.commit() ||
      core.commit() > log.last().index || core.durability().stable() > log.last().index) {
    Fail("order of indexes: {}: base {} applied {} commit {} stable {} last {}", core.id(),
         log.base().index, core.applied(), core.commit(), core.durability().stable(),
         log.last().index);
  }
  if (core.role() == Role::kLeader) {
    CheckLeader(core, life);
  } else if (!core.progress().empty()) {
    Fail("progress without leadership: {}", core.id());
  }
  // By the configuration that was in effect before: a commit may bring the next one.
  if (life.role == Role::kLeader && core.commit() > life.commit && core.commit() > committed()) {
    counted_by_[core.commit()] = life.membership;
  }
  life.membership = log.membership();
  life.term = core.term();
  life.vote = core.vote();
  life.commit = core.commit();
  life.role = core.role();
}

void Invariants::CheckLeader(const Core& core, Life& life) {
  const LogView& log = core.log();
  const bool same_term = life.role == Role::kLeader && life.term == core.term();
  if (!same_term) {
    life.match.clear();
    CheckNewLeader(core);
  }
  // Who has been removed begins anew when it is added again.
  if (life.match.size() > core.progress().size()) {
    std::erase_if(life.match,
                  [&](const auto& peer) { return !core.progress().contains(peer.first); });
  }
  for (const auto& [peer, progress] : core.progress()) {
    Index& match = life.match[peer];
    if (progress.match() < match && progress.lost_through() < match) {
      Fail("monotonic match: {}: that of {} fell from {}", core.id(), peer, match);
    }
    match = progress.match();
    if (progress.match() >= progress.next()) Fail("match below next: {} of {}", core.id(), peer);
  }
  // §3.6.2, figure 8.
  if (same_term && core.commit() > life.commit && log.TermAt(core.commit()) != core.term()) {
    Fail("commit by counting: {}, leader of term {}, commits {}/{}", core.id(), core.term(),
         core.commit(), log.TermAt(core.commit()));
  }
  // §4.1, and Ongaro's correction of 2015.
  if (core.can_serve()) {
    if (log.ConfigurationsAfter(core.commit()) > 1) {
      Fail("one membership change: {} has two in flight", core.id());
    }
  } else if (log.membership_index() > log.base().index &&
             log.membership_index() <= log.last().index &&
             log.TermAt(log.membership_index()) == core.term()) {
    Fail("change after a commit: {} changes members in term {}, but has committed nothing in it",
         core.id(), core.term());
  }
}

// Election safety, and leader completeness: "if a log entry is committed in a given term, then that
// entry will be present in the logs of the leaders for all higher-numbered terms".
void Invariants::CheckNewLeader(const Core& core) {
  const auto [leader, added] = leaders_.emplace(core.term(), core.id());
  if (leader->second != core.id()) {
    Fail("election safety: {} and {} lead in term {}", leader->second, core.id(), core.term());
  }
  const LogView& log = core.log();
  const auto voted = [&](NodeId voter) {
    const auto vote = votes_.find({voter, core.term()});
    return voter == core.id() || (vote != votes_.end() && vote->second == core.id());
  };
  if (!HeldByQuorum(*log.membership(), voted)) {
    Fail("votes of a quorum: {} leads in term {} without", core.id(), core.term());
  }
  for (Index i = log.base().index.next(); i <= committed(); ++i) {
    if (committed_in_[i.value() - 1] >= core.term()) continue;  // Overruled without knowing it.
    if (i > log.last().index || log.TermAt(i) != committed_[i.value() - 1]) {
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
void Invariants::OnSend(const Core& core, const Message& message, const Disk& disk) {
  const HardState& durable = disk.hard_state;
  const auto voted_for = [&](NodeId candidate) {
    return durable.term > message.term ||
           (durable.term == message.term && ParseVote(durable.vote) == candidate);
  };
  if (const auto* reply = std::get_if<VoteReply>(&message.body);
      reply != nullptr && reply->granted) {
    CheckVote(message.from, message.term, message.to);
    if (!voted_for(message.to))
      Fail("durable promises: a vote left too early: {}", ToString(message));
  }
  if (std::holds_alternative<VoteRequest>(message.body)) {
    CheckVote(message.from, message.term, message.from);
    if (!voted_for(message.from)) {
      Fail("durable promises: a candidacy left too early: {}", ToString(message));
    }
  }
  if (const auto* reply = std::get_if<AppendReply>(&message.body);
      reply != nullptr && reply->accepted) {
    // The same place may have held another term's entry before; and the log may have changed since,
    // if a later leader was heard in the same turn.
    const LogView& log = core.log();
    const bool same_log = message.term == core.term() && reply->match >= log.base().index;
    bool durable = disk.last().index >= reply->match;
    if (same_log) {
      durable = durable && reply->match <= log.last().index &&
                disk.Holds({reply->match, log.TermAt(reply->match)});
    }
    if (!durable) {
      Fail("durable promises: an acknowledgement left too early: {}", ToString(message));
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
    committed_in_.push_back(core.term());
    const auto durable_in = [&](const Membership& membership) {
      return membership.empty() || HeldByQuorum(membership, [&](NodeId voter) {
               return holds(voter, {entry.index, entry.term});
             });
    };
    // The leader counts by its newest configuration, which may be on nobody else's disk, nor on its
    // own, when a follower is the first to tell.
    const auto counted_by = counted_by_.lower_bound(entry.index);
    if (!durable_in(*core.log().membership()) &&
        !durable_in(*core.log().MembershipAt(entry.index)) &&
        (counted_by == counted_by_.end() || !durable_in(*counted_by->second))) {
      Fail("durable on a quorum: {}/{} is committed, says {}, but is not", entry.index, entry.term,
           core.id());
    }
  }
  counted_by_.erase(counted_by_.begin(), counted_by_.upper_bound(committed()));
}

void Invariants::OnRead(NodeId node, RequestId read) { reads_[{node, read}] = committed(); }

void Invariants::OnReadResult(NodeId node, const ReadResult& result) {
  const auto read = reads_.find({node, result.request});
  if (read == reads_.end()) return Fail("unknown read: {} ends {}", node, result.request);
  if (result.refusal == Refusal::kNone && result.index < read->second) {
    Fail("read index: read {} on {} may see {}, but {} was committed when it came", result.request,
         node, result.index, read->second);
  }
  reads_.erase(read);
}

}  // namespace mokv::raft::testing
