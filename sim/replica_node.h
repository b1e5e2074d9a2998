// ReplicaNode: a whole replica of src/replica: its real log on a disk in memory that loses what was
// not synced, and its real store. Its three threads are queues of tasks: the replica's run at the
// end of each turn, the log's one by one as slowly as the disk is, the background's likewise.
//
// It speaks to others by connections (wires.h). In the middle of its turns, whenever it has sent
// messages or answered somebody, others may go on (Host::Interrupt).
//
// The core is watched (replica::Observer), so that all checks of cores are made here, too. What is
// on the disk is known by what the log says is durable, not by what the core was told.
//
// Threads: confined to the run's. Owner: World.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "replica/observer.h"
#include "replica/testing/node_life.h"
#include "sim/fencing.h"
#include "sim/node_shared.h"
#include "sim/told.h"
#include "sim/wires.h"

namespace mokv::sim {

class ReplicaNode;

struct ReplicaShared {
  NodeShared& node;
  Wires& wires;
  Told& told;
  std::vector<ReplicaNode*> nodes;  // By place.
};

class ReplicaNode final : public Node, private replica::Observer {
 public:
  // `initial`: the log begins with it, or, where this node is its only voter, the node begins the
  // cluster; null: an empty disk.
  ReplicaNode(ReplicaShared& shared, Place place, const raft::Member& member, uint64_t seed,
              const raft::Membership* initial);
  ~ReplicaNode() override;

  bool up() const override { return life_ != nullptr; }
  raft::NodeId id() const override { return member_.id; }
  const raft::Core* core() const override;
  Index applied() const override;
  bool Holds(raft::NodeId id, raft::Position position) const override {
    return disks_.Holds(member_.id, id, position);
  }
  std::optional<uint64_t> ReadsAtOnceFrom() const override;
  std::string Owes() const override;

  void Start() override;
  void Crash(uint64_t kept_permille) override;
  void Wipe(const raft::Member& member) override;
  void StallDisk(bool stalls) override;
  void SlowDisk(Duration by) override { disk_slower_ += by; }
  void FillDisk(std::optional<uint64_t> spare) override;
  void FailSync(std::optional<SyncOf> of) override { failing_sync_ = of; }
  void HangSyncs(bool hang) override;
  bool ChangeState(uint64_t seed) override;
  bool differs() const override { return fenced_disk_ || (up() && fencing_.changed()); }
  bool CopyDisk() override;
  const raft::testing::Disk* disk() const override { return &disks_.now; }
  const raft::testing::Disk* copy() const override {
    return copy_ == nullptr ? nullptr : &copy_->disk;
  }
  void PutCopyBack() override;
  bool lacks() const override { return disks_.lost.has_value(); }
  void Stop(std::function<void()> done) override;
  bool stopping() const override { return up() && stopping_; }

  void Receive(const Packet& packet) override;
  void OnLost(const Packet& packet) override;
  void ConnectionClosed(raft::NodeId peer) override;
  void Submit(const ClientRequest& request) override;
  void ChangeMembers(std::vector<raft::MemberChange> changes) override;
  void Transfer(raft::NodeId target) override;
  MonotonicTime NextDeadline() const override;
  void Tick() override;
  void EndTurn() override;

 private:
  class PlaceClock;
  class NodePeers;

  struct Copy {
    std::unique_ptr<CrashFileSystem> files;
    raft::testing::Disk disk;
    std::deque<raft::PersistRequest> writes;
    Index installed;
    bool rotten = false;
  };

  void WriteFirstLog(const raft::Membership& initial);
  void BeginLife();
  replica::testing::LifeOptions OptionsOfLife();
  void BeginChecks();
  void CheckRecovered(const raft::testing::Disk& before);
  void CheckCore(const raft::Core& core);
  void OnStep(const raft::Core& core, const raft::Event& event) override;
  void OnOutput(const raft::Core& core, const raft::Output& output) override;
  void CountResults(const raft::Output& output);
  void OnDurable(const wal::Durable& durable);
  void CheckState();
  void FlipBitOfNewest();

  // --- replica_node_faults.cc
  void UseDisk(std::unique_ptr<CrashFileSystem> files);
  absl::Status OnDiskOperation(CrashFileSystem::Operation operation, const std::string& path);
  void CheckEnd();
  void CheckStall(const raft::Core& core);
  void WatchLoss(const raft::Core& core, const raft::Message& message);
  void CheckLoss(const raft::Message& message);
  void EndLoss();
  void OpenNobodysSession();
  void ChangeItem(const machine::FrozenState& frozen, uint64_t which);
  void CheckFenced();
  bool ChangedOnesDecide() const;
  bool IsWhole(const store::Digest& digest);
  void CheckSilence();
  void CountTickFenced();
  void CloseLog();

  void CheckSnapshots();
  void CrashInBackground();

  replica::ConnectionId SendPassed(Place to, raft::NodeId to_id, Passed passed);
  void Pass(replica::ConnectionId connection, const Passed& passed);
  // This end is told that the connection is no more; the other one hears of it later.
  void Close(replica::ConnectionId connection);
  void Deliver(const Packet& packet);

  void Read(const ClientRequest& request);
  void Look(const ClientRequest& request, uint64_t floor);
  machine::Command CommandOf(const ClientRequest& request) const;
  static ReplyKind KindOf(const replica::WriteResult& result);
  void Write(const ClientRequest& request);
  void Request(replica::AdminRequest request);
  void Reply(ClientReply reply);

  void RunLog();
  void RunBackground();

  ReplicaShared& shared_;
  NodeShared& node_;
  const Place place_;
  raft::Member member_;
  Dice dice_;
  std::unique_ptr<PlaceClock> clock_;
  std::unique_ptr<NodePeers> peers_;

  // The disk. Its contents as the checks see them, and what is not durable yet.
  std::unique_ptr<CrashFileSystem> files_;
  bool begins_cluster_ = false;
  std::optional<raft::Membership> initial_;  // To be written before the first start.
  Disks disks_;
  Index installed_;      // The newest snapshot that came from another node.
  bool rotten_ = false;  // A bit of this disk's newest snapshot was flipped.
  std::deque<raft::PersistRequest> writes_;
  bool writing_ = false;
  bool reading_ = false;
  int stalls_ = 0;
  int full_ = 0;
  int hangs_ = 0;  // Of `stalls_`: in a sync.
  Duration disk_slower_{0};
  std::optional<SyncOf> failing_sync_;
  std::unique_ptr<Copy> copy_;
  bool failed_start_ = false;
  bool fenced_disk_ = false;  // A node that was fenced must not start from it.

  // The process.
  std::unique_ptr<replica::testing::NodeLife> life_;
  // Until the turn in which it died is over.
  std::unique_ptr<CrashFileSystem> dead_files_;
  std::unique_ptr<replica::testing::NodeLife> dead_;
  bool in_turn_ = false;
  bool ever_changed_ = false;            // Its state, in any life.
  bool passes_on_ = false;               // The answer to a write that it had forwarded.
  bool checked_ = false;                 // The checks know this life.
  std::optional<MonotonicTime> ticked_;  // By the step before.
  // When the disk last answered, or was given something while nothing was under way.
  MonotonicTime disk_news_;
  bool sync_failed_ = false;
  bool log_failed_ = false;  // Of its log.
  bool ended_ = false;
  bool stopping_ = false;
  uint64_t owed_writes_ = 0;  // To clients of this node.
  bool idle_ = false;         // Stopping, and nobody is owed an answer.
  Fencing fencing_;
  bool told_fenced_ = false;
  MonotonicTime fenced_at_;
  int ticks_fenced_ = 0;  // After it should have found somebody to lead.
  std::optional<raft::Position> known_loss_;
  std::map<raft::NodeId, raft::Position> asked_votes_;  // Where the logs of candidates end.
  MonotonicTime tick_at_;
  Index applied_;  // That the checks know of.
};

}  // namespace mokv::sim
