// What becomes of a write, as the replica tells it and as it travels between nodes.
#pragma once

#include <absl/functional/any_invocable.h>
#include <absl/status/status.h>

#include "machine/machine.h"

namespace mokv::replica {

struct WriteResult {
  enum class Fate {
    kApplied,  // `applied` says what the state machine answered.
    kNotDone,  // Certainly not carried out, now or later.
    kUnknown,  // May have been carried out, or may still be.
  };
  Fate fate = Fate::kNotDone;
  machine::Result applied;
  absl::Status reason;  // Unless kApplied.
};
using WriteDone = absl::AnyInvocable<void(const WriteResult& result)>;

}  // namespace mokv::replica
