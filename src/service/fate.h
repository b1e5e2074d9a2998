// Fate: how a client is told what became of a write, or a change of the cluster, that failed. For
// programs as a trailer, for people in the message. This is the one place that puts it into either.
//
//   mokv-fate: not-done   nothing was changed, and never will be by this call; it may be sent again
//   mokv-fate: unknown    it may have been carried out, or may still be
//
// A failure without the trailer came from somebody else on the way, who cannot know.
//
// Pure functions of values.
#pragma once

#include <absl/status/status.h>

#include <utility>

#include "replica/write.h"
#include "rpc/call.h"

namespace mokv::service {

// A failed call, as rpc is to tell it.
struct Failure {
  absl::Status status;
  rpc::Metadata trailers;
};

// Refused before anything was begun; `status` says why.
Failure NotBegun(absl::Status status);
// Of a write that was not applied.
Failure FailureOf(const replica::WriteResult& result);
// Of a change of the cluster; `status` must not be OK.
Failure FailureOfChange(const absl::Status& status, bool fate_unknown);
// Of a deferred call whose deadline passes before its outcome is known.
rpc::DeadlineAnswer UnknownAtDeadline();

// `answer` is a Call or a Responder.
template <typename Answer>
void Fail(Answer& answer, Failure failure) {
  answer.Fail(std::move(failure.status), std::move(failure.trailers));
}

}  // namespace mokv::service
