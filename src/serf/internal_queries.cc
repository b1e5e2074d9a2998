// The queries that Serf itself asks: reachability, whose name it is, and the keys.
#include <absl/strings/escaping.h>

#include "base/status.h"
#include "serf/core.h"

namespace mokv::serf {
namespace {

constexpr std::string_view kConflictQuery = "_serf_conflict";
// Between two questions about our own name: whoever has it will go on to announce it.
constexpr Duration kConflictPause = std::chrono::seconds(30);
// Room for the rest of an answer besides the keys.
constexpr size_t kKeyListBytesMax = 700;

std::string Base64(std::string_view bytes) {
  return absl::Base64Escape({bytes.data(), bytes.size()});
}

}  // namespace

void Core::OnInternalQuery(const QueryMessage& query, const AskedQuery& asked) {
  // `_serf_ping` wants the ack alone, and has it; names that are not known are left alone.
  if (query.name == kConflictQuery) return AnswerConflict(query, asked);
  if (query.name.ends_with("-key") || query.name.ends_with("-keys")) {
    return AnswerKeyQuery(query, asked);
  }
}

// ---- Whose name?

void Core::AnswerConflict(const QueryMessage& query, const AskedQuery& asked) {
  if (query.payload == options_.name) return;  // A party cannot be the judge.
  const auto found = members_.find(query.payload);
  if (found == members_.end()) {
    SendResponse(asked, 0, EncodeConflictResponse(nullptr)).IgnoreError();
    return;
  }
  const Node& node = *found->second.node;
  const MemberRecord record{.name = node.name,
                            .addr = node.at.addr,
                            .port = node.at.port,
                            .tags = DecodeTags(node.meta),
                            .status = static_cast<uint8_t>(found->second.status),
                            .vsn = node.versions};
  SendResponse(asked, 0, EncodeConflictResponse(&record)).IgnoreError();
}

void Core::OnNameConflict(const Node& known, const Endpoint& other) {
  if (known.name != options_.name) return;  // For those two to settle.
  if (conflict_with_.has_value() || now_ < next_conflict_ || leave_phase_ != LeavePhase::kNone) {
    return;
  }
  QueryRequest request{.name = std::string(kConflictQuery), .payload = options_.name};
  if (!StartQuery(request, /*conflict=*/true).ok()) return;
  conflict_with_ = other;
  next_conflict_ = now_ + kConflictPause;
}

void Core::CountConflictVote(OwnQuery& query, std::string_view payload) {
  MemberRecord record;
  bool known = false;
  if (payload.empty() || payload.front() != static_cast<char>(SerfType::kConflictResponse) ||
      !DecodeConflictResponse(payload.substr(1), &record, &known)) {
    return Dropped(Drop::kMalformed);
  }
  if (known && record.addr == options_.advertise.addr && record.port == options_.advertise.port) {
    ++query.votes_for_us;
  }
}

void Core::FinishConflict(const OwnQuery& query) {
  const Endpoint other = conflict_with_.value_or(Endpoint{});
  conflict_with_.reset();
  const size_t votes = query.answered.size();
  // Nobody to ask is no verdict: a stray record must not stop a node that is alone. (Agents give
  // up in that case.)
  if (votes == 0 || query.votes_for_us >= votes / 2 + 1) return;
  output_.events.push_back(NameConflictLost{other});
}

// ---- Keys.

void Core::AnswerKeyQuery(const QueryMessage& query, const AskedQuery& asked) {
  KeyResponse response;
  if (query.name == "_serf_list-keys") {
    response = ListKeys();
  } else {
    std::string_view key;
    if (query.payload.empty() ||
        query.payload.front() != static_cast<char>(SerfType::kKeyRequest) ||
        !DecodeKeyRequest(query.payload.substr(1), &key)) {
      return Dropped(Drop::kMalformed);
    }
    response = ChangeKeys(query.name, key);
  }
  SendResponse(asked, 0, Encode(response)).IgnoreError();
}

KeyResponse Core::ChangeKeys(std::string_view name, std::string_view key) {
  KeyResponse response;
  if (!keyring_.enabled()) {
    response.message = "No keyring to modify (encryption not enabled)";
    return response;
  }
  absl::Status status;
  if (name == "_serf_install-key") {
    status = keyring_.Install(key);
  } else if (name == "_serf_use-key") {
    status = keyring_.Use(key);
  } else if (name == "_serf_remove-key") {
    status = keyring_.Remove(key);
  } else {
    status = InvalidArgument("unknown key query");
  }
  response.result = status.ok();
  response.message = MessageOf(status);
  if (status.ok()) output_.events.push_back(KeyringChanged{keyring_.keys()});
  return response;
}

KeyResponse Core::ListKeys() const {
  KeyResponse response;
  if (!keyring_.enabled()) {
    response.message = "Keyring is empty (encryption not enabled)";
    return response;
  }
  response.result = true;
  response.primary_key = Base64(keyring_.keys().front());
  size_t bytes = 0;
  for (const std::string& key : keyring_.keys()) {
    std::string text = Base64(key);
    bytes += text.size() + 2;
    if (bytes > kKeyListBytesMax) {
      response.message = fmt::format("truncated key list response, showing first {} of {} keys",
                                     response.keys.size(), keyring_.keys().size());
      break;
    }
    response.keys.push_back(std::move(text));
  }
  return response;
}

}  // namespace mokv::serf
