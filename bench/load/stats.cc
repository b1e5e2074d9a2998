#include "load/stats.h"

#include <algorithm>

namespace mokv::load {

std::string_view FailureName(Failure failure) {
  switch (failure) {
    case Failure::kConnectionLost:
      return "connection lost";
    case Failure::kStreamReset:
      return "stream reset";
    case Failure::kHttpStatus:
      return "http status";
    case Failure::kNoGrpcStatus:
      return "no grpc-status";
    case Failure::kNoAnswer:
      return "no answer";
    case Failure::kNotSent:
      return "due, not sent";
  }
  return "unknown";
}

std::string_view GrpcStatusName(size_t status) {
  constexpr std::array<std::string_view, kGrpcStatuses> kNames = {
      "OK",
      "CANCELLED",
      "UNKNOWN",
      "INVALID_ARGUMENT",
      "DEADLINE_EXCEEDED",
      "NOT_FOUND",
      "ALREADY_EXISTS",
      "PERMISSION_DENIED",
      "RESOURCE_EXHAUSTED",
      "FAILED_PRECONDITION",
      "ABORTED",
      "OUT_OF_RANGE",
      "UNIMPLEMENTED",
      "INTERNAL",
      "UNAVAILABLE",
      "DATA_LOSS",
      "UNAUTHENTICATED",
  };
  return kNames.at(status);
}

void Stats::Merge(const Stats& other) {
  // 0: a thread that had nothing to measure.
  if (first_ns == 0 || (other.first_ns != 0 && other.first_ns < first_ns)) {
    first_ns = other.first_ns;
  }
  last_ns = std::max(last_ns, other.last_ns);
  reads.Merge(other.reads);
  writes.Merge(other.writes);
  sent_late.Merge(other.sent_late);
  for (size_t i = 0; i < statuses.size(); ++i) statuses[i] += other.statuses[i];
  for (size_t i = 0; i < failures.size(); ++i) failures[i] += other.failures[i];
  missing += other.missing;
  mismatches += other.mismatches;
  calls += other.calls;
  cpu_seconds += other.cpu_seconds;
  if (first_error.empty()) first_error = other.first_error;
}

}  // namespace mokv::load
