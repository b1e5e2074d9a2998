// The doors of a node: reads and writes go to its replica.
//
// Threads: as ReadDoor and WriteDoor say; made before the pool starts, and must outlive its threads.
// Owner:   borrows pool, machine, replica and clock.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "net/io_pool.h"
#include "replica/replica.h"
#include "service/doors.h"
#include "service/read_queue.h"

namespace mokv::service {

class ReplicaReadDoor final : public ReadDoor {
 public:
  ReplicaReadDoor(net::IoPool& pool, const Clock& clock, const machine::Machine& machine,
                  replica::Replica& replica);
  ~ReplicaReadDoor() override;

  store::Reader* Now(const replica::ReadRequirement& requirement, size_t io_thread) override;
  void Wait(const replica::ReadRequirement& requirement, MonotonicTime give_up_at, size_t io_thread,
            Look look) override;
  std::shared_ptr<const machine::View> TakeView() override { return machine_.TakeView(); }

 private:
  // What one I/O thread has of its own.
  struct Lane;

  const machine::Machine& machine_;
  replica::Replica& replica_;
  std::vector<std::unique_ptr<Lane>> lanes_;
};

class ReplicaWriteDoor final : public WriteDoor {
 public:
  explicit ReplicaWriteDoor(replica::Replica& replica) : replica_(replica) {}

  void Write(machine::Command command, std::string subject, MonotonicTime give_up_at,
             replica::WriteDone done) override {
    replica_.Propose(
        {.command = std::move(command), .subject = std::move(subject), .give_up_at = give_up_at},
        std::move(done));
  }

 private:
  replica::Replica& replica_;
};

}  // namespace mokv::service
