// Reference: what the log comes to, once more, as simple as can be: revisions, keys, and sessions
// whose writes happen once. Whatever replicas apply is compared with it.
//
// It must not know how src/machine does it, only what that promises.
//
// Threads: confined to the run's. Units: revisions are the store's.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/log_entry.h"
#include "machine/command.h"

namespace mokv::sim {

class Reference {
 public:
  struct State {
    uint64_t revision = 0;
    uint64_t sessions = 0;
  };

  // What is wrong with the log itself; its text begins with the rule's name.
  const std::string& violation() const { return violation_; }
  // Any number of times, by anybody; one that comes before those in front of it waits for them.
  void OnCommitted(const Entry& entry);
  // After the entry at `index`; nothing: not known (yet).
  std::optional<State> At(Index index) const;

 private:
  struct Session {
    uint64_t ttl_ms = 0;
    uint64_t expires_at_ms = 0;
    uint64_t lowest = 1;
    std::set<uint64_t> answered;
  };

  void Apply(const Entry& entry);
  void Renew(Session& session);
  // Whether the write is to be carried out.
  bool Begins(const machine::SessionContext& context);
  void Write(const store::Transaction& operations);
  void Advance(uint64_t to_ms);

  std::map<Index, Entry> waiting_;
  std::vector<State> states_{{}};              // By index.
  std::map<std::string, uint64_t> revisions_;  // By key.
  std::map<SessionId, Session> sessions_;
  uint64_t now_ms_ = 0;
  uint64_t revision_ = 0;
  std::string violation_;
};

}  // namespace mokv::sim
