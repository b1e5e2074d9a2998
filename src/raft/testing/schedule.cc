#include "raft/testing/schedule.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <vector>

#include "base/check.h"
#include "raft/testing/cluster.h"

namespace mokv::raft::testing {
namespace {

using std::chrono::milliseconds;

class Schedule {
 public:
  explicit Schedule(uint64_t seed) : random_(seed), cluster_(random_.Next()) {
    if (std::getenv("MOKV_RAFT_TRACE") != nullptr) {
      cluster_.set_trace([](const std::string& line) { fmt::print("{}\n", line); });
    }
    DrawStrengths();
    MakeNodes();
  }

  ScheduleResult Run(int steps) {
    for (int i = 0; i < steps && violation().empty(); ++i) Act();
    if (violation().empty()) Repair();
    result_.violation = violation().empty() ? stuck_ : violation();
    result_.committed = cluster_.invariants().committed().value();
    return result_;
  }

 private:
  const std::string& violation() const { return cluster_.invariants().violation(); }
  uint64_t Below(uint64_t bound) { return random_.Next() % bound; }
  bool OneIn(uint64_t n) { return n > 0 && Below(n) == 0; }

  Node& Any() {
    auto node = cluster_.nodes().begin();
    std::advance(node, static_cast<ptrdiff_t>(Below(cluster_.nodes().size())));
    return *node->second;
  }
  Node* AnyUp() {
    Node& node = Any();
    return node.core == nullptr || asleep_ == &node ? nullptr : &node;
  }
  Node* Leader() {
    Node* leader = nullptr;
    for (const auto& [name, node] : cluster_.nodes()) {
      if (node->core == nullptr || node->core->role() != Role::kLeader) continue;
      if (asleep_ == node.get()) continue;
      // Perhaps an old one that does not know it yet.
      if (leader == nullptr || OneIn(2)) leader = node.get();
    }
    return leader;
  }

  // Each schedule has its own mix: some faults often, some never.
  void DrawStrengths() {
    const auto draw = [this](uint64_t often) { return OneIn(3) ? 0 : often << Below(4); };
    drop_ = draw(8);
    duplicate_ = draw(8);
    reorder_ = OneIn(2);
    crash_ = draw(6);
    cut_ = draw(6);
    change_ = draw(3);
    transfer_ = draw(8);
    snapshot_ = draw(3);
    hint_ = draw(8);
    sleep_ = draw(3);
    wipe_ = OneIn(6) ? 30 : 0;
    pause_ = draw(20);
    slow_disks_ = OneIn(2);
  }

  void MakeNodes() {
    Options options;
    options.lease_reads = OneIn(2);
    options.read_rounds_max = 1 + Below(4);
    options.inflight_appends_max = 1 + Below(8);
    options.append_bytes_max = 70 << Below(6);
    options.cache_bytes_max = OneIn(2) ? 0 : 1000;
    options.uncommitted_bytes_max = 4000;
    // A schedule is short; so are its terms.
    options.election_timeout = milliseconds(100);
    options.heartbeat_interval = milliseconds(20);
    options.lost_leader_stagger = milliseconds(5);
    options.priority_delay = milliseconds(200);
    options.persist_stall_max = milliseconds(OneIn(4) ? 80 : 60'000);
    const uint64_t voters = 3 + Below(3);
    std::vector<Member> members;
    for (uint64_t i = 0; i < voters; ++i) {
      members.push_back(NewMember(fmt::format("n{}", i)));
      if (OneIn(8)) members.back().priority = static_cast<uint32_t>(Below(3));
    }
    members[0].priority = kPriorityDefault;
    const Membership initial("cluster", members);
    for (const Member& member : members) AddNode(member, options, &initial);
    for (uint64_t i = voters; i < voters + 2; ++i) {
      AddNode(NewMember(fmt::format("n{}", i)), options, nullptr);
    }
  }

  Member NewMember(const std::string& name) {
    Member member{.name = name, .instance_id = fmt::format("disk-{}", ++instances_)};
    member.id = NodeIdOf(member.name, member.instance_id);
    members_[name] = member;
    return member;
  }

  void AddNode(const Member& member, Options options, const Membership* initial) {
    options.id = member.id;
    Node& node = cluster_.Add(member.name, options, initial);
    node.disk_held = slow_disks_;
    node.clock_percent = 96 + static_cast<int>(Below(9));  // Within the drift bound of 10.
  }

  void Act() {
    const uint64_t what = Below(100);
    if (what < 52) return DeliverOne();
    if (what < 70) return PassTime();
    if (what < 78) return Propose();
    if (what < 83) return Read();
    if (what < 93) return Sync();
    Disturb();
  }

  void DeliverOne() {
    auto& network = cluster_.network();
    if (network.empty()) return PassTime();
    const size_t at = reorder_ && OneIn(3) ? Below(network.size()) : 0;
    const Message message = network[at];
    if (asleep_ != nullptr && cluster_.Find(message.to) == asleep_) {
      network.erase(network.begin() + static_cast<ptrdiff_t>(at));
      network.push_back(message);  // It waits in a socket.
      return PassTime();
    }
    if (!OneIn(duplicate_)) network.erase(network.begin() + static_cast<ptrdiff_t>(at));
    if (OneIn(drop_)) return cluster_.Lose(message);
    cluster_.Deliver(message);
  }

  void PassTime() {
    cluster_.Advance(milliseconds(Below(12)));
    if (OneIn(pause_)) cluster_.Advance(milliseconds(Below(250)));
    TickAll(/*late_one_in=*/4);
  }

  // Some nodes are late, or asleep.
  void TickAll(uint64_t late_one_in) {
    for (const auto& [name, node] : cluster_.nodes()) {
      if (node->core == nullptr || asleep_ == node.get() || OneIn(late_one_in)) continue;
      if (cluster_.ClockOf(*node) >= node->core->NextDeadline()) cluster_.Step(*node, Tick{});
    }
  }

  void Propose() {
    Node* node = OneIn(20) ? AnyUp() : Leader();
    if (node == nullptr) return;
    raft::Propose propose{.request = RequestId(++requests_)};
    for (uint64_t i = 0; i <= Below(3); ++i) {
      propose.payloads.push_back(
          std::make_shared<const std::string>(fmt::format("{}-{}", requests_, i)));
    }
    cluster_.Step(*node, std::move(propose));
  }

  void Read() {
    Node* node = OneIn(2) ? AnyUp() : Leader();
    if (node == nullptr) return;
    ++result_.reads;
    cluster_.Read(*node, RequestId(++requests_));
  }

  void Sync() {
    if (Node* node = AnyUp()) cluster_.Persist(*node, 1 + Below(3));
  }

  void Disturb() {
    if (OneIn(crash_)) Crash();
    if (OneIn(4)) RestartOne();
    if (OneIn(cut_)) Cut();
    if (OneIn(12)) cluster_.Heal();
    if (OneIn(change_)) Change();
    if (OneIn(transfer_)) Transfer();
    if (OneIn(snapshot_)) Snapshot();
    if (OneIn(hint_)) Hint();
    if (asleep_ == nullptr ? OneIn(sleep_) : OneIn(4)) SleepOrWake();
    if (OneIn(wipe_)) Wipe();
  }

  void Count(const Node& node) {
    if (node.core == nullptr) return;
    const Stats& stats = node.core->stats();
    result_.stats.pre_votes += stats.pre_votes;
    result_.stats.elections += stats.elections;
    result_.stats.leaderships += stats.leaderships;
    result_.stats.quorum_lost += stats.quorum_lost;
    result_.stats.disk_stalls += stats.disk_stalls;
    result_.stats.read_rounds += stats.read_rounds;
    result_.stats.lease_reads += stats.lease_reads;
    result_.stats.proposals_refused += stats.proposals_refused;
    result_.stats.appends_rejected += stats.appends_rejected;
    result_.stats.snapshots_sent += stats.snapshots_sent;
    result_.stats.snapshots_installed += stats.snapshots_installed;
    result_.stats.malformed += stats.malformed;
    result_.stats.misaddressed += stats.misaddressed;
  }

  void Crash() {
    Node* node = OneIn(2) ? Leader() : AnyUp();
    if (node == nullptr) return;
    ++result_.crashes;
    Count(*node);
    // Some of the last writes may have reached the disk nevertheless.
    cluster_.Persist(*node, Below(node->writes.size() + 1));
    cluster_.Crash(*node);
  }

  void RestartOne() {
    Node& node = Any();
    if (node.core == nullptr) cluster_.Restart(node);
  }

  void Cut() {
    Node* leader = Leader();
    Node& one = leader == nullptr || OneIn(2) ? Any() : *leader;
    const bool both = !OneIn(3);
    const bool all = OneIn(2);
    for (const auto& [name, node] : cluster_.nodes()) {
      if (name == one.name || (!all && OneIn(3))) continue;
      cluster_.Cut(one.name, name);
      if (both) cluster_.Cut(name, one.name);
    }
  }

  // A process that is stopped for a while, and at once asked something when it goes on.
  void SleepOrWake() {
    if (asleep_ == nullptr) {
      asleep_ = OneIn(3) ? AnyUp() : Leader();
      return;
    }
    Node& node = *std::exchange(asleep_, nullptr);
    if (node.core == nullptr || OneIn(2)) return;
    ++result_.reads;
    cluster_.Read(node, RequestId(++requests_));
  }

  void Change() {
    Node* leader = Leader();
    if (leader == nullptr) return;
    using Kind = MemberChange::Kind;
    ChangeMembership change{.request = RequestId(++requests_)};
    for (uint64_t i = 0; i <= Below(2); ++i) {
      Member member = members_.at(Any().name);
      const Membership& now = *leader->core->membership();
      Kind kind = Kind::kAddLearner;
      member.promote_when_caught_up = OneIn(2);
      if (now.IsLearner(member.id)) {
        kind = OneIn(2) ? Kind::kPromote : Kind::kRemove;
      } else if (now.IsVoter(member.id)) {
        kind = OneIn(2) ? Kind::kDemote : Kind::kRemove;
      }
      if (now.Contains(member.id) && OneIn(4)) {
        kind = Kind::kUpdate;
        member.priority = static_cast<uint32_t>(Below(3));
      }
      change.changes.push_back({.kind = kind, .member = member});
    }
    ++result_.changes;
    cluster_.Step(*leader, std::move(change));
  }

  void Transfer() {
    Node* leader = Leader();
    if (leader == nullptr) return;
    const NodeId target = OneIn(2) ? NodeId() : Any().id;
    cluster_.Step(*leader, TransferLeadership{.request = RequestId(++requests_), .target = target});
  }

  void Snapshot() {
    Node* node = AnyUp();
    if (node == nullptr) return;
    cluster_.TakeSnapshot(*node);
    if (node->disk.snapshot.has_value() && OneIn(2)) {
      const Index last = node->disk.snapshot->last.index;
      cluster_.Compact(*node, Index(last.value() - std::min(last.value() - 1, Below(4))));
    }
  }

  void Hint() {
    Node* leader = Leader();
    if (leader == nullptr) return;
    // Sometimes it has crashed, sometimes only one connection broke.
    if (OneIn(2)) {
      Count(*leader);
      cluster_.Crash(*leader);
    }
    for (const auto& [name, node] : cluster_.nodes()) {
      if (node->core == nullptr || node.get() == leader || OneIn(4)) continue;
      cluster_.Step(*node, ConnectionClosed{.peer = leader->id});
      if (leader->core != nullptr) cluster_.Step(*leader, ConnectionClosed{.peer = node->id});
    }
  }

  void Wipe() {
    Node* node = AnyUp();
    if (node == nullptr || wiped_) return;
    wiped_ = true;
    Count(*node);
    cluster_.Crash(*node);
    cluster_.Wipe(*node, NewMember(node->name).id);
    cluster_.Restart(*node);
  }

  // Faults stop. If the members that still exist could have a quorum, a leader must be elected and
  // commit something new.
  void Repair() {
    cluster_.Heal();
    asleep_ = nullptr;
    for (const auto& [name, node] : cluster_.nodes()) {
      if (node->core == nullptr) cluster_.Restart(*node);
      node->disk_held = false;
      cluster_.Persist(*node);
    }
    for (const Message& message : std::exchange(cluster_.network(), {})) cluster_.Lose(message);
    const Index before = cluster_.invariants().committed();
    for (int i = 0; i < 3000 && violation().empty(); ++i) {
      cluster_.Advance(milliseconds(10));
      TickAll(/*late_one_in=*/0);
      Settle();
      Node* leader = Leader();
      if (leader != nullptr && i % 100 == 99) Propose();
      for (const auto& [name, node] : cluster_.nodes()) {
        if (std::exchange(node->snapshot_wanted, false)) cluster_.TakeSnapshot(*node);
      }
      if (i > 500 && leader != nullptr && leader->core->can_serve() &&
          cluster_.invariants().committed() > before + 2 && AllCaughtUp(*leader)) {
        break;
      }
      if (i == 2999 && !MayBeStuck()) stuck_ = Stuck();
    }
    for (const auto& [name, node] : cluster_.nodes()) Count(*node);
  }

  void Settle() {
    auto& network = cluster_.network();
    for (int i = 0; i < 10'000 && !network.empty() && violation().empty(); ++i) {
      const Message message = network.front();
      network.pop_front();
      cluster_.Deliver(message);
    }
    if (!network.empty()) stuck_ = "messages without end";
  }

  bool AllCaughtUp(const Node& leader) {
    for (const auto& [id, progress] : leader.core->progress()) {
      const Node* node = cluster_.Find(id);
      if (node == nullptr || node->id != id) continue;
      if (node->core->commit() != leader.core->commit()) return false;
    }
    return true;
  }

  // A wiped disk, or members that may all not lead, are no fault of the core's.
  bool MayBeStuck() {
    if (wiped_) return true;
    for (const auto& [name, node] : cluster_.nodes()) {
      const Member* self = node->core->membership()->Find(node->id);
      if (self != nullptr && self->priority == kPriorityNever) return true;
    }
    return false;
  }

  std::string Stuck() {
    std::string text = "no progress after all was repaired:";
    for (const auto& [name, node] : cluster_.nodes()) {
      const Core& core = *node->core;
      text += fmt::format("\n  {} {} {} term {} leader {} commit {} base {} last {} {}", name,
                          core.id(), RoleName(core.role()), core.term(), core.leader(),
                          core.commit(), ToString(core.log().base()), ToString(core.log().last()),
                          ToString(*core.membership()));
      for (const auto& [peer, progress] : core.progress()) {
        text += fmt::format("\n    {} state {} match {} next {}", peer,
                            static_cast<int>(progress.state()), progress.match(), progress.next());
      }
    }
    return text;
  }

  SeededRandom random_;
  Cluster cluster_;
  std::map<std::string, Member> members_;  // As they are now.
  uint64_t instances_ = 0;
  uint64_t requests_ = 0;
  bool wiped_ = false;
  Node* asleep_ = nullptr;
  std::string stuck_;
  ScheduleResult result_;

  // One in so many; 0 never.
  uint64_t drop_ = 0;
  uint64_t duplicate_ = 0;
  uint64_t crash_ = 0;
  uint64_t cut_ = 0;
  uint64_t change_ = 0;
  uint64_t transfer_ = 0;
  uint64_t snapshot_ = 0;
  uint64_t hint_ = 0;
  uint64_t sleep_ = 0;
  uint64_t wipe_ = 0;
  uint64_t pause_ = 0;
  bool reorder_ = false;
  bool slow_disks_ = false;
};

}  // namespace

ScheduleResult RunSchedule(uint64_t seed, int steps) { return Schedule(seed).Run(steps); }

}  // namespace mokv::raft::testing
