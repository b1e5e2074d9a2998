// NodeLife: one life of a node, from start to stop or crash: a replica with its real log and store
// over a file system, executors and peers in the test's hands.
//
// Threads: confined to the test's.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "base/testing/crash_file_system.h"
#include "base/testing/fake_clock.h"
#include "base/testing/manual_executor.h"
#include "replica/open_log.h"
#include "replica/replica.h"

namespace mokv::replica::testing {

// Nobody else is there.
class NoPeers : public Peers {
 public:
  void Send(const std::vector<raft::Message>&) override {}
  void SetMembership(std::shared_ptr<const raft::Membership>) override {}
  ConnectionId SendForward(raft::NodeId, const Forward&) override { return {}; }
  void Answer(ConnectionId, const ForwardAnswer&) override {}
  void Identify(const std::string& rpc_address, IdentifyDone done) override {
    done(absl::UnavailableError("nobody is at " + rpc_address));
  }
};

using WriteOutcome = std::shared_ptr<std::optional<WriteResult>>;
using StatusOutcome = std::shared_ptr<std::optional<absl::Status>>;

struct LifeOptions {
  std::string name = "node-1";
  std::string instance_id = "disk-1";
  std::string cluster_id;
  std::optional<std::string> new_cluster_id;
  uint64_t memory_bytes_max = 0;
  uint64_t proposals_pending_max = 65'536;
  bool lease_reads = false;
  Duration election_timeout = std::chrono::milliseconds(500);
  Duration heartbeat_interval = std::chrono::milliseconds(50);
  Duration persist_stall_max = std::chrono::seconds(5);
  uint64_t apply_entries_max = raft::Options().apply_entries_max;
  uint64_t segment_bytes = 64 << 10;
  uint64_t seed = 1;
};

class NodeLife {
 public:
  NodeLife(CrashFileSystem& files, const FakeClock& clock, Peers& peers, LifeOptions life = {})
      : clock(clock), random(life.seed) {
    Replica::Callbacks callbacks;
    callbacks.on_serving_changed = [this](bool now) { serving = now; };
    callbacks.on_leader_changed = [this](const std::string& leader, Term) {
      EXPECT_EQ(replica->report().leader, leader) << "told before it is shown";
    };
    callbacks.on_fatal = [this](const absl::Status& reason) { fatal = reason; };
    callbacks.set_alarm = [this](MonotonicTime at) { alarm = at; };
    Replica::Options options{.name = life.name,
                             .instance_id = life.instance_id,
                             .rpc_address = life.name + ":8400",
                             .cluster_id = life.cluster_id,
                             .writes = {.pending_max = life.proposals_pending_max,
                                        .memory_bytes_max = life.memory_bytes_max}};
    options.raft.election_timeout = life.election_timeout;
    options.raft.heartbeat_interval = life.heartbeat_interval;
    options.raft.persist_stall_max = life.persist_stall_max;
    options.raft.lease_reads = life.lease_reads;
    options.raft.apply_entries_max = life.apply_entries_max;
    replica = std::make_unique<Replica>(Replica::Executors{replica_thread, background}, this->clock,
                                        random, machine, options, std::move(callbacks));
    wal::Options log_options;
    log_options.directory = "log";
    log_options.segment_bytes = life.segment_bytes;
    auto opened = OpenLog(*replica, std::move(log_options),
                          {files, this->clock, log_thread, log_thread, /*on_sync=*/nullptr});
    EXPECT_TRUE(opened.ok()) << opened.status();
    started = opened.status();
    if (!started.ok()) return;
    log = std::move(*opened);
    started = replica->Start(*log, peers, std::move(life.new_cluster_id));
  }

  // One task of any executor; false when all are idle.
  bool RunOne() {
    return replica_thread.RunOne() || (!disk_stalls && log_thread.RunOne()) || background.RunOne();
  }
  void RunAll() {
    while (RunOne()) {
    }
  }
  void RingAlarm() {
    if (clock.now < alarm) return;
    alarm = MonotonicTime::Max();
    replica->OnAlarm();
  }

  // The outcome is empty until the write is answered.
  WriteOutcome Propose(machine::Command command, Duration wait = std::chrono::seconds(5)) {
    auto result = std::make_shared<std::optional<WriteResult>>();
    replica->Propose({.command = std::move(command), .give_up_at = clock.now + wait},
                     [result](const WriteResult& answer) { *result = answer; });
    return result;
  }
  WriteOutcome Set(const std::string& key, std::optional<Revision> expected = {}) {
    return Propose(store::Set{key, "value of " + key, expected});
  }
  StatusOutcome Read(ReadRequirement requirement = {}, Duration wait = std::chrono::seconds(5)) {
    auto result = std::make_shared<std::optional<absl::Status>>();
    replica->WaitForRead(requirement, clock.now + wait,
                         [result](const absl::Status& status) { *result = status; });
    return result;
  }
  StatusOutcome Request(AdminRequest request, Duration wait = std::chrono::seconds(5)) {
    auto result = std::make_shared<std::optional<absl::Status>>();
    replica->Request(std::move(request), clock.now + wait,
                     [result](const absl::Status& status, bool) { *result = status; });
    return result;
  }

  const FakeClock& clock;
  SeededRandom random;
  ManualExecutor replica_thread;
  ManualExecutor log_thread;
  ManualExecutor background;
  machine::Machine machine;
  std::unique_ptr<Replica> replica;
  std::unique_ptr<wal::Log> log;
  absl::Status started;
  MonotonicTime alarm = MonotonicTime::Max();
  bool serving = false;
  bool disk_stalls = false;
  std::optional<absl::Status> fatal;
};

}  // namespace mokv::replica::testing
