// The table of nodes: what alive, suspect and dead messages do to it.
#include <algorithm>
#include <cstring>
#include <limits>

#include "base/check.h"
#include "serf/memberlist.h"

namespace mokv::serf {
namespace {

Versions ToVersions(std::string_view vsn) {
  Versions versions{};
  MOKV_CHECK_EQ(vsn.size(), versions.size());
  std::memcpy(versions.data(), vsn.data(), versions.size());
  return versions;
}

std::string_view AsText(const Versions& versions) {
  return {reinterpret_cast<const char*>(versions.data()), versions.size()};
}

}  // namespace

// ---- What is taken at all.

bool Memberlist::IsCompatible(const Versions& versions) const {
  const auto speaks = [](uint8_t spoken, uint8_t min, uint8_t max) {
    return min != 0 && min <= spoken && spoken <= max;
  };
  const Versions& ours = kOurVersions;
  return speaks(versions[kProtocolCur], ours[kProtocolMin], ours[kProtocolMax]) &&
         speaks(versions[kDelegateCur], ours[kDelegateMin], ours[kDelegateMax]) &&
         speaks(ours[kProtocolCur], versions[kProtocolMin], versions[kProtocolMax]) &&
         speaks(ours[kDelegateCur], versions[kDelegateMin], versions[kDelegateMax]);
}

bool Memberlist::IsAcceptable(const Alive& alive) {
  if (!IsValidName(alive.node) || !IsValidAddress(alive.addr) || alive.port == 0 ||
      alive.meta.size() > kMetaBytesMax) {
    Dropped(Drop::kMalformed);
    return false;
  }
  // Agents reject a whole exchange for one such entry, and some crash on it. Left out here, it
  // reaches nobody through us, and poisons nothing.
  if (alive.vsn.size() != Versions{}.size() || !IsCompatible(ToVersions(alive.vsn))) {
    Dropped(Drop::kVersions);
    return false;
  }
  return true;
}

bool Memberlist::IsPlausible(uint32_t incarnation, const Node* known) {
  const uint64_t highest =
      known == nullptr ? kFirstIncarnationMax : uint64_t{known->incarnation} + kIncarnationJumpMax;
  // A name heard of with a clock-made incarnation may come back with a counted one and the reverse.
  if (incarnation <= std::max<uint64_t>(highest, known != nullptr && !known->IsMember()
                                                     ? kFirstIncarnationMax
                                                     : 0)) {
    return true;
  }
  Dropped(Drop::kAbsurd);
  return false;
}

void Memberlist::HandleAlive(std::string_view body) {
  Alive alive;
  if (!Decode(body, &alive)) return Dropped(Drop::kMalformed);
  if (IsAcceptable(alive)) OnAlive(alive);
}

void Memberlist::HandleSuspect(std::string_view body) {
  Suspect suspect;
  if (!Decode(body, &suspect) || !IsValidName(suspect.node) || !IsValidName(suspect.from)) {
    return Dropped(Drop::kMalformed);
  }
  OnSuspect(suspect);
}

void Memberlist::HandleDead(std::string_view body) {
  Dead dead;
  if (!Decode(body, &dead) || !IsValidName(dead.node) || !IsValidName(dead.from)) {
    return Dropped(Drop::kMalformed);
  }
  OnDead(dead);
}

// ---- Alive.

bool Memberlist::MakeRoom() {
  if (nodes_.size() < options_.members_max) return true;
  size_t oldest = nodes_.size();
  for (size_t i = 0; i < nodes_.size(); ++i) {
    if (nodes_[i]->IsMember() || nodes_[i] == self_) continue;
    if (oldest == nodes_.size() || nodes_[i]->changed < nodes_[oldest]->changed) oldest = i;
  }
  if (oldest == nodes_.size()) {
    Dropped(Drop::kTableFull);
    return false;
  }
  Forget(oldest);
  return true;
}

void Memberlist::Forget(size_t index) {
  MOKV_CHECK(nodes_[index] != self_);
  DropSuspicion(nodes_[index]->name);
  by_name_.erase(nodes_[index]->name);
  std::swap(nodes_[index], nodes_.back());
  nodes_.pop_back();
}

Node* Memberlist::AddNode(const Alive& alive) {
  if (!MakeRoom()) return nullptr;
  auto node = std::make_shared<Node>(
      Node{.name = std::string(alive.node), .at = {std::string(alive.addr), alive.port}});
  by_name_.emplace(node->name, node);
  nodes_.push_back(node);
  // At a random place of the probe order, so that a new node is not always probed last.
  std::swap(nodes_.back(), nodes_[random_.Next() % nodes_.size()]);
  return node.get();
}

void Memberlist::OnAlive(const Alive& alive) {
  const auto found = by_name_.find(std::string(alive.node));
  Node* node = found == by_name_.end() ? nullptr : found->second.get();
  const bool is_self = node == self_.get();
  if (is_self && leaving_) return;
  const Endpoint at{std::string(alive.addr), alive.port};
  const Duration gone_for =
      node == nullptr || node->IsMember() ? Duration(0) : now_ - node->changed;
  // Agents have forgotten it by now, and so what it says of itself may start anew. The very words
  // that we had from it are more likely somebody's memory of it than a new life.
  bool is_new =
      node == nullptr || (gone_for > timing_.gossip_to_the_dead &&
                          (alive.incarnation != node->incarnation || alive.meta != node->meta));
  const bool is_forgotten = gone_for > timing_.gossip_to_the_dead;
  if (node != nullptr && node->at != at) {
    // Whoever failed and speaks again, later than what was heard of it, has moved. An older word is
    // somebody's memory of where it was.
    const bool has_moved = node->state == NodeState::kDead && alive.incarnation > node->incarnation;
    const bool reclaimable =
        is_forgotten || has_moved || node->state == NodeState::kLeft ||
        (timing_.dead_node_reclaim > Duration::zero() && gone_for > timing_.dead_node_reclaim);
    if (is_self || !reclaimable) {
      ++stats_.name_conflicts;
      return delegate_.OnNameConflict(*node, at);
    }
    is_new = true;
  }
  if (!is_new &&
      (is_self ? alive.incarnation < node->incarnation : alive.incarnation <= node->incarnation)) {
    return;
  }
  if (alive.incarnation == 0 || !IsPlausible(alive.incarnation, node)) return;
  const Versions versions = ToVersions(alive.vsn);
  if (is_self) {
    // Our own words coming back, or somebody else's in our name.
    if (alive.incarnation == self_->incarnation && alive.meta == self_->meta &&
        versions == self_->versions) {
      return;
    }
    return Refute(alive.incarnation);
  }
  if (node == nullptr) node = AddNode(alive);
  if (node == nullptr) return;

  DropSuspicion(node->name);
  Broadcast(Encode(alive), node->name);
  const bool joined = !node->IsMember();
  const bool updated = node->meta != alive.meta;
  node->at = at;
  node->meta = alive.meta;
  node->versions = versions;
  node->incarnation = alive.incarnation;
  if (node->state != NodeState::kAlive) SetState(*node, NodeState::kAlive);
  if (joined) {
    delegate_.OnNodeJoin(by_name_.at(node->name));
  } else if (updated) {
    delegate_.OnNodeUpdate(*node);
  }
}

void Memberlist::SetMeta(MonotonicTime now, std::string meta) {
  now_ = now;
  if (leaving_ || meta == self_->meta) return;
  self_->meta = std::move(meta);
  if (self_->incarnation < std::numeric_limits<uint32_t>::max()) ++self_->incarnation;
  AnnounceSelf();
  delegate_.OnNodeUpdate(*self_);
}

void Memberlist::AnnounceSelf() {
  Broadcast(Encode(Alive{.incarnation = self_->incarnation,
                         .node = self_->name,
                         .addr = self_->at.addr,
                         .port = self_->at.port,
                         .meta = self_->meta,
                         .vsn = AsText(self_->versions)}),
            self_->name);
}

void Memberlist::Refute(uint32_t accused) {
  const uint32_t highest = std::max(self_->incarnation, accused);
  // The number space is 2^32 and its end cannot be refuted; IsPlausible keeps forgers from it.
  if (highest == std::numeric_limits<uint32_t>::max()) return;
  self_->incarnation = highest + 1;
  ++stats_.refutations;
  AddAwareness(1);
  AnnounceSelf();
}

// ---- Suspect and dead.

void Memberlist::SetState(Node& node, NodeState state) {
  node.state = state;
  node.changed = now_;
}

void Memberlist::OnSuspect(const Suspect& suspect) {
  const auto found = by_name_.find(std::string(suspect.node));
  if (found == by_name_.end()) return;
  Node& node = *found->second;
  if (suspect.incarnation < node.incarnation || !IsPlausible(suspect.incarnation, &node)) return;
  if (const auto suspicion = suspicions_.find(suspect.node); suspicion != suspicions_.end()) {
    if (!suspicion->second.Confirm(suspect.from)) return;
    next_suspicion_.reset();
    Broadcast(Encode(suspect), node.name);
    return;
  }
  if (node.state != NodeState::kAlive) return;
  if (&node == self_.get()) {
    if (!leaving_) Refute(suspect.incarnation);
    return;
  }
  Broadcast(Encode(suspect), node.name);
  ++stats_.suspicions;
  node.incarnation = suspect.incarnation;
  SetState(node, NodeState::kSuspect);
  // Agents count the entries of their table. Ours keeps the dead for longer, and those will neither
  // confirm anything nor have to be told.
  const auto members = static_cast<size_t>(std::count_if(
      nodes_.begin(), nodes_.end(), [](const auto& entry) { return entry->IsMember(); }));
  suspicions_.emplace(node.name, Suspicion(suspect.from, members, timing_, now_));
  next_suspicion_.reset();
}

void Memberlist::OnDead(const Dead& dead) {
  const auto found = by_name_.find(std::string(dead.node));
  if (found == by_name_.end()) return;
  Node& node = *found->second;
  if (dead.incarnation < node.incarnation || !IsPlausible(dead.incarnation, &node)) return;
  if (!node.IsMember()) return;
  if (&node == self_.get() && !leaving_) return Refute(dead.incarnation);
  DropSuspicion(node.name);
  const BroadcastQueue::Id id = Broadcast(Encode(dead), node.name);
  if (&node == self_.get()) leave_broadcast_ = id;
  node.incarnation = dead.incarnation;
  SetState(node, dead.from == dead.node ? NodeState::kLeft : NodeState::kDead);
  delegate_.OnNodeLeave(node);
}

void Memberlist::DropSuspicion(std::string_view name) {
  const auto found = suspicions_.find(name);
  if (found == suspicions_.end()) return;
  suspicions_.erase(found);
  next_suspicion_.reset();
}

MonotonicTime Memberlist::NextSuspicion() const {
  if (!next_suspicion_.has_value()) {
    next_suspicion_ = MonotonicTime::Max();
    for (const auto& [name, suspicion] : suspicions_) {
      next_suspicion_ = std::min({*next_suspicion_, suspicion.deadline(), suspicion.next_check()});
    }
  }
  return *next_suspicion_;
}

void Memberlist::ExpireSuspicions() {
  if (now_ < NextSuspicion()) return;
  next_suspicion_.reset();
  std::vector<std::string> expired;
  for (auto& [name, suspicion] : suspicions_) {
    if (now_ >= suspicion.deadline()) {
      expired.push_back(name);
    } else if (now_ >= suspicion.next_check()) {
      suspicion.Checked(now_);
      if (const Node* node = Find(name)) CheckSuspect(*node);
    }
  }
  for (const std::string& name : expired) {
    DropSuspicion(name);
    const Node* node = Find(name);
    if (node == nullptr || node->state != NodeState::kSuspect) continue;
    ++stats_.deaths;
    OnDead({.incarnation = node->incarnation, .node = name, .from = self_->name});
  }
}

void Memberlist::Leave(MonotonicTime now) {
  now_ = now;
  if (leaving_) return;
  leaving_ = true;
  OnDead({.incarnation = self_->incarnation, .node = self_->name, .from = self_->name});
}

bool Memberlist::leave_announced() const {
  return leaving_ && !broadcasts_.Contains(leave_broadcast_);
}

}  // namespace mokv::serf
