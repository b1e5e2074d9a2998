#include "serf/internal_queries.h"

#include <absl/strings/escaping.h>

#include "base/status.h"

namespace mokv::serf {
namespace {

constexpr std::string_view kInstallKeyQuery = "_serf_install-key";
constexpr std::string_view kUseKeyQuery = "_serf_use-key";
constexpr std::string_view kRemoveKeyQuery = "_serf_remove-key";
constexpr std::string_view kListKeysQuery = "_serf_list-keys";
// Room for the rest of an answer besides the keys.
constexpr size_t kKeyListBytesMax = 700;

std::string Base64(std::string_view bytes) {
  return absl::Base64Escape({bytes.data(), bytes.size()});
}

}  // namespace

bool InternalQueries::LacksKey(const QueryMessage& query) {
  const bool changes_keys =
      query.name == kInstallKeyQuery || query.name == kUseKeyQuery || query.name == kRemoveKeyQuery;
  return changes_keys && query.payload.empty();
}

std::optional<std::string> InternalQueries::Answer(const QueryMessage& query) {
  if (query.name == kConflictQuery) return AnswerConflict(query);
  if (query.name.ends_with("-key") || query.name.ends_with("-keys")) return AnswerKeyQuery(query);
  // `_serf_ping` wants nothing but the ack, which it has; unknown ones are left alone.
  return std::nullopt;
}

// ---- Whose name?

std::optional<std::string> InternalQueries::AnswerConflict(const QueryMessage& query) const {
  if (query.payload == env_.options.name) return std::nullopt;  // A party cannot be the judge.
  const auto found = members_.all().find(query.payload);
  if (found == members_.all().end()) return EncodeConflictResponse(nullptr);
  const ListedNode& node = *found->second.node;
  const MemberRecord record{.name = node.name,
                            .addr = node.at.addr,
                            .port = node.at.port,
                            .tags = DecodeTags(node.meta),
                            .status = static_cast<uint8_t>(found->second.status),
                            .vsn = node.versions};
  return EncodeConflictResponse(&record);
}

std::optional<bool> InternalQueries::IsVoteForUs(std::string_view answer) const {
  MemberRecord record;
  bool known = false;
  if (answer.empty() || answer.front() != static_cast<char>(SerfType::kConflictResponse) ||
      !DecodeConflictResponse(answer.substr(1), &record, &known)) {
    return std::nullopt;
  }
  const Endpoint& own = env_.options.advertise;
  return known && record.addr == own.addr && record.port == own.port;
}

// ---- Keys.

std::optional<std::string> InternalQueries::AnswerKeyQuery(const QueryMessage& query) {
  if (query.name == kListKeysQuery) return Encode(ListKeys());
  std::string_view key;
  if (query.payload.empty() || query.payload.front() != static_cast<char>(SerfType::kKeyRequest) ||
      !DecodeKeyRequest(query.payload.substr(1), &key)) {
    env_.Dropped(Drop::kMalformed);
    return std::nullopt;
  }
  return Encode(ChangeKeys(query.name, key));
}

KeyResponse InternalQueries::ChangeKeys(std::string_view name, std::string_view key) {
  KeyResponse response;
  if (!env_.keyring.enabled()) {
    response.message = "No keyring to modify (encryption not enabled)";
    return response;
  }
  absl::Status status;
  if (name == kInstallKeyQuery) {
    status = env_.keyring.Install(key);
  } else if (name == kUseKeyQuery) {
    status = env_.keyring.Use(key);
  } else if (name == kRemoveKeyQuery) {
    status = env_.keyring.Remove(key);
  } else {
    status = InvalidArgument("unknown key query");
  }
  response.result = status.ok();
  response.message = MessageOf(status);
  if (status.ok()) env_.output.events.push_back(KeyringChanged{env_.keyring.keys()});
  return response;
}

KeyResponse InternalQueries::ListKeys() const {
  KeyResponse response;
  if (!env_.keyring.enabled()) {
    response.message = "Keyring is empty (encryption not enabled)";
    return response;
  }
  response.result = true;
  response.primary_key = Base64(env_.keyring.keys().front());
  size_t bytes = 0;
  for (const std::string& key : env_.keyring.keys()) {
    std::string text = Base64(key);
    bytes += text.size() + 2;
    if (bytes > kKeyListBytesMax) {
      response.message = fmt::format("truncated key list response, showing first {} of {} keys",
                                     response.keys.size(), env_.keyring.keys().size());
      break;
    }
    response.keys.push_back(std::move(text));
  }
  return response;
}

}  // namespace mokv::serf
