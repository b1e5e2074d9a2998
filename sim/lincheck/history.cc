#include "sim/lincheck/history.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/status.h"

namespace mokv::lincheck {
namespace {

using nlohmann::json;

const char* KindName(Kind kind) {
  switch (kind) {
    case Kind::kGet:
      return "get";
    case Kind::kSet:
      return "set";
    case Kind::kDelete:
      return "delete";
    case Kind::kCas:
      return "cas";
  }
  return "?";
}

const json* Member(const json& object, const char* name) {
  const auto found = object.find(name);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

// Keys, values and clients are usually texts or numbers; all that matters is whether they are
// equal.
std::optional<std::string> Scalar(const json* value) {
  if (value == nullptr) return std::nullopt;
  return value->is_string() ? value->get<std::string>() : value->dump();
}

absl::StatusOr<Kind> ParseKind(const json& object) {
  const json* op = Member(object, "op");
  for (const Kind kind : {Kind::kGet, Kind::kSet, Kind::kDelete, Kind::kCas}) {
    if (op != nullptr && *op == KindName(kind)) return kind;
  }
  return InvalidArgument("\"op\" is {}; must be get, set, delete or cas",
                         op == nullptr ? "missing" : op->dump());
}

absl::StatusOr<int64_t> ParseTime(const json& object, const char* name) {
  const json* time = Member(object, name);
  if (time == nullptr || !time->is_number_integer() ||
      (time->is_number_unsigned() && time->get<uint64_t>() >= static_cast<uint64_t>(kNever))) {
    return InvalidArgument("\"{}\" is {}; must be an integer", name,
                           time == nullptr ? "missing" : time->dump());
  }
  return time->get<int64_t>();
}

absl::StatusOr<Operation> ParseOperation(const json& object) {
  if (!object.is_object()) return InvalidArgument("not a JSON object");
  Operation operation;
  MOKV_ASSIGN_OR_RETURN(operation.kind, ParseKind(object));
  operation.client = Scalar(Member(object, "client")).value_or("");
  const json* key = Member(object, "key");
  if (key == nullptr || key->is_structured()) return InvalidArgument("\"key\" is missing");
  operation.key = *Scalar(key);
  operation.value = Scalar(Member(object, "value"));
  operation.expected = Scalar(Member(object, "expected"));
  const bool writes = operation.kind == Kind::kSet || operation.kind == Kind::kCas;
  if (writes && !operation.value) return InvalidArgument("\"value\" of a write is missing");
  const auto ok = object.find("ok");
  if (ok == object.end()) return InvalidArgument("\"ok\" is missing; must be true, false or null");
  if (ok->is_null()) {
    operation.outcome = Outcome::kUnknown;
  } else if (ok->is_boolean()) {
    operation.outcome = ok->get<bool>() ? Outcome::kDone : Outcome::kNotDone;
  } else {
    return InvalidArgument("\"ok\" is {}; must be true, false or null", ok->dump());
  }
  MOKV_ASSIGN_OR_RETURN(operation.start, ParseTime(object, "start"));
  if (operation.outcome == Outcome::kUnknown && Member(object, "end") == nullptr) return operation;
  MOKV_ASSIGN_OR_RETURN(operation.end, ParseTime(object, "end"));
  if (operation.end < operation.start) {
    return InvalidArgument("ends at {}, before its start at {}", operation.end, operation.start);
  }
  return operation;
}

std::string Text(const std::optional<std::string>& value) {
  return value ? fmt::format("{:?}", *value) : "missing";
}

}  // namespace

absl::StatusOr<std::vector<Operation>> ParseHistory(std::string_view json_lines) {
  std::vector<Operation> history;
  for (size_t number = 1; !json_lines.empty(); ++number) {
    const size_t end = json_lines.find('\n');
    const std::string_view line = json_lines.substr(0, end);
    json_lines.remove_prefix(end == std::string_view::npos ? json_lines.size() : end + 1);
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    const json object = json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (object.is_discarded()) return InvalidArgument("line {}: not JSON", number);
    absl::StatusOr<Operation> operation = ParseOperation(object);
    if (!operation.ok()) {
      return InvalidArgument("line {}: {}", number, MessageOf(operation.status()));
    }
    history.push_back(*std::move(operation));
  }
  return history;
}

std::string ToString(const Operation& operation) {
  std::string text =
      fmt::format("client {:<4} {:>12} .. {:<12} {} {:?}", operation.client, operation.start,
                  operation.end == kNever ? "?" : fmt::format("{}", operation.end),
                  KindName(operation.kind), operation.key);
  if (operation.kind == Kind::kCas) text += fmt::format(" from {}", Text(operation.expected));
  if (operation.kind == Kind::kSet || operation.kind == Kind::kCas) {
    text += fmt::format(" to {}", Text(operation.value));
  }
  if (operation.kind == Kind::kGet && operation.outcome == Outcome::kDone) {
    text += fmt::format(" -> {}", Text(operation.value));
  }
  if (operation.outcome == Outcome::kNotDone) text += " -> not done";
  if (operation.outcome == Outcome::kUnknown) text += " -> unknown";
  return text;
}

std::string ToJson(const Operation& operation) {
  json object{{"client", operation.client},
              {"op", KindName(operation.kind)},
              {"key", operation.key},
              {"start", operation.start}};
  if (operation.value.has_value()) object["value"] = *operation.value;
  if (operation.kind == Kind::kCas) {
    object["expected"] = operation.expected.has_value() ? json(*operation.expected) : json();
  }
  object["ok"] =
      operation.outcome == Outcome::kUnknown ? json() : json(operation.outcome == Outcome::kDone);
  object["end"] = operation.end == kNever ? json() : json(operation.end);
  return object.dump();
}

}  // namespace mokv::lincheck
