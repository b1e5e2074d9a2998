// The two doors from services to the replicated state. Whatever protocol a service speaks, it reads
// and writes through these alone, and decides nothing about leaders, leases or logs.
//
// Threads: thread-safe. Owner: must outlive the services and the server's threads.
#pragma once

#include <absl/functional/any_invocable.h>
#include <absl/status/status.h>

#include <cstddef>
#include <memory>
#include <string>

#include "base/clock.h"
#include "machine/command.h"
#include "machine/machine.h"
#include "replica/read_gate.h"
#include "replica/write.h"
#include "store/view.h"

namespace mokv::service {

class ReadDoor {
 public:
  // OK: look now, through `reader`, before returning. Otherwise why there is nothing to look at:
  // UNAVAILABLE or RESOURCE_EXHAUSTED.
  using Look = absl::AnyInvocable<void(const absl::Status& status, store::Reader& reader)>;

  virtual ~ReadDoor() = default;

  // The reader of the I/O thread that asks, if such a read may look right now; else null.
  virtual store::Reader* Now(const replica::ReadRequirement& requirement, size_t io_thread) = 0;
  // Calls `look` once, on the same thread, when such a read may look, or why it may not by
  // `give_up_at`. Never called if the thread ends before.
  virtual void Wait(const replica::ReadRequirement& requirement, MonotonicTime give_up_at,
                    size_t io_thread, Look look) = 0;
  // A frozen state, for what looks for longer than a turn. As new as a look that is allowed now.
  virtual std::shared_ptr<const machine::View> TakeView() = 0;
};

class WriteDoor {
 public:
  virtual ~WriteDoor() = default;

  // `command` is one that machine::CheckCommand allows. `done` is called once, on any thread: when
  // the write is applied and readers see it, or with what is known of its fate. A write that has
  // found no leader by `give_up_at` is certainly not done.
  virtual void Write(machine::Command command, std::string subject, MonotonicTime give_up_at,
                     replica::WriteDone done) = 0;
};

}  // namespace mokv::service
