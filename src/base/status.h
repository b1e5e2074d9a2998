// Status helpers: formatted construction, std::string_view access, and the two macros that pass an
// error on. Debian's Abseil is built with its own string_view, so texts are made with fmt.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <fmt/format.h>

#include <string_view>
#include <utility>

namespace mokv {

inline std::string_view MessageOf(const absl::Status& status) {
  return {status.message().data(), status.message().size()};
}

template <typename... Args>
absl::Status MakeStatus(absl::StatusCode code, fmt::format_string<Args...> format, Args&&... args) {
  return absl::Status(code, fmt::format(format, std::forward<Args>(args)...));
}

template <typename... Args>
absl::Status InvalidArgument(fmt::format_string<Args...> format, Args&&... args) {
  return absl::InvalidArgumentError(fmt::format(format, std::forward<Args>(args)...));
}

template <typename... Args>
absl::Status FailedPrecondition(fmt::format_string<Args...> format, Args&&... args) {
  return absl::FailedPreconditionError(fmt::format(format, std::forward<Args>(args)...));
}

template <typename... Args>
absl::Status DataLoss(fmt::format_string<Args...> format, Args&&... args) {
  return absl::DataLossError(fmt::format(format, std::forward<Args>(args)...));
}

template <typename... Args>
absl::Status Unavailable(fmt::format_string<Args...> format, Args&&... args) {
  return absl::UnavailableError(fmt::format(format, std::forward<Args>(args)...));
}

template <typename... Args>
absl::Status ResourceExhausted(fmt::format_string<Args...> format, Args&&... args) {
  return absl::ResourceExhaustedError(fmt::format(format, std::forward<Args>(args)...));
}

// An error of the operating system: `errno_value` decides the code, its text is appended.
absl::Status ErrnoStatus(int errno_value, std::string_view what);

}  // namespace mokv

#define MOKV_CONCAT_INNER_(a, b) a##b
#define MOKV_CONCAT_(a, b) MOKV_CONCAT_INNER_(a, b)

#define MOKV_RETURN_IF_ERROR(expression)                                           \
  do {                                                                             \
    if (absl::Status mokv_status = (expression); !mokv_status.ok()) [[unlikely]] { \
      return mokv_status;                                                          \
    }                                                                              \
  } while (false)

#define MOKV_ASSIGN_OR_RETURN(declaration, expression) \
  MOKV_ASSIGN_OR_RETURN_IMPL_(MOKV_CONCAT_(mokv_statusor_, __LINE__), declaration, expression)

#define MOKV_ASSIGN_OR_RETURN_IMPL_(statusor, declaration, expression) \
  auto statusor = (expression);                                        \
  if (!statusor.ok()) [[unlikely]] {                                   \
    return std::move(statusor).status();                               \
  }                                                                    \
  declaration = std::move(statusor).value()
