// CoreNode: a consensus core with a model of a disk, and a small state machine for its clients.
//
// The disk: what a turn persists waits in line; one write at a time is under way and takes all that
// waits when it begins (group commit); a crash loses what was not synced, except perhaps a first
// part of it. Snapshots are taken at once and durable later.
//
// Threads: confined to the run's. Owner: World.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "raft/core.h"
#include "sim/node_shared.h"

namespace mokv::sim {

class CoreNode final : public Node {
 public:
  // `initial`: the log begins with it; null: an empty disk.
  CoreNode(NodeShared& shared, Place place, raft::NodeId id, uint64_t seed,
           const raft::Membership* initial);
  ~CoreNode() override;

  bool up() const override { return core_ != nullptr; }
  raft::NodeId id() const override { return id_; }
  const raft::Core* core() const override { return core_.get(); }
  Index applied() const override { return machine_.applied(); }
  bool Holds(raft::NodeId id, raft::Position position) const override {
    return disks_.Holds(id_, id, position);
  }

  void Start() override;
  void Crash(uint64_t kept_permille) override;
  void Wipe(const raft::Member& member) override;
  void StallDisk(bool stalls) override;
  void SlowDisk(Duration by) override { disk_slower_ += by; }

  void Receive(const Packet& packet) override;
  void OnLost(const Packet& packet) override;
  void ConnectionClosed(raft::NodeId peer) override;
  void Submit(const ClientRequest& request) override;
  void ChangeMembers(std::vector<raft::MemberChange> changes) override;
  void Transfer(raft::NodeId target) override;
  void TakeSnapshot(uint64_t trailing) override;
  MonotonicTime NextDeadline() const override { return core_->NextDeadline(); }
  void Tick() override;
  void EndTurn() override;

 private:
  class TimeoutRandom;
  struct Write {
    raft::PersistRequest request;
    std::shared_ptr<const KvMachine> data;  // With an install.
  };
  struct Pending {
    Term term;
    uint64_t request = 0;
  };

  void Step(raft::Event event);
  void ProposeStaged();
  void Process(raft::Output output);
  void Persist(raft::PersistRequest request);
  void Apply(const Entry& entry);
  void OnProposals(const raft::ProposalResult& result);
  void OnReadResult(const raft::ReadResult& result);
  void AnswerRead(const ClientRequest& request);
  void AnswerReadsThatWait();
  void Refuse(uint64_t request);
  void CountResults(const raft::Output& output);
  void SendAll(std::vector<raft::Message>& messages);
  void Fetch(const raft::EntriesWanted& wanted);
  void BeginWrite();
  void EndWrite(size_t count);
  void WriteOne();
  void Compact(uint64_t trailing);

  NodeShared& shared_;
  const Place place_;
  raft::NodeId id_;
  Dice dice_;

  // The disk.
  Disks disks_;
  raft::testing::Disk& disk_ = disks_.now;
  std::shared_ptr<const KvMachine> disk_snapshot_;
  std::deque<Write> writes_;
  bool writing_ = false;
  int stalls_ = 0;
  Duration disk_slower_{0};

  // The process.
  std::unique_ptr<TimeoutRandom> random_;
  std::unique_ptr<raft::Core> core_;
  KvMachine machine_;
  MonotonicTime lease_until_;  // As published after the last turn.
  bool ticked_ = false;
  uint64_t requests_ = 0;
  std::vector<ClientRequest> staged_;  // Writes of this turn.
  std::map<raft::RequestId, std::vector<uint64_t>> proposed_;
  std::map<Index, Pending> pending_;
  std::map<raft::RequestId, ClientRequest> reads_;
  std::multimap<Index, ClientRequest> reads_waiting_;
  std::map<Index, std::shared_ptr<const KvMachine>> snapshots_;  // The newest few.
  bool snapshot_wanted_ = false;
};

}  // namespace mokv::sim
