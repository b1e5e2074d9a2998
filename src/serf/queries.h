// Queries: questions to the cluster, answered directly to whoever asked. Serf asks some itself
// (internal_queries.h); with one of them a node settles whose name it is.
//
// Threads: confined to the owner's.
// Owner:   Protocol. Borrows all that it is given.
// Bounds:  see queries.cc; what comes beyond them is dropped and counted.
#pragma once

#include <absl/status/statusor.h>

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "serf/broadcast_queue.h"
#include "serf/environment.h"
#include "serf/internal_queries.h"
#include "serf/lamport_clock.h"
#include "serf/members.h"
#include "serf/node_table.h"

namespace mokv::serf {

// A question to the cluster.
struct QueryRequest {
  std::string name;
  std::string payload;
  std::vector<std::string> nodes;           // Only these; empty: all.
  std::map<std::string, std::string> tags;  // Only where the tag matches the expression (RE2).
  bool want_acks = false;
  uint8_t relay_factor = 0;
  Duration timeout{0};  // Zero: what suits the size of the cluster.
};

class Queries {
 public:
  Queries(Environment& env, GossipQueues& queues, NodeTable& nodes, const Members& members);

  absl::StatusOr<QueryKey> Ask(const QueryRequest& request) { return Start(request, false); }
  absl::Status Respond(QueryKey query, std::string_view payload);
  void Expire();
  MonotonicTime NextDeadline() const;

  // --- Messages, and bodies of messages. True: it is news, which others should hear too.
  bool OnQuery(const QueryMessage& query);
  void OnResponse(std::string_view body);
  void OnRelay(std::string_view body);

  // Another node, at `other`, says that it has this node's name: asks the cluster whose it is.
  void OnNameTaken(const Endpoint& other);

  LamportClock& clock() { return clock_; }
  const LamportClock& clock() const { return clock_; }

 private:
  struct Slot {
    LamportTime ltime = 0;
    std::vector<uint32_t> ids;
  };
  // A query of somebody else that may still be answered.
  struct Asked {
    LamportTime ltime = 0;
    uint32_t id = 0;
    Endpoint source;
    std::string source_node;
    uint8_t relay_factor = 0;
    MonotonicTime deadline;
  };
  // One of ours.
  struct Own {
    LamportTime ltime = 0;
    uint32_t id = 0;
    MonotonicTime deadline;
    bool conflict = false;  // Asks whose name it is.
    std::set<std::string, std::less<>> acked;
    std::set<std::string, std::less<>> answered;
    size_t votes_for_us = 0;
  };

  absl::StatusOr<QueryKey> Start(const QueryRequest& request, bool conflict);
  Duration DefaultTimeout() const;
  bool Record(const QueryMessage& query);
  bool IsForUs(const QueryMessage& query) const;
  bool PassesFilter(std::string_view filter) const;
  absl::Status SendResponse(const Asked& query, uint32_t flags, std::string_view payload);
  void Relay(const Asked& query, std::string_view message);
  void FinishConflict(const Own& query);

  Environment& env_;
  GossipQueues& queues_;
  NodeTable& nodes_;
  const Members& members_;
  LamportClock clock_;
  LamportTime ignored_before_ = 0;
  std::map<uint32_t, Slot> ring_;
  QueryKey last_key_ = 0;
  std::map<QueryKey, Asked> asked_;
  std::map<QueryKey, Own> own_;
  std::optional<Endpoint> conflict_with_;
  MonotonicTime next_conflict_;
};

}  // namespace mokv::serf
