#include "service/replica_doors.h"

#include <utility>

namespace mokv::service {

struct ReplicaReadDoor::Lane {
  Lane(net::IoThread& thread, const Clock& clock, const machine::Machine& machine,
       replica::Replica& replica)
      : reader(machine.store()), queue(thread, clock, replica) {
    thread.AtTurnEnd([this] { reader.Leave(); });
  }

  store::Reader reader;
  ReadQueue queue;
};

ReplicaReadDoor::ReplicaReadDoor(net::IoPool& pool, const Clock& clock,
                                 const machine::Machine& machine, replica::Replica& replica)
    : machine_(machine), replica_(replica) {
  for (size_t i = 0; i < pool.size(); ++i) {
    lanes_.push_back(std::make_unique<Lane>(pool.thread(i), clock, machine, replica));
  }
}

ReplicaReadDoor::~ReplicaReadDoor() = default;

store::Reader* ReplicaReadDoor::Now(const replica::ReadRequirement& requirement, size_t io_thread) {
  return replica_.CanReadNow(requirement) ? &lanes_[io_thread]->reader : nullptr;
}

void ReplicaReadDoor::Wait(const replica::ReadRequirement& requirement, MonotonicTime give_up_at,
                           size_t io_thread, Look look) {
  Lane& lane = *lanes_[io_thread];
  lane.queue.Add(requirement, give_up_at,
                 [&reader = lane.reader, look = std::move(look)](
                     const absl::Status& status) mutable { look(status, reader); });
}

}  // namespace mokv::service
