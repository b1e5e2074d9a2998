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
#include "raft/testing/invariants.h"
#include "sim/coverage.h"
#include "sim/node.h"
#include "sim/rules.h"
#include "sim/timeline.h"

namespace mokv::sim {

// What a run's nodes have in common.
struct CoreNodeSettings {
  raft::Options options;  // But for the id.
  Duration disk_min{0};
  Duration disk_max{0};
  // Election timeouts are drawn from the first so many permille of their range.
  uint64_t timeout_spread_permille = 1000;
};

struct CoreNodeShared {
  CoreNodeSettings settings;
  Host& host;
  Timeline& timeline;
  Coverage& coverage;
  raft::testing::Invariants& invariants;
  Rules& rules;
  std::function<void(Place)> on_write;  // A write is given to a disk.
  Rules::Holds holds;                   // Whether any node has an entry on its disk.
};

class CoreNode final : public Node {
 public:
  // `initial`: the log begins with it; null: an empty disk.
  CoreNode(CoreNodeShared& shared, Place place, raft::NodeId id, uint64_t seed,
           const raft::Membership* initial);
  ~CoreNode() override;

  bool up() const override { return core_ != nullptr; }
  raft::NodeId id() const override { return id_; }
  const raft::Core* core() const override { return core_.get(); }
  const KvMachine& machine() const { return machine_; }
  // Whether the entry is on its disk, or was on the one it had under that id.
  bool Holds(raft::NodeId id, raft::Position position) const;

  void Start() override;
  void Crash(uint64_t kept_permille) override;
  void Wipe(raft::NodeId id) override;
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

  CoreNodeShared& shared_;
  const Place place_;
  raft::NodeId id_;
  Dice dice_;

  // The disk.
  raft::testing::Disk disk_;
  std::shared_ptr<const KvMachine> disk_snapshot_;
  std::map<raft::NodeId, raft::testing::Disk> wiped_;
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
