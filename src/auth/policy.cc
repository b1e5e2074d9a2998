#include "auth/policy.h"

#include <algorithm>
#include <utility>

#include "auth/text.h"
#include "base/status.h"

namespace mokv::auth {
namespace {

// Takes one field and the comma after it from `rest`. False, with a reason, when it is malformed.
bool TakeField(std::string_view& rest, std::string& field, std::string_view& reason) {
  rest.remove_prefix(std::min(rest.find_first_not_of(kWhiteSpace), rest.size()));
  if (!rest.starts_with('"')) {
    const std::string_view bare = Trim(rest.substr(0, rest.find(',')));
    if (bare.find('"') != std::string_view::npos) {
      reason = "a quote within a field that does not begin with one";
      return false;
    }
    field = bare;
    rest.remove_prefix(std::min(rest.find(','), rest.size()));
    return true;
  }
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

absl::StatusOr<std::vector<Rule>> ParsePolicy(std::string_view text, std::string_view name) {
  std::vector<Rule> rules;
  Lines lines(text);
  while (const auto line = lines.Next()) {
    if (line->empty() || line->starts_with('#')) continue;
    std::vector<std::string> fields;
    std::string_view reason;
    if (!SplitFields(*line, fields, reason)) {
      return InvalidArgument("{}:{}: {}", name, lines.number(), reason);
    }
    if (fields[0] != "p") {
      return InvalidArgument("{}:{}: unknown kind of line '{}'; supported is 'p'", name,
                             lines.number(), fields[0]);
    }
    if (fields.size() != 4) {
      return InvalidArgument("{}:{}: expected 4 fields (p, subject, object, action), found {}",
                             name, lines.number(), fields.size());
    }
    for (const std::string& field : fields) {
      if (field.empty()) {
        return InvalidArgument("{}:{}: empty field; expected p, subject, object, action", name,
                               lines.number());
      }
    }
    rules.push_back({std::move(fields[1]), std::move(fields[2]), std::move(fields[3])});
  }
  return rules;
}

}  // namespace mokv::auth
