// SessionService: the gRPC service api.Session, and what is told of a session that does not let a
// write pass. Everything about sessions is decided where the log is applied (machine/sessions.h);
// here is only how it is asked for, and said.
//
// Threads: handlers run on the I/O threads; they are answered on the thread that the door answers on.
// Owner:   borrows the door, which must outlive the server's threads.
#pragma once

#include <absl/status/status.h>

#include <cstdint>

#include "base/ids.h"
#include "machine/result.h"
#include "rpc/server.h"
#include "service/doors.h"

namespace mokv::service {

class SessionService {
 public:
  explicit SessionService(WriteDoor& writes) : writes_(writes) {}

  void Register(rpc::Server& server);

 private:
  // A call without a deadline waits no longer than this for a leader.
  static constexpr Duration kWaitMax = std::chrono::seconds(5);
  static constexpr uint64_t kTtlMsDefault = 60'000;

  void Open(rpc::UnaryCall& call);
  void KeepAlive(rpc::UnaryCall& call);
  void Close(rpc::UnaryCall& call);

  WriteDoor& writes_;
};

absl::Status NoSession(SessionId session);
// Why a write was not carried out, where that is because of its session. OK for other outcomes.
absl::Status RefusalOfSession(machine::Result::Outcome outcome, SessionId session,
                              uint64_t sequence);

}  // namespace mokv::service
