#include "sim/replicas/faults.h"

#include <utility>
#include <vector>

namespace mokv::sim {

using replica::AdminRequest;
using std::chrono::milliseconds;

Faults::Faults(replica::testing::ReplicaCluster& cluster, Clients& clients, Random& random,
               const replica::testing::ClusterOptions& options, Counts& counts)
    : cluster_(cluster),
      clients_(clients),
      random_(random),
      counts_(counts),
      leases_(options.life.raft.lease_reads) {
  const auto draw = [this](uint64_t often) { return OneIn(3) ? 0 : often << Below(4); };
  kill_ = draw(4);
  kill_all_ = draw(40);
  stop_ = draw(8);
  stall_ = draw(4);
  full_ = draw(8);
  cut_ = draw(4);
  close_ = draw(3);
  hold_ = draw(4);
  pause_ = draw(4);
  clock_ = draw(8);
  transfer_ = draw(4);
  change_ = OneIn(2) ? 2 << Below(3) : 0;
  wipe_ = change_ == 0 && OneIn(2) ? 10 : 0;
  jumps_ = OneIn(2);
}

std::string Faults::Any() {
  const std::vector<std::string> names = cluster_.names();
  return names[Below(names.size())];
}

std::string Faults::AnyUp() {
  const std::string name = Any();
  return cluster_.IsUp(name) ? name : std::string();
}

std::string Faults::LeaderOrAnyUp() { return OneIn(2) ? cluster_.Leader() : AnyUp(); }

void Faults::Disturb() {
  BeginSome();
  EndSome();
}

void Faults::BeginSome() {
  const auto with = [this](uint64_t one_in, const char* count, auto&& what) {
    if (!OneIn(one_in)) return;
    const std::string name = LeaderOrAnyUp();
    if (name.empty()) return;
    ++counts_[count];
    what(name);
  };
  with(kill_, "kills", [this](const std::string& name) { Kill(name); });
  with(stop_, "stops in a write", [this](const std::string& name) {
    cluster_.files(name).StopAfter(Below(8));
    stopping_.insert(name);
  });
  with(stall_, "disk stalls",
       [this](const std::string& name) { cluster_.life(name).disk_stalls = true; });
  with(full_, "full disks", [this](const std::string& name) {
    CrashFileSystem& files = cluster_.files(name);
    files.SetCapacity(files.used_bytes() + Below(4096));
  });
  with(pause_, "pauses", [this](const std::string& name) { paused_.insert(name); });
  if (OneIn(kill_all_)) {
    for (const std::string& name : cluster_.names()) {
      if (cluster_.IsUp(name)) Kill(name);
    }
  }
  if (OneIn(cut_)) Cut();
  if (OneIn(close_)) CloseOne();
  if (OneIn(hold_)) Hold();
  if (OneIn(clock_)) StepClock();
  if (OneIn(transfer_)) Transfer();
  if (OneIn(change_)) Change();
  if (OneIn(wipe_)) Wipe();
}

void Faults::EndSome() {
  if (OneIn(3)) RestartOne();
  if (OneIn(8)) cluster_.Heal();
  if (OneIn(6)) cluster_.Release();
  if (OneIn(3) && !paused_.empty()) paused_.erase(paused_.begin());
  const std::string name = AnyUp();
  if (!name.empty() && OneIn(2)) cluster_.life(name).disk_stalls = false;
  if (OneIn(4)) cluster_.files(Any()).SetCapacity(std::nullopt);
  if (!wiped_.empty() && OneIn(3)) ReplaceWiped();
}

// The process alone, or the machine with all that was not synced.
void Faults::Kill(const std::string& name) {
  const bool machine = !OneIn(3);
  // What it has sent may still arrive.
  if (OneIn(2)) {
    for (const std::string& other : cluster_.names()) {
      if (other != name) cluster_.Close(name, other);
    }
  }
  cluster_.Kill(name, machine ? &random_ : nullptr);
  clients_.OnDeath(name);
  paused_.erase(name);
  stopping_.erase(name);
}

void Faults::BuryStopped() {
  for (const std::string& name : std::set<std::string>(stopping_)) {
    if (!cluster_.files(name).stopped()) continue;
    cluster_.Kill(name, &random_);
    clients_.OnDeath(name);
    paused_.erase(name);
    stopping_.erase(name);
  }
}

void Faults::RestartOne() {
  const std::string name = Any();
  if (!cluster_.IsUp(name)) cluster_.Restart(name);
}

void Faults::Cut() {
  ++counts_["cuts"];
  const std::string leader = cluster_.Leader();
  const std::string one = leader.empty() || OneIn(2) ? Any() : leader;
  const bool from = !OneIn(4);
  const bool to = !from || !OneIn(3);
  const bool all = OneIn(2);
  for (const std::string& other : cluster_.names()) {
    if (other == one || (!all && OneIn(2))) continue;
    if (from) cluster_.CutOneWay(one, other);
    if (to) cluster_.CutOneWay(other, one);
  }
}

void Faults::CloseOne() {
  ++counts_["connections closed"];
  const std::string leader = cluster_.Leader();
  const std::string one = leader.empty() ? Any() : leader;
  const std::string other = Any();
  if (one == other) return;
  OneIn(2) ? cluster_.Break(one, other) : cluster_.Close(one, other);
}

void Faults::Hold() {
  const std::string one = Any();
  const std::string other = Any();
  if (one == other) return;
  ++counts_["links held"];
  cluster_.Hold(one, other);
}

// The clock that leases rest on keeps to its drift, so then only all go on together.
void Faults::StepClock() {
  ++counts_["clock steps"];
  const Duration step = milliseconds(Below(400));
  leases_ ? cluster_.Advance(step) : cluster_.StepClock(Any(), step);
}

void Faults::Request(AdminRequest request) {
  const std::string name = AnyUp();
  if (name.empty()) return;
  cluster_.life(name).Request(std::move(request), milliseconds(50 + Below(1000)));
}

void Faults::Transfer() {
  ++counts_["transfers asked for"];
  const std::string leader = cluster_.Leader();
  if (OneIn(3) && !leader.empty()) {
    cluster_.replica(leader).StepAside(cluster_.life(leader).clock.Now() + milliseconds(200),
                                       [](const absl::Status&, bool) {});
    return;
  }
  Request({.kind = AdminRequest::Kind::kTransfer, .name = OneIn(2) ? Any() : std::string()});
}

void Faults::Change() {
  ++counts_["changes asked for"];
  const std::string name = Any();
  if (OneIn(2)) {
    Request({.kind = AdminRequest::Kind::kRemoveMember, .name = name, .automatic = OneIn(2)});
  } else {
    Request({.kind = AdminRequest::Kind::kAddMember,
             .name = name,
             .rpc_address = name + ":8400",
             .automatic = OneIn(2)});
  }
}

// Once in a schedule: two could have been all that had something.
void Faults::Wipe() {
  const std::string name = LeaderOrAnyUp();
  if (name.empty() || !wiped_.empty()) return;
  ++counts_["disks wiped"];
  wiped_ = name;
  cluster_.Wipe(name);
  clients_.OnDeath(name);
  paused_.erase(name);
  stopping_.erase(name);
}

void Faults::ReplaceWiped() {
  if (OneIn(2)) {
    Request(
        {.kind = AdminRequest::Kind::kAddMember, .name = wiped_, .rpc_address = wiped_ + ":8400"});
    return;
  }
  // Not the new one: that could come on its way, and be removed after it was added.
  const std::string leader = cluster_.Leader();
  if (leader.empty()) return;
  for (const replica::ClusterMember& member : cluster_.replica(leader).View().members) {
    if (member.name != wiped_ || member.instance_id == cluster_.instance_id(wiped_)) continue;
    Request({.kind = AdminRequest::Kind::kRemoveMember, .name = wiped_});
  }
}

void Faults::End() {
  cluster_.Heal();
  cluster_.Release();
  paused_.clear();
  for (const std::string& name : std::set<std::string>(stopping_)) Kill(name);
  for (const std::string& name : cluster_.names()) {
    cluster_.files(name).SetCapacity(std::nullopt);
    if (!cluster_.IsUp(name)) cluster_.Restart(name);
    cluster_.life(name).disk_stalls = false;
  }
}

}  // namespace mokv::sim
