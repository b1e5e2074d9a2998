#include "auth/text.h"

#include <algorithm>

#include "base/status.h"

namespace mokv::auth {

absl::Status CheckText(std::string_view text, std::string_view name) {
  for (size_t at = text.find('\r'); at != std::string_view::npos; at = text.find('\r', at + 1)) {
    if (text.substr(at + 1).starts_with('\n')) continue;
    const auto line = std::count(text.begin(), text.begin() + static_cast<ptrdiff_t>(at), '\n') + 1;
    return InvalidArgument(
        "{}:{}: a carriage return without a line feed behind it: some programs would show two "
        "lines "
        "where there is one; end lines with a line feed, or with both",
        name, line);
  }
  return absl::OkStatus();
}

}  // namespace mokv::auth
