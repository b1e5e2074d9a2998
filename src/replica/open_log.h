// OpenLog: opens what a replica keeps on disk: its newest snapshot that is whole, and its log. What
// they hold goes to the replica's replay; what becomes durable later, and the log's failure, go to
// its inbox.
//
// Threads: on the replica thread, before Replica::Start.
#pragma once

#include <absl/functional/any_invocable.h>
#include <absl/status/statusor.h>

#include <memory>

#include "base/clock.h"
#include "base/executor.h"
#include "base/file.h"
#include "replica/replica.h"
#include "wal/log.h"

namespace mokv::replica {

struct LogEnvironment {
  FileSystem& files;
  const Clock& clock;
  Executor& log_thread;
  Executor& space_thread;
  // Loads the snapshot and applies entries while the log is read, so it must run by itself; null:
  // all that is done here.
  Executor* applying_thread = nullptr;
  // Time that one fdatasync took; may be null.
  absl::AnyInvocable<void(Duration)> on_sync;
  // Told what is durable before the replica is; of tests.
  absl::AnyInvocable<void(const wal::Durable&)> on_durable = nullptr;
};

// Errors as wal::Log::Open. A snapshot that is damaged is set aside, with an ERROR in the log, and
// the one before it is taken; DATA_LOSS when the log does not go back so far. The replica must
// outlive the log's executors.
absl::StatusOr<std::unique_ptr<wal::Log>> OpenLog(Replica& replica, wal::Options options,
                                                  LogEnvironment environment);

}  // namespace mokv::replica
