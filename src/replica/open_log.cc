#include "replica/open_log.h"

#include <utility>

namespace mokv::replica {

absl::StatusOr<std::unique_ptr<wal::Log>> OpenLog(Replica& replica, wal::Options options,
                                                  LogEnvironment environment) {
  wal::Log::Callbacks callbacks;
  callbacks.on_durable =
      [&replica, watch = std::move(environment.on_durable)](const wal::Durable& durable) mutable {
        if (watch) watch(durable);
        replica.OnDurable(durable.ticket);
      };
  callbacks.on_failure = [&replica](absl::Status reason) {
    replica.OnLogFailure(std::move(reason));
  };
  callbacks.on_sync = std::move(environment.on_sync);
  return wal::Log::Open(
      environment.files, environment.clock, environment.log_thread, environment.space_thread,
      std::move(options), std::move(callbacks),
      [&replica](const wal::EntryView& entry) { return replica.replay().OnEntry(entry); },
      [&replica](Index index) { return replica.replay().OnCommitted(index); });
}

}  // namespace mokv::replica
