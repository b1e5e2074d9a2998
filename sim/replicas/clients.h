// Clients: what users of a cluster of whole replicas ask, what they are told, and what follows from
// it at once: by the history that they saw, by what a lease promises, and by the log in the end.
//
// A client asks one thing at a time, of any node, and waits for the answer, for its node's death
// (then it knows nothing) or until it has had enough. Values are unique.
//
// Threads: confined to the test's. Time in the history counts events, so that no two are at once.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "replica/testing/cluster.h"
#include "sim/lincheck/history.h"

namespace mokv::sim {

// How often what happened.
using Counts = std::map<std::string, uint64_t>;

class Clients {
 public:
  static constexpr size_t kClients = 8;

  Clients(replica::testing::ReplicaCluster& cluster, Random& random, size_t keys, Counts& counts)
      : cluster_(cluster), random_(random), keys_(keys), counts_(counts) {}

  // Somebody who is idle asks something.
  void Ask();
  // A linearizable look at every key through every node, outside of the clients' turns.
  void LookAtAll();
  // Those who have waited long enough.
  void GiveUp();
  void OnDeath(const std::string& node);
  bool idle() const { return asking_.empty(); }

  // Whoever may read at once sees all that anybody has been told.
  void CheckLeases();
  // Against the log of a node that has applied everything: what was told as done is in it once,
  // what was told as not done is not, and nothing is in it twice.
  void CheckLog(replica::testing::NodeLife& life);

  // Called inside an answer, on the thread of the node that gives it.
  void set_on_answer(std::function<void(const std::string& node)> on_answer) {
    on_answer_ = std::move(on_answer);
  }
  // The first thing that must not be; empty if there is none.
  const std::string& violation() const { return violation_; }
  std::vector<lincheck::Operation> History() const;
  // Of everything that was asked and answered: the same seed, the same number.
  uint64_t fingerprint() const { return fingerprint_; }

 private:
  using Id = uint64_t;
  struct Asked {
    lincheck::Operation operation;
    std::string node;
    size_t client = 0;
    MonotonicTime give_up_at;
    Revision floor;  // Of what had been told when it began.
  };
  struct Seen {
    Revision revision;
    std::string value;
  };

  Id Begin(size_t client, const std::string& node, lincheck::Kind kind, const std::string& key,
           Duration patience);
  void Read(Id id, Duration wait);
  void ReadNoOlder(size_t client, const std::string& node, Duration wait);
  void Write(Id id, Duration wait);
  void Cas(Id id, Duration wait);
  void Propose(Id id, machine::Command command, Duration wait);
  void Look(Id id);
  void OnAnswer(Id id, const replica::WriteResult& result);
  void OnApplied(Id id, const machine::Result& applied);
  void End(Id id, lincheck::Outcome outcome, bool known = true);
  void Learn(Revision revision, const std::string& value);
  void Fail(std::string text);
  std::string NewValue(Id id);
  size_t Below(uint64_t bound) { return random_.Next() % bound; }

  replica::testing::ReplicaCluster& cluster_;
  Random& random_;
  size_t keys_;
  Counts& counts_;
  Id last_id_ = 0;
  int64_t now_ = 0;  // Counts events.
  std::map<Id, Asked> asking_;
  std::vector<lincheck::Operation> history_;
  std::map<std::string, Id> values_;               // Of writes.
  std::map<Id, replica::WriteResult::Fate> told_;  // Of writes that were answered, however late.
  std::map<Revision, std::string> revisions_;      // What was written with them.
  std::map<std::string, Seen> newest_by_client_;   // Client and key.
  std::map<size_t, Revision> told_to_;             // The newest revision that a client knows.
  Revision told_revision_;                         // That anybody knows.
  std::string violation_;
  uint64_t fingerprint_ = 0;
  std::function<void(const std::string&)> on_answer_;
};

}  // namespace mokv::sim
