#include "service/fate.h"

#include <fmt/format.h>

#include <string>
#include <string_view>

#include "base/check.h"
#include "base/status.h"

namespace mokv::service {
namespace {

constexpr std::string_view kTrailer = "mokv-fate";
constexpr std::string_view kNotDone = "not-done";
constexpr std::string_view kUnknown = "unknown";

Failure With(std::string_view fate, absl::Status status) {
  return {std::move(status), {{std::string(kTrailer), std::string(fate)}}};
}

absl::Status InWords(const absl::Status& status, std::string_view fate) {
  return absl::Status(status.code(), fmt::format("{}; {}", MessageOf(status), fate));
}

}  // namespace

Failure NotBegun(absl::Status status) {
  MOKV_CHECK(!status.ok());
  return With(kNotDone, std::move(status));
}

Failure FailureOf(const replica::WriteResult& result) {
  MOKV_CHECK(result.fate != replica::WriteResult::Fate::kApplied);
  if (result.fate == replica::WriteResult::Fate::kUnknown) {
    return With(kUnknown, InWords(result.reason, "outcome unknown"));
  }
  // As the node where the client came in would have said it.
  if (absl::IsPermissionDenied(result.reason)) return NotBegun(result.reason);
  return With(kNotDone, InWords(result.reason, "nothing was written"));
}

Failure FailureOfChange(const absl::Status& status, bool fate_unknown) {
  MOKV_CHECK(!status.ok());
  if (fate_unknown) return With(kUnknown, InWords(status, "outcome unknown"));
  // What is wrong with the request needs no such words.
  return With(kNotDone,
              absl::IsUnavailable(status) ? InWords(status, "nothing was changed") : status);
}

rpc::DeadlineAnswer UnknownAtDeadline() {
  return {.message = "deadline exceeded; outcome unknown",
          .trailer_name = kTrailer,
          .trailer_value = kUnknown};
}

}  // namespace mokv::service
