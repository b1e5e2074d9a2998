// Fate: how a client is told what became of a write that was not applied, or of a change of the
// cluster. This is the one place where it is put into words, for people.
//
// Pure functions.
#pragma once

#include <absl/status/status.h>

#include <string_view>

#include "replica/write.h"

namespace mokv::service {

// Of a call whose deadline passes before its outcome is known.
inline constexpr std::string_view kUnknownAtDeadline = "deadline exceeded; outcome unknown";

// The write must not have been applied.
absl::Status FailureOf(const replica::WriteResult& result);
absl::Status FailureOfChange(const absl::Status& status, bool fate_unknown);

}  // namespace mokv::service
