// ReplicaNode: its disk, its connections and its turns.
#include "sim/replica_node.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/status.h"
#include "snapshot/directory.h"

namespace mokv::sim {

using replica::ConnectionId;
using replica::testing::NodeLife;
using std::chrono::milliseconds;

namespace {

constexpr const char* kCluster = "simulated";
constexpr Duration kReadBackMax = milliseconds(3);
// A question to somebody who is no member yet, and its answer.
constexpr Duration kIdentifyMax = milliseconds(5);
// A write of a segment has fewer steps.
constexpr uint64_t kStepsOfAWrite = 8;

uint64_t MemoryOfNothing() {
  static const uint64_t kBytes = [] {
    machine::Machine machine;
    machine.Publish();
    return machine.memory_bytes();
  }();
  return kBytes;
}

}  // namespace

class ReplicaNode::PlaceClock final : public Clock {
 public:
  PlaceClock(const Host& host, Place place) : host_(host), place_(place) {}
  MonotonicTime Now() const override { return host_.Now(place_); }

 private:
  const Host& host_;
  const Place place_;
};

// A node that has died in the middle of its turn sends nothing more.
class ReplicaNode::NodePeers final : public replica::Peers {
 public:
  explicit NodePeers(ReplicaNode& node) : node_(node) {}

  void Send(const std::vector<raft::Message>& messages) override {
    Wires& wires = node_.shared_.wires;
    if (node_.up()) node_.CheckSilence();
    for (const raft::Message& message : messages) {
      if (!node_.up()) return;
      Host& host = node_.node_.host;
      const Place to = host.PlaceOf(message.to);
      if (to == kPlacesMax) continue;
      const ConnectionId connection = wires.Connect(host, node_.place_, to, node_.id(), message.to);
      if (connection == ConnectionId()) continue;
      Packet packet{.message = message};
      wires.Number(node_.place_, connection, packet);
      host.Send(node_.place_, std::move(packet));
    }
    const bool handed_over = std::ranges::any_of(messages, [](const raft::Message& message) {
      return std::holds_alternative<raft::TimeoutNow>(message.body);
    });
    node_.node_.host.Interrupt(node_.place_, handed_over);
  }
  void SetMembership(std::shared_ptr<const raft::Membership>) override {}
  ConnectionId SendForward(raft::NodeId to, const replica::Forward& forward) override {
    const Place place = node_.node_.host.PlaceOf(to);
    if (!node_.up() || place == kPlacesMax) return {};
    const ConnectionId connection =
        node_.shared_.wires.Connect(node_.node_.host, node_.place_, place, node_.id(), to);
    if (connection == ConnectionId()) return {};
    ++node_.node_.coverage.forwards;
    node_.Pass(connection, forward);
    return connection;
  }
  void Answer(ConnectionId connection, const replica::ForwardAnswer& answer) override {
    if (!node_.up() || !node_.shared_.wires.IsOpen(node_.place_, connection)) return;
    node_.Pass(connection, answer);
  }
  void SendDigest(raft::NodeId to, const replica::StateDigest& digest) override {
    const Place place = node_.node_.host.PlaceOf(to);
    if (!node_.up()) return;
    node_.fencing_.OnDigest(node_.id(), digest, *node_.core()->membership(), node_.id());
    if (place == kPlacesMax) return;
    const ConnectionId connection =
        node_.shared_.wires.Connect(node_.node_.host, node_.place_, place, node_.id(), to);
    if (connection != ConnectionId()) node_.Pass(connection, digest);
  }
  bool SendSnapshotRead(raft::NodeId to, const replica::SnapshotRead& read) override {
    const Place place = node_.node_.host.PlaceOf(to);
    if (!node_.up() || place == kPlacesMax) return false;
    const ConnectionId connection =
        node_.shared_.wires.Connect(node_.node_.host, node_.place_, place, node_.id(), to);
    if (connection == ConnectionId()) return false;
    node_.Pass(connection, read);
    return true;
  }
  void AnswerSnapshotRead(ConnectionId connection, replica::SnapshotChunk chunk) override {
    if (!node_.up() || !node_.shared_.wires.IsOpen(node_.place_, connection)) return;
    node_.Pass(connection, std::move(chunk));
  }
  void Identify(const std::string& rpc_address, IdentifyDone done) override {
    if (!node_.up()) return;
    const auto shared_done = std::make_shared<IdentifyDone>(std::move(done));
    const Duration delay = node_.dice_.Between(Duration(0), kIdentifyMax);
    node_.node_.host.After(node_.place_, delay, [this, rpc_address, shared_done] {
      for (const ReplicaNode* other : node_.shared_.nodes) {
        if (other->member_.rpc_address != rpc_address || !other->up()) continue;
        if (!node_.node_.host.CanConnect(node_.place_, other->place_)) continue;
        return (*shared_done)(
            replica::PeerIdentity{.name = other->member_.name,
                                  .instance_id = other->member_.instance_id,
                                  .cluster_id = other->life_->replica->cluster_id()});
      }
      (*shared_done)(absl::UnavailableError("nobody is at " + rpc_address));
    });
  }

 private:
  ReplicaNode& node_;
};

ReplicaNode::ReplicaNode(ReplicaShared& shared, Place place, const raft::Member& member,
                         uint64_t seed, const raft::Membership* initial)
    : shared_(shared),
      node_(shared.node),
      place_(place),
      member_(member),
      dice_(seed, /*stream=*/100 + place),
      clock_(std::make_unique<PlaceClock>(node_.host, place)),
      peers_(std::make_unique<NodePeers>(*this)) {
  UseDisk(std::make_unique<CrashFileSystem>());
  shared_.nodes.push_back(this);
  if (initial == nullptr) return;
  begins_cluster_ = initial->voters().size() == 1;
  if (!begins_cluster_) initial_ = *initial;
}

ReplicaNode::~ReplicaNode() = default;

// Committed from the start, whether the disk says so or not.
void ReplicaNode::WriteFirstLog(const raft::Membership& initial) {
  ManualExecutor executor;
  auto log = wal::Log::Open(*files_, *clock_, executor, executor,
                            {.directory = "log", .segment_bytes = node_.settings.segment_bytes},
                            {.on_durable = [](const wal::Durable&) {},
                             .on_failure = [](const absl::Status&) {},
                             .on_sync = nullptr},
                            [](const wal::EntryView&) { return absl::OkStatus(); });
  MOKV_CHECK(log.ok());
  (*log)->Append(wal::Ticket(1),
                 {.entries = {raft::InitialEntry(initial)},
                  .hard_state = HardState{.term = Term(1), .commit = Index(dice_.Below(2))}});
  executor.RunAll();
}

const raft::Core* ReplicaNode::core() const {
  return life_ == nullptr ? nullptr : life_->replica->core();
}

Index ReplicaNode::applied() const {
  return life_ == nullptr ? Index() : life_->replica->report().applied_index;
}

std::optional<uint64_t> ReplicaNode::ReadsAtOnceFrom() const {
  if (life_ == nullptr || !life_->replica->CanReadNow({})) return std::nullopt;
  return life_->machine.revision().value();
}

std::string ReplicaNode::Owes() const {
  if (life_ == nullptr) return {};
  const replica::Counters counters = life_->replica->report().counters;
  if (counters.proposals_pending + counters.forwarded_pending + counters.reads_waiting == 0) {
    return {};
  }
  return fmt::format("{} writes, {} forwarded, {} reads", counters.proposals_pending,
                     counters.forwarded_pending, counters.reads_waiting);
}

// --- the machine

void ReplicaNode::BeginLife() {
  checked_ = sync_failed_ = log_failed_ = ended_ = stopping_ = idle_ = told_fenced_ = passes_on_ =
      false;
  ticked_.reset();
  tick_at_ = node_.host.Now(place_);
  fencing_ = Fencing();
  ticks_fenced_ = 0;
  owed_writes_ = 0;
  known_loss_.reset();
  asked_votes_.clear();
}

replica::testing::LifeOptions ReplicaNode::OptionsOfLife() {
  replica::testing::LifeOptions options{.name = member_.name, .instance_id = member_.instance_id};
  if (begins_cluster_) options.new_cluster_id = kCluster;
  options.raft = node_.settings.options;
  options.segment_bytes = node_.settings.segment_bytes;
  options.snapshot_log_bytes = node_.settings.snapshot_log_bytes;
  options.trailing_entries = node_.settings.trailing_entries;
  options.comparison_interval = node_.settings.comparison_interval;
  const uint64_t spare = node_.settings.memory_spare_bytes;
  options.memory_bytes_max = spare == 0 ? 0 : MemoryOfNothing() + spare;
  // Not once more where a start has failed: it has done without the newest one already.
  const bool may_rot = node_.settings.rot_one_in > 0 && !failed_start_;
  if (may_rot && dice_.OneIn(node_.settings.rot_one_in)) FlipBitOfNewest();
  options.seed = dice_.Next();
  options.observer = this;
  options.on_durable = [this](const wal::Durable& durable) { OnDurable(durable); };
  return options;
}

void ReplicaNode::Start() {
  MOKV_CHECK(life_ == nullptr && dead_ == nullptr);
  if (fenced_disk_) return;
  // Not before: until it has its place, it has no clock.
  if (initial_.has_value()) WriteFirstLog(*std::exchange(initial_, std::nullopt));
  ++node_.coverage.starts;
  BeginLife();
  life_ = std::make_unique<NodeLife>(*files_, *clock_, *peers_, OptionsOfLife());
  failed_start_ = !life_->started.ok();
  if (const absl::Status started = life_->started; !started.ok()) {
    // An old log opens on a full disk, too.
    const bool no_room = absl::IsResourceExhausted(started) && full_ > 0 &&
                         disks_.now.entries.empty() && disks_.now.hard_state.term == Term();
    if (!no_room && !sync_failed_) {
      shared_.told.Fail("start: {}: {}", id(), started.ToString());
    }
    life_.reset();
    return;
  }
  BeginChecks();
  CheckSnapshots();
  node_.timeline.Note(place_, "starts: {} entries, term {}, applied {}", disks_.now.entries.size(),
                      disks_.now.hard_state.term, applied());
}

void ReplicaNode::Crash(uint64_t kept_permille) {
  MOKV_CHECK(life_ != nullptr);
  if (core() != nullptr) node_.coverage.AddStats(core()->stats());
  ManualExecutor& log_thread = life_->log_thread;
  size_t entries = 0;
  for (const raft::PersistRequest& write : writes_) entries += write.entries.size();
  // The process alone dies, or the machine: perhaps in the middle of what the disk does.
  const bool machine = (kept_permille > 0 || !dice_.OneIn(4)) && !idle_;
  const bool near_end = node_.settings.tears_near_end;
  bool torn = false;
  CloseLog();
  if (kept_permille > 0 && (stalls_ == 0 || hangs_ > 0) && log_thread.pending() > 0) {
    torn = true;
    ++(hangs_ > 0 ? node_.coverage.died_in_sync : node_.coverage.torn_writes);
    // Where it is torn near its end, all of it has been given to the disk, and was not synced.
    files_->StopAfter(near_end ? 1 + dice_.Below(2) : dice_.Below(kStepsOfAWrite));
    log_thread.RunOne();
  }
  if (kept_permille > 0 && !torn) CrashInBackground();
  if (in_turn_) ++node_.coverage.died_in_turn;
  node_.coverage.writes_lost += writes_.size();
  node_.coverage.entries_lost += entries;
  node_.timeline.Note(place_, "crashes: {}{}{} entries were not synced",
                      in_turn_ ? "in the middle of a turn; " : "",
                      torn      ? "in the middle of a write; "
                      : machine ? ""
                                : "the process alone; ",
                      entries);
  life_->replica_thread.DropAll();
  log_thread.DropAll();
  life_->background.DropAll();
  if (machine) {
    SeededRandom random(dice_.Next());
    near_end ? files_->PowerLossNearEnd(random) : files_->PowerLoss(random);
  } else {
    files_->Restart();
  }
  shared_.wires.CloseAll(place_);
  writing_ = false;
  reading_ = false;
  // Its turn goes on, but nobody hears of that.
  if (in_turn_) dead_ = std::move(life_);
  life_.reset();
}

// The machine dies while a part of a snapshot is being written.
void ReplicaNode::CrashInBackground() {
  if (life_->background.pending() == 0) return;
  ++node_.coverage.torn_snapshots;
  files_->StopAfter(dice_.Below(kStepsOfAWrite));
  life_->background.RunOne();
}

// Where the log still goes back to the one before it, a start must be able to do without.
void ReplicaNode::FlipBitOfNewest() {
  const auto names = files_->List("snapshots");
  if (!names.ok()) return;
  std::vector<EntryId> found;
  for (const std::string& name : *names) {
    if (const auto last = snapshot::ParseFileName(name)) found.push_back(*last);
  }
  // A crash can leave files of before: nothing goes on from those.
  const Index needed = std::max(installed_, disks_.now.base.index);
  if (found.size() < 2 || found[found.size() - 2].index < needed) return;
  const std::string path = "snapshots/" + snapshot::FileName(found.back());
  files_->FlipBit(path, dice_.Below(8 * files_->Contents(path).size()));
  rotten_ = true;
  ++node_.coverage.rotten_snapshots;
}

void ReplicaNode::Wipe(const raft::Member& member) {
  MOKV_CHECK(life_ == nullptr);
  installed_ = Index();
  rotten_ = false;
  disks_.wiped[id()] = std::exchange(disks_.now, raft::testing::Disk());
  disks_.lost.reset();
  writes_.clear();
  copy_.reset();
  failed_start_ = fenced_disk_ = false;
  UseDisk(std::make_unique<CrashFileSystem>());
  begins_cluster_ = false;
  member_ = member;
}

void ReplicaNode::StallDisk(bool stalls) {
  stalls_ += stalls ? 1 : -1;
  if (stalls_ == 0) RunLog();
}

void ReplicaNode::FillDisk(std::optional<uint64_t> spare) {
  full_ += spare.has_value() ? 1 : -1;
  if (spare.has_value()) files_->SetCapacity(files_->used_bytes() + *spare);
  if (full_ == 0) files_->SetCapacity(std::nullopt);
}

// --- connections

void ReplicaNode::Pass(ConnectionId connection, const Passed& passed) {
  Packet packet{.passed = std::make_shared<const Passed>(passed)};
  packet.message.to = shared_.wires.PeerOf(place_, connection);
  packet.message.from = id();
  shared_.wires.Number(place_, connection, packet);
  node_.host.Send(place_, std::move(packet));
}

void ReplicaNode::Receive(const Packet& packet) {
  Wires& wires = shared_.wires;
  if (!wires.IsOpen(place_, packet.connection)) {
    // The connection is of a former life, or was given up here: the sender hears of it.
    const Place sender = node_.host.PlaceOf(packet.message.from);
    if (sender == kPlacesMax || !wires.IsOpen(sender, packet.connection)) return;
    ReplicaNode* other = shared_.nodes[sender];
    node_.host.After(sender, dice_.Between(Duration(0), node_.settings.break_max),
                     [other, connection = packet.connection] { other->Close(connection); });
    return;
  }
  for (const Packet& next : wires.Take(place_, packet)) {
    if (up()) Deliver(next);
  }
}

void ReplicaNode::Deliver(const Packet& packet) {
  replica::Replica& replica = *life_->replica;
  if (packet.passed == nullptr) return replica.OnMessage(packet.message);
  if (const auto* forward = std::get_if<replica::Forward>(packet.passed.get())) {
    node_.timeline.Note(place_, "is passed forward {} of {}", forward->id, packet.message.from);
    return replica.OnForward(packet.message.from, packet.connection, *forward);
  }
  if (const auto* read = std::get_if<replica::SnapshotRead>(packet.passed.get())) {
    return replica.OnSnapshotRead(packet.message.from, packet.connection, *read);
  }
  if (const auto* chunk = std::get_if<replica::SnapshotChunk>(packet.passed.get())) {
    return replica.OnSnapshotChunk(packet.message.from, *chunk);
  }
  if (const auto* digest = std::get_if<replica::StateDigest>(packet.passed.get())) {
    if (core() != nullptr && !life_->fenced) {
      fencing_.OnDigest(packet.message.from, *digest, *core()->membership(), id());
    }
    return replica.OnDigest(packet.message.from, *digest);
  }
  const auto& answer = std::get<replica::ForwardAnswer>(*packet.passed);
  node_.timeline.Note(place_, "has the answer to forward {} of {}", answer.id, packet.message.from);
  // What another node has made of a write is not of this one's state.
  passes_on_ = true;
  replica.OnForwardAnswer(packet.connection, answer);
  passes_on_ = false;
}

// Sooner or later nobody waits any more for what was not confirmed.
void ReplicaNode::OnLost(const Packet& packet) {
  if (!shared_.wires.IsOpen(place_, packet.connection)) return;
  node_.host.After(place_, dice_.Between(Duration(0), node_.settings.break_max),
                   [this, connection = packet.connection] { Close(connection); });
}

void ReplicaNode::ConnectionClosed(raft::NodeId peer) {
  for (const ConnectionId connection : shared_.wires.With(place_, peer)) Close(connection);
}

void ReplicaNode::Close(ConnectionId connection) {
  Wires& wires = shared_.wires;
  if (!wires.Close(place_, connection)) return;
  ++node_.coverage.connections_closed;
  const raft::NodeId peer = wires.PeerOf(place_, connection);
  const Place other = wires.OtherEnd(place_, connection);
  if (wires.IsOpen(other, connection)) {
    node_.host.After(other, dice_.Between(Duration(0), node_.settings.break_max),
                     [node = shared_.nodes[other], connection] { node->Close(connection); });
  }
  const bool last = wires.With(place_, peer).empty();
  node_.timeline.Note(place_, "has {} connection with {} closed", last ? "its last" : "a", peer);
  life_->replica->OnConnectionClosed(peer, connection, last);
}

// --- turns, and the other threads

MonotonicTime ReplicaNode::NextDeadline() const { return std::min(life_->alarm, tick_at_); }

void ReplicaNode::Tick() {
  life_->RingAlarm();
  if (node_.host.Now(place_) < tick_at_) return;
  tick_at_ = node_.host.Now(place_) + node_.settings.tick;
  CountTickFenced();
  life_->replica->Tick();
}

void ReplicaNode::EndTurn() {
  in_turn_ = true;
  NodeLife* life = life_.get();
  while (up() && life->replica_thread.RunOne()) {
  }
  in_turn_ = false;
  dead_.reset();
  dead_files_.reset();
  if (!up()) return;
  CheckState();
  RunLog();
  RunBackground();
}

void ReplicaNode::RunLog() {
  if (!up() || writing_ || stalls_ > 0 || life_->log_thread.pending() == 0) return;
  writing_ = true;
  const Duration delay =
      dice_.Between(node_.settings.disk_min, node_.settings.disk_max) + disk_slower_;
  node_.host.Beside(place_, delay, [this] {
    writing_ = false;
    if (stalls_ > 0) return;
    life_->log_thread.RunOne();
    RunLog();
  });
}

void ReplicaNode::RunBackground() {
  if (reading_ || hangs_ > 0 || life_->background.pending() == 0) return;
  reading_ = true;
  const Duration delay = dice_.Between(Duration(0), kReadBackMax) + disk_slower_;
  node_.host.Beside(place_, delay, [this] {
    reading_ = false;
    ++node_.coverage.fetches;
    life_->background.RunOne();
    RunBackground();
  });
}

}  // namespace mokv::sim
