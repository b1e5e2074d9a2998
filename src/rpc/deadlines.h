// Deadlines: when the calls of one I/O thread of the server run out of time. Internal to the engine.
#pragma once

#include "rpc/completion.h"
#include "rpc/deadline_queue.h"

namespace mokv::rpc {

using Deadlines = DeadlineQueue<CallId>;

}  // namespace mokv::rpc
