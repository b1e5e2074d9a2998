// PendingWrites: writes that became entries of the log here and whose fate is not known yet.
//
// An entry is done when it is applied with the term that it was given, and certainly not done when
// an entry of another term is applied in its place (§3.6.3: what is committed at an index never
// changes). Terms never fall along a log, so an entry of a later term says the same of all that
// were to come behind it, whose places nothing may ever take. Until then nobody knows, whoever
// leads.
//
// Threads: confined to the replica thread. Bounds: the replica's on writes without an answer.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/ids.h"
#include "raft/types.h"
#include "replica/write.h"

namespace mokv::replica {

// A write on its way, from wherever it was asked for.
struct Write {
  std::shared_ptr<const std::string> command;  // machine::EncodeCommand.
  std::string subject;
  // Who waits wants an answer by then, even if it is that the outcome is unknown.
  MonotonicTime give_up_at;
  // Not to be forwarded: it came from another node (one hop), or is the leader's own.
  bool only_here = false;
  // machine::MayRepeat: sent again when the connection to the leader broke.
  bool may_repeat = false;
  // A leader gathers them.
  bool keep_alive = false;
  // It was sent over a connection that broke: whatever it comes to now, it may have been done.
  bool in_doubt = false;
  WriteDone done;
};

class PendingWrites {
 public:
  size_t size() const { return size_; }

  // The next entry of the log, at `position`, is this write.
  void Add(raft::Position position, Write write);

  // The entry at `position` is applied. The write that it is, if it is one of these; those that
  // wanted its place, or one behind it in an earlier term, go to `superseded`, since they are
  // certainly not done.
  std::optional<Write> OnApplied(raft::Position position, std::vector<Write>& superseded);

  // A state that has everything up to `last` has taken the place of this node's. Nobody knows which
  // writes of its entries are in it.
  std::vector<Write> TakeThrough(Index last);

  // Those who have waited long enough; their fate stays unknown.
  std::vector<Write> TakeExpired(MonotonicTime now);
  // Everybody: the node ends.
  std::vector<Write> TakeAll();

 private:
  struct Pending {
    raft::Position position;
    std::optional<Write> write;  // Nothing once its waiting was given up.
  };

  using Leadership = std::deque<Pending>;  // By index.

  void Settle(Pending& pending, raft::Position position, std::optional<Write>& applied,
              std::vector<Write>& superseded);

  // By term: mostly one, or none; earlier leaderships of this node until the log has decided.
  std::map<Term, Leadership> leaderships_;
  size_t size_ = 0;
};

}  // namespace mokv::replica
