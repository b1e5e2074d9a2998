#include "base/status.h"

#include <cerrno>
#include <string>
#include <system_error>

namespace mokv {

absl::Status ErrnoStatus(int errno_value, std::string_view what) {
  std::string text = fmt::format("{}: {}", what, std::generic_category().message(errno_value));
  switch (errno_value) {
    case ENOENT:
      return absl::NotFoundError(text);
    case EEXIST:
      return absl::AlreadyExistsError(text);
    case EACCES:
    case EPERM:
    case EROFS:
      return absl::PermissionDeniedError(text);
    case ENOSPC:
    case EDQUOT:
    case EMFILE:
    case ENFILE:
      return absl::ResourceExhaustedError(text);
    case EADDRINUSE:
      return absl::AlreadyExistsError(text);
    case EINVAL:
      return absl::InvalidArgumentError(text);
    default:
      return absl::UnavailableError(text);
  }
}

}  // namespace mokv
