// What mokvctl's commands share: answers as messages, and complaints about the command line.
#pragma once

#include <absl/status/statusor.h>

#include <string>

#include "cli/ctl_output.h"

namespace mokv {

template <typename Response>
absl::StatusOr<Response> ParseAnswer(const absl::StatusOr<std::string>& bytes) {
  if (!bytes.ok()) return bytes.status();
  Response response;
  if (!response.ParseFromString(*bytes)) {
    return absl::InternalError("the answer does not parse as " + response.GetTypeName());
  }
  return response;
}

// A wrong certificate file or endpoint is a matter of the command line, not an answer.
inline int ComplainOfUsage(const absl::Status& status) {
  CtlComplain(status);
  return kCtlUsage;
}

// An error of files on this machine, whatever its code: the exit status must not say that a node could
// not be reached.
inline absl::Status OfFile(const absl::Status& status) {
  return status.ok() ? status : absl::FailedPreconditionError(status.message());
}

}  // namespace mokv
