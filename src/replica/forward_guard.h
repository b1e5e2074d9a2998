// ForwardGuard: what a leader asks before it takes what other nodes pass on, and tells of what became
// of it. The node where a client came in has asked the same; its access rules may be older.
//
// Threads: the replica thread. Owner: whoever makes the replica; must outlive it.
#pragma once

#include <absl/functional/any_invocable.h>
#include <absl/status/status.h>

#include <string_view>

#include "machine/command.h"
#include "replica/peers.h"
#include "replica/write.h"

namespace mokv::replica {

class ForwardGuard {
 public:
  // To be told the outcome, once; null: nobody wants to hear it.
  using WriteTold = absl::AnyInvocable<void(const WriteResult& result)>;
  using ChangeTold = absl::AnyInvocable<void(const absl::Status& status)>;

  virtual ~ForwardGuard() = default;
  // OK, or why `subject`, for whom the node of this name speaks, may not. `told` is set in either
  // case.
  virtual absl::Status CheckWrite(std::string_view node, std::string_view subject,
                                  const machine::Command& command, WriteTold& told) = 0;
  virtual absl::Status CheckChange(std::string_view node, const AdminRequest& request,
                                   ChangeTold& told) = 0;
};

}  // namespace mokv::replica
