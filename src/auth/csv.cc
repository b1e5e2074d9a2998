#include "auth/csv.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "auth/text.h"
#include "base/status.h"
#include "base/utf8.h"

namespace mokv::auth {
namespace {

// Where programs differ in what they take for white space, or show something else than there is, a field
// is not what its writer thinks.
bool IsPlain(std::string_view piece, std::string& reason) {
  if (!HasControls(piece) && TrimSpace(piece).size() == piece.size()) return true;
  reason = fmt::format(
      "the field {} has a control character in it, or begins or ends with white space that is "
      "neither blank nor tab; take it out",
      Quoted(piece));
  return false;
}

// Takes a field without quotes from `rest`, up to the comma after it. False, with a reason, when it
// is malformed.
bool TakeBareField(std::string_view& rest, std::string& field, std::string& reason) {
  for (int open = 0;; field += ',') {
    const std::string_view piece = Trim(rest.substr(0, rest.find(',')));
    if (!IsPlain(piece, reason)) return false;
    for (const char c : piece) {
      if (c == '"') {
        reason =
            "a quote within a field that does not begin with one; write the field in double "
            "quotes, and each quote in it twice, or quote the texts in a rule for eval() with "
            "single quotes";
        return false;
      }
      if (c == '(') ++open;
      if (c == ')' && --open < 0) break;
    }
    field += piece;
    rest.remove_prefix(std::min(rest.find(','), rest.size()));
    if (open == 0) return true;
    if (open < 0 || rest.empty()) {
      reason =
          "round brackets that do not match; write the field in double quotes if they need not";
      return false;
    }
    rest.remove_prefix(1);  // A comma within brackets, which is part of the field.
  }
}

// Takes one field from `rest`, up to the comma after it.
bool TakeField(std::string_view& rest, std::string& field, std::string& reason) {
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
  if (TrimSpace(field).size() == field.size()) return true;
  reason = fmt::format(
      "the field {} begins or ends with white space, within its quotes; Casbin would take it off: "
      "take it out",
      Quoted(field));
  return false;
}

bool SplitFields(std::string_view line, std::vector<std::string>& fields, std::string& reason) {
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
    std::string reason;
    if (!SplitFields(*line, parsed.fields, reason)) {
      return InvalidArgument("{}:{}: {}", name, lines.number(), reason);
    }
  }
  return result;
}

}  // namespace mokv::auth
