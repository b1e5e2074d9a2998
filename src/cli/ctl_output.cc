#include "cli/ctl_output.h"

#include <absl/strings/escaping.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "api/kv.pb.h"
#include "base/json.h"
#include "base/status.h"
#include "base/utf8.h"

namespace mokv {

int CtlExitStatus(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return kCtlDone;
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
      return kCtlUnreachable;
    default:
      return kCtlRefused;
  }
}

int CtlComplain(const absl::Status& status) {
  const std::string_view message = MessageOf(status);
  std::fprintf(stderr, "mokvctl: %.*s\n", static_cast<int>(message.size()), message.data());
  return CtlExitStatus(status);
}

std::string Base64(std::string_view bytes) {
  return absl::Base64Escape(absl::string_view(bytes.data(), bytes.size()));
}

std::string ItemJson(const api::GetResponse& item) {
  return fmt::format(
      R"({{"key":{},"value":"{}","create_revision":{},"mod_revision":{},"version":{}}})",
      JsonString(item.key()), Base64(item.value()), item.create_revision(), item.mod_revision(),
      item.version());
}

void PrintRaw(std::string_view bytes) { std::fwrite(bytes.data(), 1, bytes.size(), stdout); }

void PrintLine(std::string_view line) {
  PrintRaw(line);
  PrintRaw("\n");
}

bool OutputIsTerminal() { return isatty(STDOUT_FILENO) == 1; }

std::string Escaped(std::string_view bytes, std::string_view kept) {
  const bool is_text = IsUtf8(bytes);
  std::string out;
  for (size_t i = 0; i < bytes.size(); ++i) {
    const char c = bytes[i];
    const auto byte = static_cast<unsigned char>(c);
    // U+0080 to U+009F are control characters as well.
    if (is_text && byte == 0xc2 && static_cast<unsigned char>(bytes[i + 1]) < 0xa0) {
      out += fmt::format("\\xc2\\x{:02x}", static_cast<unsigned char>(bytes[++i]));
      continue;
    }
    if (kept.find(c) != std::string_view::npos) {
      out += c;
    } else if (c == '\\') {
      out += "\\\\";
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else if (byte < 0x20 || byte == 0x7f || (byte >= 0x80 && !is_text)) {
      out += fmt::format("\\x{:02x}", byte);
    } else {
      out += c;
    }
  }
  return out;
}

std::string FormatTable(const std::vector<std::vector<std::string>>& rows) {
  std::vector<size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string out;
  for (const auto& row : rows) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) line += fmt::format("{:<{}}  ", row[i], widths[i]);
    out += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
  }
  return out;
}

std::string FormatBytes(uint64_t bytes) {
  static constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  double number = static_cast<double>(bytes);
  size_t unit = 0;
  while (number >= 1024 && unit + 1 < std::size(kUnits)) {
    number /= 1024;
    ++unit;
  }
  return unit == 0 ? fmt::format("{} B", bytes) : fmt::format("{:.1f} {}", number, kUnits[unit]);
}

std::string FormatRoundTrip(uint64_t microseconds) {
  if (microseconds == 0) return "-";
  return fmt::format("{:.1f} ms", static_cast<double>(microseconds) / 1000);
}

}  // namespace mokv
