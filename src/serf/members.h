// Members: the list that `serf members` shows. For each node it knows what Serf adds to NodeTable:
// intents, which tell a node that left from one that failed, and what became of the node.
//
// Threads: confined to the owner's.
// Owner:   Protocol. Borrows all that it is given.
// Bounds:  Options::members_max members, and as many intents of nodes that nobody has seen.
#pragma once

#include <absl/status/status.h>

#include <array>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "serf/broadcast_queue.h"
#include "serf/coordinate.h"
#include "serf/environment.h"
#include "serf/lamport_clock.h"
#include "serf/node_table.h"

namespace mokv::serf {

class Members {
 public:
  Members(Environment& env, GossipQueues& queues, CoordinateClient& coordinates);

  // --- News of the table of nodes.
  // True if the node had failed, and is back.
  bool OnJoined(std::shared_ptr<const ListedNode> node);
  void OnUpdated(std::string_view name);
  void OnGone(std::string_view name);

  // --- Intents. True: it is news, which others should hear too.
  bool OnJoinIntent(const JoinIntent& intent);
  bool OnLeaveIntent(const LeaveIntent& intent);

  // --- What this node does.
  // Tells everybody that it is here.
  void AnnounceJoin();
  // Tells everybody that it means to leave. Returns what waits to be gossiped; 0: there is nobody
  // to tell.
  BroadcastQueue::Id AnnounceLeave();
  bool leaving() const { return leaving_; }
  // Declares a failed member to have left; with `prune` it is forgotten.
  absl::Status ForceLeave(std::string_view name, bool prune);
  // Forgets the members that have been gone for long, and old intents.
  void Reap();

  // --- What is known.
  struct Info {
    std::shared_ptr<const ListedNode> node;
    MemberStatus status = MemberStatus::kNone;
    LamportTime status_ltime = 0;  // Of the last intent that was taken.
    MonotonicTime gone_at;         // When it left or failed.
  };
  const std::map<std::string, Info, std::less<>>& all() const { return members_; }
  std::vector<Member> List() const;
  MemberStatus StatusOf(std::string_view name) const;
  size_t CountOf(MemberStatus status) const { return counts_[static_cast<size_t>(status)]; }
  // Members besides this node that are alive, or leaving but still there.
  size_t OthersAlive() const;
  LamportClock& clock() { return clock_; }
  const LamportClock& clock() const { return clock_; }

 private:
  struct RecentIntent {
    bool leave = false;
    LamportTime ltime = 0;
    MonotonicTime at;
  };

  // Whether an intent can be taken at all. If not, it is counted as dropped.
  bool Witness(std::string_view name, LamportTime ltime);
  bool RememberIntent(std::string_view name, bool leave, LamportTime ltime);
  Info& Insert(std::string_view name);
  void Erase(std::string_view name);
  void MakeRoom();
  void SetStatus(Info& info, MemberStatus status);
  void SetGone(Info& info, MemberStatus status);
  Member Describe(const Info& info) const;
  void Tell(MemberChange change, const Info& info);

  Environment& env_;
  GossipQueues& queues_;
  CoordinateClient& coordinates_;
  std::map<std::string, Info, std::less<>> members_;
  std::array<size_t, 5> counts_{};  // Of members_, by MemberStatus.
  std::map<std::string, RecentIntent, std::less<>> recent_intents_;
  LamportClock clock_;
  bool leaving_ = false;
};

}  // namespace mokv::serf
