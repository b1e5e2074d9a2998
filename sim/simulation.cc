#include "sim/simulation.h"

#include <fmt/format.h>

#include "base/check.h"
#include "sim/core_node.h"
#include "sim/lincheck/checker.h"
#include "sim/nemesis.h"
#include "sim/replica_node.h"
#include "sim/workload.h"
#include "sim/world.h"

namespace mokv::sim {
namespace {

// Of one key. A history that needs more is counted as given up.
constexpr uint64_t kConfigurationsMax = 300'000;
// A run has some ten thousand.
constexpr uint64_t kEventsMax = 2'000'000;

class Simulation {
 public:
  explicit Simulation(const RunOptions& options)
      : options_(options),
        plan_(DrawPlan(options.seed, options.nodes)),
        rules_(
            plan_.election_timeout(), plan_.leases(),
            [this](raft::NodeId id, raft::Position position) { return Holds(id, position); },
            [this](raft::NodeId id) { return CoreOf(id); }),
        world_(options.seed, Network(options.seed ^ 0x6e6574, plan_.network_min, plan_.network_max),
               plan_.turn_delay_max, timeline_, result_.coverage),
        shared_{.settings = plan_.node,
                .host = world_,
                .timeline = timeline_,
                .coverage = result_.coverage,
                .invariants = invariants_,
                .rules = rules_,
                .on_write = [this](Place place) { nemesis_.OnWrite(place); },
                .on_ended = [this](Place place) { nemesis_.OnEnded(place); },
                .on_fenced = [this](Place place) { nemesis_.OnFenced(place); },
                .holds = [this](raft::NodeId id,
                                raft::Position position) { return Holds(id, position); }},
        replicas_{.node = shared_, .wires = wires_, .told = told_, .nodes = {}},
        workload_(plan_, world_, timeline_, result_.coverage,
                  [this] { return invariants_.committed(); }),
        nemesis_(plan_, world_, workload_, timeline_, result_.coverage, members_) {
    if (options.sink != nullptr) timeline_.Listen(world_, options.sink, options.messages);
    world_.set_send_hook([this](Place from, Place to, const raft::Message& message) {
      nemesis_.OnSend(from, to, message);
    });
    world_.set_reply_hook(
        [this](Place place, const ClientReply& reply) { workload_.OnReply(place, reply); });
    if (IsOfReplicas()) {
      world_.InterruptTurns(plan_.interrupt_one_in, plan_.election_timeout(),
                            [this] { CheckLeases(); });
    }
    AddNodes();
  }

  RunResult Run() {
    timeline_.Note(kPlacesMax, "seed {}: {}", plan_.seed, Describe(plan_));
    raft::visits = {};
    const MonotonicTime begin = world_.now();
    for (Place place = 0; place < world_.places(); ++place) world_.Start(place);
    workload_.set_operations_max(options_.operations_max);
    workload_.Begin();
    nemesis_.Schedule(options_.without);
    if (GoOn(begin + kFaultsLast) && Recover() && DoEnough() && ComeToRest()) Judge();
    Finish(begin);
    return std::move(result_);
  }

 private:
  bool IsOfReplicas() const { return plan_.nodes == NodeKind::kReplicas; }
  bool Holds(raft::NodeId id, raft::Position position) {
    const Place place = world_.PlaceOf(id);
    return place != kPlacesMax && world_.node(place).Holds(id, position);
  }
  const raft::Core* CoreOf(raft::NodeId id) {
    const Place place = world_.PlaceOf(id);
    if (place == kPlacesMax || world_.node(place).id() != id) return nullptr;
    return world_.node(place).core();
  }

  void AddNodes() {
    std::vector<raft::Member> voters;
    for (Place place = 0; place < plan_.places; ++place) {
      raft::Member member{.name = fmt::format("n{}", place),
                          .instance_id = fmt::format("disk-{}", place),
                          .priority = plan_.priorities[place]};
      // Cores have none, so that their messages are as long as they were when seeds were kept.
      if (IsOfReplicas()) member.rpc_address = member.name + ":8400";
      member.id = raft::NodeIdOf(member.name, member.instance_id);
      members_.push_back(member);
      if (place < plan_.voters) voters.push_back(member);
    }
    const raft::Membership initial("simulated", voters);
    for (Place place = 0; place < plan_.places; ++place) {
      world_.Add(members_[place].name, members_[place].id,
                 MakeNode(place, place < plan_.voters ? &initial : nullptr));
      world_.SetClockRate(place, plan_.rates_permille[place]);
    }
  }

  std::unique_ptr<Node> MakeNode(Place place, const raft::Membership* initial) {
    const raft::Member& member = members_[place];
    if (IsOfReplicas()) {
      return std::make_unique<ReplicaNode>(replicas_, place, member, plan_.seed, initial);
    }
    return std::make_unique<CoreNode>(shared_, place, member.id, plan_.seed, initial);
  }

  void CheckLeases() {
    for (Place place = 0; place < world_.places(); ++place) {
      const std::optional<uint64_t> revision = world_.node(place).ReadsAtOnceFrom();
      if (revision.has_value()) told_.CheckLease(place, *revision);
    }
  }

  bool Violated() {
    if (!result_.violation.empty()) return true;
    if (!invariants_.violation().empty()) result_.violation = invariants_.violation();
    if (!rules_.violation().empty()) result_.violation = rules_.violation();
    if (!told_.violation().empty()) result_.violation = told_.violation();
    return !result_.violation.empty();
  }

  // False if something is wrong.
  bool GoOn(MonotonicTime end) {
    while (world_.queue().Next(end)) {
      if (IsOfReplicas()) CheckLeases();
      if (Violated()) return false;
      if (world_.queue().happened() > kEventsMax) {
        result_.violation = "endless: messages or timers without end";
        return false;
      }
    }
    return true;
  }

  bool Recover() {
    nemesis_.Repair();
    const MonotonicTime repaired = world_.now();
    const Duration timeout = plan_.election_timeout();
    // Raft promises progress where messages and writes take far less time than an election timeout
    // (Ongaro's thesis, 3.9).
    shared_.settings.disk_max =
        std::min(shared_.settings.disk_max, timeout / kRepairedWritesPerTimeout);
    shared_.settings.disk_min = std::min(shared_.settings.disk_min, shared_.settings.disk_max);
    if (!nemesis_.QuorumIsPossible()) {
      ++result_.coverage.excused;
      return GoOn(repaired + timeout);
    }
    // Somebody must still write, even if clients are held to fewer operations.
    workload_.set_operations_max(std::max(options_.operations_max, workload_.operations() + 1000));
    workload_.AskTheLeader();
    const Duration bound = ProgressBound();
    while (!IsWell(repaired)) {
      if (world_.now() > repaired + bound) {
        // The cluster may be stuck because there can be no quorum.
        if (!nemesis_.QuorumIsPossible()) {
          ++result_.coverage.excused;
          return true;
        }
        result_.violation = "progress: " + Stuck();
        return false;
      }
      if (!GoOn(world_.now() + timeout / 4)) return false;
    }
    result_.recovered_after = world_.now() - repaired;
    const Place leader = world_.Leader();
    rules_.OnEnd(*world_.node(leader).core(), world_.node(leader).applied());
    return !Violated();
  }

  // A node that is left far behind may need a round trip and a write for each entry: appends may be
  // that small, and so may the window.
  Duration ProgressBound() const {
    const Duration per_entry =
        shared_.settings.disk_max + 2 * (plan_.network_max + plan_.turn_delay_max);
    return plan_.election_timeout() * kProgressTimeouts +
           per_entry * static_cast<int64_t>(invariants_.committed().value());
  }

  bool IsWell(MonotonicTime repaired) {
    const Place leader = world_.Leader();
    if (leader == kPlacesMax || workload_.newest_write_done() < repaired) return false;
    const raft::Core& core = *world_.node(leader).core();
    if (!core.can_serve()) return false;
    for (const auto& [id, member] : core.membership()->members()) {
      const raft::Core* other = CoreOf(id);
      // All but the newest: clients go on.
      if (other != nullptr && other->commit() + 20 < core.commit()) return false;
    }
    return true;
  }

  std::string Stuck() {
    std::string text = "none in time after all was repaired";
    for (Place place = 0; place < world_.places(); ++place) {
      if (world_.node(place).core() == nullptr) continue;
      const raft::Core& core = *world_.node(place).core();
      text += fmt::format("\n  {} {} {} of term {}, commit {}, log {} to {}, {}",
                          world_.name(place), core.id(), raft::RoleName(core.role()), core.term(),
                          core.commit(), raft::ToString(core.log().base()),
                          raft::ToString(core.log().last()), raft::ToString(*core.membership()));
    }
    return text;
  }

  bool DoEnough() {
    const bool may_wait = options_.operations_max >= kOperationsMin && nemesis_.QuorumIsPossible();
    for (int i = 0; may_wait && i < 600 && workload_.operations() < kOperationsMin; ++i) {
      if (!GoOn(world_.now() + std::chrono::milliseconds(100))) return false;
    }
    return true;
  }

  // Replicas owe answers for as long as their clients wait. Then all members have the same.
  bool ComeToRest() {
    if (!IsOfReplicas() || !nemesis_.QuorumIsPossible()) return true;
    workload_.set_operations_max(workload_.operations());
    const MonotonicTime end = world_.now() + ProgressBound() + plan_.workload.timeout * 2;
    std::string unrest = "?";
    while (!unrest.empty() && world_.now() < end) {
      if (!GoOn(world_.now() + plan_.election_timeout() / 4)) return false;
      unrest = Unrest();
    }
    if (!unrest.empty()) result_.violation = "rest: " + unrest + "\n" + Stuck();
    return unrest.empty();
  }

  std::string Unrest() {
    const Place leader = world_.Leader();
    if (leader == kPlacesMax) return "nobody leads";
    const raft::Core& core = *world_.node(leader).core();
    for (Place place = 0; place < world_.places(); ++place) {
      const Node& node = world_.node(place);
      if (const std::string owed = node.Owes(); !owed.empty()) {
        return fmt::format("{} owes answers: {}", node.id(), owed);
      }
      if (core.membership()->Contains(node.id()) && node.applied() != core.log().last().index) {
        return fmt::format("{} has applied {} of {}", node.id(), node.applied(),
                           core.log().last().index);
      }
    }
    return {};
  }

  void Judge() {
    result_.history = workload_.History();
    const lincheck::Verdict verdict =
        lincheck::Check(result_.history, {.configurations_max = kConfigurationsMax});
    if (verdict.answer == lincheck::Answer::kGaveUp) ++result_.coverage.gave_up;
    if (verdict.answer != lincheck::Answer::kNotLinearizable) return;
    result_.violation = fmt::format("linearizability: key {}; no order explains", verdict.key);
    for (const lincheck::Operation& operation : verdict.window) {
      result_.violation += "\n  " + ToString(operation);
    }
  }

  void Finish(MonotonicTime begin) {
    Coverage& coverage = result_.coverage;
    for (Place place = 0; place < world_.places(); ++place) {
      const raft::Core* core = world_.node(place).core();
      if (core != nullptr) coverage.AddStats(core->stats());
    }
    coverage.points = raft::visits;
    coverage.lost = world_.network().lost();
    coverage.duplicated = world_.network().duplicated();
    coverage.committed = invariants_.committed().value();
    if (result_.violation.empty() && coverage.core.malformed > 0) {
      result_.violation = "malformed: a message that no node should have sent";
    }
    result_.violation = world_.WithNames(result_.violation);
    result_.faults = nemesis_.begun();
    result_.operations = workload_.operations();
    result_.events = world_.queue().happened();
    result_.simulated = world_.now() - begin;
    result_.election_timeout = plan_.election_timeout();
    if (!result_.violation.empty()) timeline_.Note(kPlacesMax, "FAILED: {}", result_.violation);
  }

  const RunOptions& options_;
  const Plan plan_;
  RunResult result_;
  Timeline timeline_;
  raft::testing::Invariants invariants_;
  Rules rules_;
  std::vector<raft::Member> members_;
  World world_;
  NodeShared shared_;
  Wires wires_;
  Told told_;
  ReplicaShared replicas_;
  Workload workload_;
  Nemesis nemesis_;
};

}  // namespace

RunResult RunSeed(const RunOptions& options) { return Simulation(options).Run(); }

}  // namespace mokv::sim
