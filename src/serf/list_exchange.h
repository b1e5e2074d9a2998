// ListExchange: when to exchange whole lists (memberlist's push/pull), with whom, and what is in
// them besides the nodes: with anybody now and then, with those that the owner wants to join, and
// with failed members, which may be back.
//
// Threads: confined to the owner's.
// Owner:   Protocol. Borrows all that it is given.
// Bounds:  one exchange for each call, each with a time limit; a list has at most twice
//          Options::members_max nodes.
#pragma once

#include <absl/status/status.h>

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "serf/environment.h"
#include "serf/members.h"
#include "serf/node_table.h"
#include "serf/queries.h"
#include "serf/stream.h"
#include "serf/user_events.h"

namespace mokv::serf {

class ListExchange {
 public:
  enum class Purpose { kRefresh, kJoin, kReconnect };
  // An exchange that has no answer yet.
  struct Pending {
    Purpose purpose = Purpose::kRefresh;
    Endpoint with;
    MonotonicTime started;
    size_t round = 0;  // kReconnect: how many exchanges with this member went before.
  };

  ListExchange(Environment& env, NodeTable& nodes, Members& members, UserEvents& events,
               Queries& queries);

  // --- When, and with whom.
  // Begins the schedule of exchanges with anybody.
  void Start();
  void RefreshIfDue();
  // Tries failed members again. Nodes that take each other for dead meet again only in this way.
  void ReconnectIfDue();
  // A failed member is back, and others may be too.
  void OnReturn();
  void Join(const Endpoint& with);
  MonotonicTime NextDeadline() const;

  // --- One exchange.
  // The lists of this node, as a message.
  std::string OwnLists(bool join) const;
  // Reads the lists of another node from the body of its message. Views into `body`.
  bool Read(std::string_view body, PushPull* lists) const;
  // Takes over what Serf's part of a list says. `is_join`: this node asked for it to join.
  void MergeSerfState(std::string_view bytes, bool is_join);
  // The exchange that `stream` is about; nullopt: it is about something else, or over.
  std::optional<Pending> Take(StreamId stream);
  // Reads an answer. An error says why there are no lists in it.
  absl::Status ReadAnswer(std::string_view plain, PushPull* lists) const;
  void OnDone(const Pending& exchange, const absl::Status& status);

 private:
  void Begin(Pending exchange, bool join);
  void RefreshWithAnybody();
  void ReconnectWithAnybody();
  Duration RefreshPeriod() const;

  Environment& env_;
  NodeTable& nodes_;
  Members& members_;
  UserEvents& events_;
  Queries& queries_;
  std::map<StreamId, Pending> pending_;
  MonotonicTime next_refresh_;
  MonotonicTime next_reconnect_;
  std::multimap<MonotonicTime, Pending> follow_ups_;
  MonotonicTime next_catch_up_ = MonotonicTime::Max();
};

}  // namespace mokv::serf
