#include "auth/csv.h"

#include <algorithm>
#include <utility>

#include "auth/text.h"
#include "base/status.h"

namespace mokv::auth {
namespace {

// Takes a field without quotes from `rest`, up to the comma after it. False, with a reason, when it
// is malformed.
bool TakeBareField(std::string_view& rest, std::string& field, std::string_view& reason) {
  int open = 0;
  size_t end = 0;
  for (; end < rest.size() && (rest[end] != ',' || open > 0); ++end) {
    if (rest[end] == '"') {
      reason =
          "a quote within a field that does not begin with one; write the field in double quotes, "
          "and each quote in it twice";
      return false;
    }
    if (rest[end] == '(') ++open;
    if (rest[end] == ')') --open;
    if (open < 0) break;
  }
  if (open != 0) {
    reason = "round brackets that do not match; write the field in double quotes if they need not";
    return false;
  }
  field = Trim(rest.substr(0, end));
  rest.remove_prefix(end);
  return true;
}

// Takes one field from `rest`, up to the comma after it.
bool TakeField(std::string_view& rest, std::string& field, std::string_view& reason) {
  rest.remove_prefix(std::min(rest.find_first_not_of(kWhiteSpace), rest.size()));
  if (!rest.starts_with('"')) return TakeBareField(rest, field, reason);
  rest.remove_prefix(1);
  while (true) {
    const size_t quote = rest.find('"');
    if (quote == std::string_view::npos) {
      reason = "a quoted field that does not end on its line";
      return false;
    }
    field += rest.substr(0, quote);
    rest.remove_prefix(quote + 1);
    if (!rest.starts_with('"')) break;
    field += '"';  // Two quotes within a quoted field stand for one.
    rest.remove_prefix(1);
  }
  rest.remove_prefix(std::min(rest.find_first_not_of(kWhiteSpace), rest.size()));
  if (!rest.empty() && !rest.starts_with(',')) {
    reason = "text after the end of a quoted field";
    return false;
  }
  return true;
}

bool SplitFields(std::string_view line, std::vector<std::string>& fields,
                 std::string_view& reason) {
  while (true) {
    std::string field;
    if (!TakeField(line, field, reason)) return false;
    fields.push_back(std::move(field));
    if (line.empty()) return true;
    line.remove_prefix(1);  // The comma.
  }
}

}  // namespace

absl::StatusOr<std::vector<CsvLine>> ParseCsv(std::string_view text, std::string_view name) {
  MOKV_RETURN_IF_ERROR(CheckText(text, name));
  std::vector<CsvLine> result;
  Lines lines(text);
  while (const auto line = lines.Next()) {
    if (line->empty() || line->starts_with('#')) continue;
    CsvLine& parsed = result.emplace_back(CsvLine{lines.number(), {}});
    std::string_view reason;
    if (!SplitFields(*line, parsed.fields, reason)) {
      return InvalidArgument("{}:{}: {}", name, lines.number(), reason);
    }
  }
  return result;
}

}  // namespace mokv::auth
