#include "serf/keyring_file.h"

#include <absl/strings/escaping.h>

#include "base/status.h"
#include "serf/keyring.h"

namespace mokv::serf {
namespace {

std::string Base64(std::string_view bytes) {
  return absl::Base64Escape({bytes.data(), bytes.size()});
}

void SkipSpace(std::string_view* text) {
  while (!text->empty() && std::string_view(" \t\r\n").find(text->front()) != std::string::npos) {
    text->remove_prefix(1);
  }
}

bool Take(char c, std::string_view* text) {
  SkipSpace(text);
  if (text->empty() || text->front() != c) return false;
  text->remove_prefix(1);
  return true;
}

}  // namespace

std::string FormatKeyringFile(const std::vector<std::string>& keys) {
  std::string text = "[\n";
  for (size_t i = 0; i < keys.size(); ++i) {
    text += "  \"" + Base64(keys[i]) + (i + 1 < keys.size() ? "\",\n" : "\"\n");
  }
  return text + "]\n";
}

absl::StatusOr<std::vector<std::string>> ParseKeyringFile(std::string_view text) {
  absl::Status not_a_list =
      InvalidArgument("a keyring is a JSON list of base64 texts, such as [\"...\", \"...\"]");
  std::vector<std::string> keys;
  if (!Take('[', &text)) return not_a_list;
  do {
    if (!Take('"', &text)) return not_a_list;
    const size_t end = text.find('"');
    if (end == std::string_view::npos) return not_a_list;
    const std::string_view base64 = text.substr(0, end);
    text.remove_prefix(end + 1);
    std::string key;
    // Abseil forgives what other programs that read the same file do not.
    if (!absl::Base64Unescape({base64.data(), base64.size()}, &key) || Base64(key) != base64) {
      return InvalidArgument("key {} is not padded base64", keys.size() + 1);
    }
    keys.push_back(std::move(key));
  } while (Take(',', &text));
  if (!Take(']', &text)) return not_a_list;
  SkipSpace(&text);
  if (!text.empty()) return not_a_list;
  MOKV_RETURN_IF_ERROR(Keyring::Create(keys).status());
  return keys;
}

}  // namespace mokv::serf
