#include "serf/node_table.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "base/check.h"

namespace mokv::serf {
namespace {

// Smaller tables are sampled exactly, by shuffling.
constexpr size_t kShuffleNodesMax = 64;

Versions ToVersions(std::string_view vsn) {
  Versions versions{};
  MOKV_CHECK_EQ(vsn.size(), versions.size());
  std::memcpy(versions.data(), vsn.data(), versions.size());
  return versions;
}

// Views into `node`.
Alive AliveOf(const ListedNode& node) {
  const auto* versions = reinterpret_cast<const char*>(node.versions.data());
  return {.incarnation = node.incarnation,
          .node = node.name,
          .addr = node.at.addr,
          .port = node.at.port,
          .meta = node.meta,
          .vsn = {versions, node.versions.size()}};
}

bool IsCompatible(const Versions& versions) {
  const auto speaks = [](uint8_t spoken, uint8_t min, uint8_t max) {
    return min != 0 && min <= spoken && spoken <= max;
  };
  const Versions& ours = kOurVersions;
  return speaks(versions[kProtocolCur], ours[kProtocolMin], ours[kProtocolMax]) &&
         speaks(versions[kDelegateCur], ours[kDelegateMin], ours[kDelegateMax]) &&
         speaks(ours[kProtocolCur], versions[kProtocolMin], versions[kProtocolMax]) &&
         speaks(ours[kDelegateCur], versions[kDelegateMin], versions[kDelegateMax]);
}

}  // namespace

NodeTable::NodeTable(Environment& env, BroadcastQueue& queue) : env_(env), queue_(queue) {
  MOKV_CHECK(IsValidName(env.options.name));
  MOKV_CHECK(IsValidAddress(env.options.advertise.addr));
  MOKV_CHECK_GE(env.options.members_max, size_t{1});
}

void NodeTable::Start(std::string meta) {
  MOKV_CHECK(self_ == nullptr);
  self_ = std::make_shared<ListedNode>(ListedNode{.name = env_.options.name,
                                                  .at = env_.options.advertise,
                                                  .meta = std::move(meta),
                                                  .versions = kOurVersions,
                                                  .incarnation = 1,
                                                  .state = NodeState::kAlive,
                                                  .changed = env_.now});
  nodes_.push_back(self_);
  by_name_.emplace(self_->name, self_);
  news_.push_back({NodeNews::Kind::kJoined, self_, {}});
  AnnounceSelf();
}

// ---- What nodes say.

void NodeTable::OnAlive(std::string_view body) {
  Alive alive;
  if (!Decode(body, &alive)) return env_.Dropped(Drop::kMalformed);
  if (IsAcceptable(alive)) TakeAlive(alive);
}

void NodeTable::OnSuspect(std::string_view body) {
  serf::Suspect suspect;
  if (!Decode(body, &suspect) || !IsValidName(suspect.node) || !IsValidName(suspect.from)) {
    return env_.Dropped(Drop::kMalformed);
  }
  TakeSuspect(suspect);
}

void NodeTable::OnDead(std::string_view body) {
  Dead dead;
  if (!Decode(body, &dead) || !IsValidName(dead.node) || !IsValidName(dead.from)) {
    return env_.Dropped(Drop::kMalformed);
  }
  TakeDead(dead);
}

void NodeTable::Merge(const NodeRecord& record) {
  Alive alive = record.alive;
  if (alive.port == 0) alive.port = env_.options.advertise.port;
  if (!IsAcceptable(alive)) return;
  switch (record.state) {
    case NodeState::kAlive:
      return TakeAlive(alive);
    case NodeState::kLeft:
      return TakeDead({.incarnation = alive.incarnation, .node = alive.node, .from = alive.node});
    case NodeState::kSuspect:
    case NodeState::kDead:
      // Nobody is taken for dead on hearsay: there is a chance to refute first.
      return TakeSuspect(
          {.incarnation = alive.incarnation, .node = alive.node, .from = self_->name});
  }
}

bool NodeTable::IsAcceptable(const Alive& alive) {
  if (!IsValidName(alive.node) || !IsValidAddress(alive.addr) || alive.port == 0 ||
      alive.meta.size() > kMetaBytesMax) {
    env_.Dropped(Drop::kMalformed);
    return false;
  }
  // Agents reject a whole list for one such entry, and some crash on it. It is left out here, so it
  // reaches nobody through this node.
  if (alive.vsn.size() != Versions{}.size() || !IsCompatible(ToVersions(alive.vsn))) {
    env_.Dropped(Drop::kVersions);
    return false;
  }
  return true;
}

bool NodeTable::IsPlausible(uint32_t incarnation, const ListedNode* known) {
  const uint64_t highest =
      known == nullptr ? kFirstIncarnationMax : uint64_t{known->incarnation} + kIncarnationJumpMax;
  // A name may come back with a counted incarnation after one made from a clock, and the reverse.
  if (incarnation <= std::max<uint64_t>(highest, known != nullptr && !known->IsMember()
                                                     ? kFirstIncarnationMax
                                                     : 0)) {
    return true;
  }
  env_.Dropped(Drop::kAbsurd);
  return false;
}

// ---- Alive.

void NodeTable::TakeAlive(const Alive& alive) {
  const Timing& timing = env_.options.timing;
  const auto found = by_name_.find(std::string(alive.node));
  NodePtr node = found == by_name_.end() ? nullptr : found->second;
  const bool is_self = node == self_;
  if (is_self && leaving_) return;
  const Endpoint at{std::string(alive.addr), alive.port};
  const Duration gone_for =
      node == nullptr || node->IsMember() ? Duration(0) : env_.now - node->changed;
  // Agents have forgotten it by now, so what it says of itself may start anew. The very words that
  // were heard from it before are more likely somebody's memory of it than a new life.
  bool is_new =
      node == nullptr || (gone_for > timing.gossip_to_the_dead &&
                          (alive.incarnation != node->incarnation || alive.meta != node->meta));
  const bool is_forgotten = gone_for > timing.gossip_to_the_dead;
  if (node != nullptr && node->at != at) {
    // A node that failed, and now says something newer than what was heard of it, has moved. An
    // older word is somebody's memory of where it was.
    const bool has_moved = node->state == NodeState::kDead && alive.incarnation > node->incarnation;
    const bool reclaimable = is_forgotten || has_moved || node->state == NodeState::kLeft;
    if (is_self || !reclaimable) {
      ++env_.stats.name_conflicts;
      news_.push_back({NodeNews::Kind::kNameTaken, node, at});
      return;
    }
    is_new = true;
  }
  if (!is_new &&
      (is_self ? alive.incarnation < node->incarnation : alive.incarnation <= node->incarnation)) {
    return;
  }
  if (alive.incarnation == 0 || !IsPlausible(alive.incarnation, node.get())) return;
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
  queue_.Push(Encode(alive), node->name);
  const bool joined = !node->IsMember();
  const bool updated = node->meta != alive.meta;
  node->at = at;
  node->meta = alive.meta;
  node->versions = versions;
  node->incarnation = alive.incarnation;
  if (node->state != NodeState::kAlive) SetState(*node, NodeState::kAlive);
  if (joined || updated) {
    news_.push_back({joined ? NodeNews::Kind::kJoined : NodeNews::Kind::kUpdated, node, {}});
  }
}

NodeTable::NodePtr NodeTable::AddNode(const Alive& alive) {
  if (!MakeRoom()) return nullptr;
  auto node = std::make_shared<ListedNode>(
      ListedNode{.name = std::string(alive.node), .at = {std::string(alive.addr), alive.port}});
  by_name_.emplace(node->name, node);
  nodes_.push_back(node);
  // At a random place of the probe order, so that a new node is not always probed last.
  std::swap(nodes_.back(), nodes_[env_.random.Next() % nodes_.size()]);
  return node;
}

bool NodeTable::MakeRoom() {
  if (nodes_.size() < env_.options.members_max) return true;
  size_t oldest = nodes_.size();
  for (size_t i = 0; i < nodes_.size(); ++i) {
    if (nodes_[i]->IsMember() || nodes_[i] == self_) continue;
    if (oldest == nodes_.size() || nodes_[i]->changed < nodes_[oldest]->changed) oldest = i;
  }
  if (oldest == nodes_.size()) {
    env_.Dropped(Drop::kTableFull);
    return false;
  }
  Forget(oldest);
  return true;
}

void NodeTable::Forget(size_t index) {
  MOKV_CHECK(nodes_[index] != self_);
  DropSuspicion(nodes_[index]->name);
  by_name_.erase(nodes_[index]->name);
  std::swap(nodes_[index], nodes_.back());
  nodes_.pop_back();
}

void NodeTable::SetState(ListedNode& node, NodeState state) {
  node.state = state;
  node.changed = env_.now;
}

// ---- This node.

void NodeTable::SetMeta(std::string meta) {
  if (leaving_ || meta == self_->meta) return;
  self_->meta = std::move(meta);
  if (self_->incarnation < std::numeric_limits<uint32_t>::max()) ++self_->incarnation;
  AnnounceSelf();
  news_.push_back({NodeNews::Kind::kUpdated, self_, {}});
}

void NodeTable::AnnounceSelf() { queue_.Push(Encode(AliveOf(*self_)), self_->name); }

void NodeTable::Refute(uint32_t accused) {
  const uint32_t highest = std::max(self_->incarnation, accused);
  // There are 2^32 numbers, and the last one cannot be refuted; IsPlausible keeps forgers from it.
  if (highest == std::numeric_limits<uint32_t>::max()) return;
  self_->incarnation = highest + 1;
  ++env_.stats.refutations;
  AddAwareness(1);
  AnnounceSelf();
}

void NodeTable::AddAwareness(int delta) {
  awareness_ = std::clamp(awareness_ + delta, 0, env_.options.timing.awareness_max - 1);
}

void NodeTable::Leave() {
  if (leaving_) return;
  leaving_ = true;
  TakeDead({.incarnation = self_->incarnation, .node = self_->name, .from = self_->name});
}

// ---- Suspect and dead.

void NodeTable::Suspect(const ListedNode& node) {
  TakeSuspect({.incarnation = node.incarnation, .node = node.name, .from = self_->name});
}

void NodeTable::TakeSuspect(const serf::Suspect& suspect) {
  const auto found = by_name_.find(std::string(suspect.node));
  if (found == by_name_.end()) return;
  ListedNode& node = *found->second;
  if (suspect.incarnation < node.incarnation || !IsPlausible(suspect.incarnation, &node)) return;
  if (const auto suspicion = suspicions_.find(suspect.node); suspicion != suspicions_.end()) {
    if (!suspicion->second.Confirm(suspect.from)) return;
    next_suspicion_.reset();
    queue_.Push(Encode(suspect), node.name);
    return;
  }
  if (node.state != NodeState::kAlive) return;
  if (IsSelf(node)) {
    if (!leaving_) Refute(suspect.incarnation);
    return;
  }
  queue_.Push(Encode(suspect), node.name);
  ++env_.stats.suspicions;
  node.incarnation = suspect.incarnation;
  SetState(node, NodeState::kSuspect);
  // Agents count all entries of their table. This table keeps the dead for longer; they confirm
  // nothing and need not be told, so only members are counted.
  const auto members = static_cast<size_t>(std::count_if(
      nodes_.begin(), nodes_.end(), [](const auto& entry) { return entry->IsMember(); }));
  suspicions_.emplace(node.name, Suspicion(suspect.from, members, env_.options.timing, env_.now));
  next_suspicion_.reset();
}

void NodeTable::TakeDead(const Dead& dead) {
  const auto found = by_name_.find(std::string(dead.node));
  if (found == by_name_.end()) return;
  ListedNode& node = *found->second;
  if (dead.incarnation < node.incarnation || !IsPlausible(dead.incarnation, &node)) return;
  if (!node.IsMember()) return;
  if (IsSelf(node) && !leaving_) return Refute(dead.incarnation);
  DropSuspicion(node.name);
  const BroadcastQueue::Id id = queue_.Push(Encode(dead), node.name);
  if (IsSelf(node)) leave_broadcast_ = id;
  node.incarnation = dead.incarnation;
  SetState(node, dead.from == dead.node ? NodeState::kLeft : NodeState::kDead);
  news_.push_back({NodeNews::Kind::kGone, found->second, {}});
}

void NodeTable::DropSuspicion(std::string_view name) {
  const auto found = suspicions_.find(name);
  if (found == suspicions_.end()) return;
  suspicions_.erase(found);
  next_suspicion_.reset();
}

MonotonicTime NodeTable::NextSuspicion() const {
  if (!next_suspicion_.has_value()) {
    next_suspicion_ = MonotonicTime::Max();
    for (const auto& [name, suspicion] : suspicions_) {
      next_suspicion_ = std::min({*next_suspicion_, suspicion.deadline(), suspicion.next_check()});
    }
  }
  return *next_suspicion_;
}

std::vector<const ListedNode*> NodeTable::ExpireSuspicions() {
  std::vector<const ListedNode*> to_ask;
  if (env_.now < NextSuspicion()) return to_ask;
  next_suspicion_.reset();
  std::vector<std::string> expired;
  for (auto& [name, suspicion] : suspicions_) {
    if (env_.now >= suspicion.deadline()) {
      expired.push_back(name);
    } else if (env_.now >= suspicion.next_check()) {
      suspicion.Checked(env_.now);
      if (const ListedNode* node = Find(name)) to_ask.push_back(node);
    }
  }
  for (const std::string& name : expired) {
    DropSuspicion(name);
    const ListedNode* node = Find(name);
    if (node == nullptr || node->state != NodeState::kSuspect) continue;
    ++env_.stats.deaths;
    TakeDead({.incarnation = node->incarnation, .node = name, .from = self_->name});
  }
  return to_ask;
}

// ---- What is known.

const ListedNode* NodeTable::Find(std::string_view name) const {
  const auto found = by_name_.find(std::string(name));
  return found == by_name_.end() ? nullptr : found->second.get();
}

std::vector<NodeRecord> NodeTable::Records() const {
  std::vector<NodeRecord> records;
  records.reserve(nodes_.size());
  for (const auto& node : nodes_) records.push_back({AliveOf(*node), node->state});
  return records;
}

std::vector<const ListedNode*> NodeTable::Random(
    size_t count, const std::function<bool(const ListedNode&)>& wanted) {
  std::vector<const ListedNode*> chosen;
  if (nodes_.size() <= kShuffleNodesMax) {
    for (const auto& node : nodes_) {
      if (wanted(*node)) chosen.push_back(node.get());
    }
    for (size_t i = 0; i < chosen.size() && i < count; ++i) {
      std::swap(chosen[i], chosen[i + env_.random.Next() % (chosen.size() - i)]);
    }
    if (chosen.size() > count) chosen.resize(count);
    return chosen;
  }
  for (size_t tries = 0; tries < 3 * nodes_.size() && chosen.size() < count; ++tries) {
    const ListedNode* node = nodes_[env_.random.Next() % nodes_.size()].get();
    if (std::find(chosen.begin(), chosen.end(), node) == chosen.end() && wanted(*node)) {
      chosen.push_back(node);
    }
  }
  return chosen;
}

std::shared_ptr<const ListedNode> NodeTable::NextToProbe() {
  for (size_t looked_at = 0; looked_at <= nodes_.size(); ++looked_at) {
    if (probe_index_ >= nodes_.size()) {
      probe_index_ = 0;
      ForgetTheGone();
      // With a new order, the time until somebody probes a given node stays evenly distributed.
      Shuffle();
    }
    const NodePtr& node = nodes_[probe_index_++];
    if (node != self_ && node->IsMember()) return node;
  }
  return nullptr;
}

// The dead stay for as long as Serf lists them: after a partition each must hear of its own death
// from our list, to refute it.
void NodeTable::ForgetTheGone() {
  const Timing& timing = env_.options.timing;
  for (size_t i = 0; i < nodes_.size();) {
    const ListedNode& node = *nodes_[i];
    const Duration kept =
        node.state == NodeState::kLeft ? timing.gossip_to_the_dead : timing.failed_timeout;
    if (!node.IsMember() && !IsSelf(node) && env_.now - node.changed > kept) {
      Forget(i);
    } else {
      ++i;
    }
  }
}

void NodeTable::Shuffle() {
  for (size_t i = nodes_.size(); i > 1; --i) {
    std::swap(nodes_[i - 1], nodes_[env_.random.Next() % i]);
  }
}

void NodeTable::SeedForTest(const std::vector<const ListedNode*>& nodes) {
  for (const ListedNode* node : nodes) {
    if (node->name == self_->name) continue;
    auto copy = std::make_shared<ListedNode>(*node);
    copy->changed = env_.now;
    nodes_.push_back(copy);
    by_name_.emplace(copy->name, copy);
    news_.push_back({NodeNews::Kind::kJoined, copy, {}});
  }
  Shuffle();
  // Nothing to announce: everybody knows everybody.
  queue_ = BroadcastQueue();
}

}  // namespace mokv::serf
