// ThreadedReplica: a node of one whose replica, log and background run on threads of their own, as
// in the product, with its real log in a directory that goes away again.
//
// Threads: the test's, but for what it shows of the replica and the machine, which say it themselves.
// Owner:   whoever calls the replica on other threads ends those before this goes, or calls Stop.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "base/check.h"
#include "base/testing/run_on.h"
#include "base/testing/thread_executor.h"
#include "replica/open_log.h"
#include "replica/replica.h"
#include "replica/testing/node_life.h"

namespace mokv::replica::testing {

struct ThreadedReplicaOptions {
  // It begins this cluster, alone, and serves once it is made. Empty: it waits to be added to one.
  std::string new_cluster_id = "cluster";
  const Clock* clock = &SystemClock();
  // Null: nobody else is there.
  Peers* peers = nullptr;
};

// Its name is "n", its instance "d", its address "n:1".
class ThreadedReplica {
 public:
  explicit ThreadedReplica(ThreadedReplicaOptions options = {}) {
    directory_ = ::testing::TempDir() + "mokv-threaded-replica-XXXXXX";
    MOKV_CHECK(mkdtemp(directory_.data()) != nullptr);
    Replica::Callbacks callbacks;
    callbacks.on_serving_changed = [this, told = false](bool now) mutable {
      if (now && !std::exchange(told, true)) serving_.set_value();
    };
    callbacks.set_alarm = [](MonotonicTime) {};
    callbacks.on_fatal = [](const absl::Status& reason) { ADD_FAILURE() << reason; };
    replica.emplace(Replica::Executors{replica_thread_, background_, background_, background_},
                    *options.clock, random_, machine,
                    Replica::Options{.name = "n", .instance_id = "d", .rpc_address = "n:1"},
                    std::move(callbacks));
    OnReplicaThread([&] { Start(options); });
    if (!options.new_cluster_id.empty()) serving_.get_future().wait();
  }
  ~ThreadedReplica() { Stop(); }
  ThreadedReplica(const ThreadedReplica&) = delete;
  ThreadedReplica& operator=(const ThreadedReplica&) = delete;

  // No thread of it runs when this returns; what has no answer by then gets none.
  void Stop() {
    if (log_ == nullptr) return;
    replica->StopAccepting();
    log_thread_.Stop();
    background_.Stop();
    replica_thread_.Stop();
    log_->Close();
    log_ = nullptr;
    std::filesystem::remove_all(directory_);
  }

  // Runs `task` on the replica thread, and waits for its end.
  void OnReplicaThread(Task task) { RunOn(replica_thread_, std::move(task)); }
  // Nothing else makes the replica look at its clock: what has run out of time has its answer when
  // this returns.
  void Tick() {
    OnReplicaThread([this] { replica->Tick(); });
  }

  // Waits for what becomes of it. Thread-safe.
  WriteResult Write(machine::Command command) {
    std::promise<WriteResult> result;
    replica->Propose(
        {.command = std::move(command), .subject = "somebody", .give_up_at = MonotonicTime::Max()},
        [&](const WriteResult& answer) { result.set_value(answer); });
    return result.get_future().get();
  }

 private:
  void Start(const ThreadedReplicaOptions& options) {
    auto log = OpenLog(*replica, {.directory = directory_},
                       {PosixFileSystem(), *options.clock, log_thread_, background_, nullptr});
    MOKV_CHECK(log.ok());
    log_ = *std::move(log);
    std::optional<std::string> new_cluster_id;
    if (!options.new_cluster_id.empty()) new_cluster_id = options.new_cluster_id;
    const absl::Status started = replica->Start(
        *log_, options.peers == nullptr ? no_peers_ : *options.peers, std::move(new_cluster_id));
    MOKV_CHECK(started.ok());
  }

  std::string directory_;
  SeededRandom random_{1};
  NoPeers no_peers_;
  std::promise<void> serving_;

 public:
  machine::Machine machine;
  std::optional<Replica> replica;

 private:
  std::unique_ptr<wal::Log> log_;
  ThreadExecutor log_thread_;
  ThreadExecutor background_;
  ThreadExecutor replica_thread_;
};

}  // namespace mokv::replica::testing
