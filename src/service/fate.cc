#include "service/fate.h"

#include <fmt/format.h>

#include "base/check.h"
#include "base/status.h"

namespace mokv::service {
namespace {

absl::Status With(const absl::Status& status, std::string_view fate) {
  return absl::Status(status.code(), fmt::format("{}; {}", MessageOf(status), fate));
}

}  // namespace

absl::Status FailureOf(const replica::WriteResult& result) {
  MOKV_CHECK(result.fate != replica::WriteResult::Fate::kApplied);
  const bool unknown = result.fate == replica::WriteResult::Fate::kUnknown;
  return With(result.reason, unknown ? "outcome unknown" : "nothing was written");
}

absl::Status FailureOfChange(const absl::Status& status, bool fate_unknown) {
  MOKV_CHECK(!status.ok());
  if (fate_unknown) return With(status, "outcome unknown");
  return absl::IsUnavailable(status) ? With(status, "nothing was changed") : status;
}

}  // namespace mokv::service
