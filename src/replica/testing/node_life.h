// NodeLife: one life of a node, from start to stop or crash: a replica with its real log and store
// over a file system, executors and peers in the test's hands.
//
// Threads: confined to the test's.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "base/check.h"
#include "base/testing/crash_file_system.h"
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
  void SendDigest(raft::NodeId, const StateDigest&) override {}
  bool SendSnapshotRead(raft::NodeId, const SnapshotRead&) override { return false; }
  void AnswerSnapshotRead(ConnectionId, SnapshotChunk) override {}
  void Identify(const std::string& rpc_address, IdentifyDone done) override {
    done(absl::UnavailableError("nobody is at " + rpc_address));
  }
};

using WriteOutcome = std::shared_ptr<std::optional<WriteResult>>;
using StatusOutcome = std::shared_ptr<std::optional<absl::Status>>;

inline raft::Options ShortTimes() {
  raft::Options options;
  options.election_timeout = std::chrono::milliseconds(500);
  options.heartbeat_interval = std::chrono::milliseconds(50);
  return options;
}

struct LifeOptions {
  std::string name = "node-1";
  std::string instance_id = "disk-1";
  std::string cluster_id;
  std::optional<std::string> new_cluster_id;
  uint64_t memory_bytes_max = 0;
  uint64_t proposals_pending_max = 65'536;
  raft::Options raft = ShortTimes();
  uint64_t segment_bytes = 64 << 10;
  uint64_t snapshot_log_bytes = uint64_t{1} << 30;
  uint64_t trailing_entries = 0;
  uint64_t comparison_interval = 8;
  uint64_t seed = 1;
  Observer* observer = nullptr;
  ForwardGuard* forward_guard = nullptr;
  // Told before the replica; may be null.
  std::function<void(const wal::Durable&)> on_durable;
};

class NodeLife {
 public:
  NodeLife(FileSystem& files, const Clock& clock, Peers& peers, LifeOptions life = {})
      : clock(clock), random(life.seed) {
    Replica::Callbacks callbacks;
    callbacks.on_serving_changed = [this](bool now) { serving = now; };
    callbacks.on_leader_changed = [this](const std::string& leader, Term) {
      MOKV_CHECK_EQ(replica->report().leader, leader);  // Shown before it is told.
    };
    callbacks.on_differing = [this](const std::string& reason, bool fences) {
      differing = reason;
      fenced = fenced || fences;
    };
    callbacks.on_fatal = [this](const absl::Status& reason) { fatal = reason; };
    callbacks.set_alarm = [this](MonotonicTime at) { alarm = at; };
    callbacks.observer = life.observer;
    Replica::Options options{.name = life.name,
                             .instance_id = life.instance_id,
                             .rpc_address = life.name + ":8400",
                             .cluster_id = life.cluster_id,
                             .raft = life.raft,
                             .writes = {.pending_max = life.proposals_pending_max,
                                        .memory_bytes_max = life.memory_bytes_max},
                             .forward_guard = life.forward_guard,
                             .snapshots = {.files = &files,
                                           .directory = "snapshots",
                                           .log_bytes = life.snapshot_log_bytes,
                                           .trailing_entries = life.trailing_entries},
                             .comparison_interval = life.comparison_interval};
    replica = std::make_unique<Replica>(
        Replica::Executors{replica_thread, background, background, background}, this->clock, random,
        machine, options, std::move(callbacks));
    wal::Options log_options;
    log_options.directory = "log";
    log_options.segment_bytes = life.segment_bytes;
    auto opened =
        OpenLog(*replica, std::move(log_options),
                {.files = files,
                 .clock = this->clock,
                 .log_thread = log_thread,
                 .space_thread = log_thread,
                 .on_sync = nullptr,
                 .on_durable = [watch = std::move(life.on_durable)](const wal::Durable& durable) {
                   if (watch) watch(durable);
                 }});
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
    if (clock.Now() < alarm) return;
    alarm = MonotonicTime::Max();
    replica->OnAlarm();
  }

  // The outcome is empty until the write is answered.
  WriteOutcome Propose(machine::Command command, Duration wait = std::chrono::seconds(5),
                       std::string subject = "") {
    auto result = std::make_shared<std::optional<WriteResult>>();
    replica->Propose({.command = std::move(command),
                      .subject = std::move(subject),
                      .give_up_at = clock.Now() + wait},
                     [result](const WriteResult& answer) { *result = answer; });
    return result;
  }
  WriteOutcome Set(const std::string& key, std::optional<Revision> expected = {}) {
    return Propose(store::Set{key, "value of " + key, expected});
  }
  StatusOutcome Read(ReadRequirement requirement = {}, Duration wait = std::chrono::seconds(5)) {
    auto result = std::make_shared<std::optional<absl::Status>>();
    replica->WaitForRead(requirement, clock.Now() + wait,
                         [result](const absl::Status& status) { *result = status; });
    return result;
  }
  StatusOutcome Request(AdminRequest request, Duration wait = std::chrono::seconds(5)) {
    auto result = std::make_shared<std::optional<absl::Status>>();
    replica->Request(std::move(request), clock.Now() + wait,
                     [result](const absl::Status& status, bool) { *result = status; });
    return result;
  }

  const Clock& clock;
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
  std::string differing;  // As told last.
  bool fenced = false;
  std::optional<absl::Status> fatal;
};

}  // namespace mokv::replica::testing
