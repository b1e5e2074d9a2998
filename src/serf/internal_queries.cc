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

std::optional<std::string> AnswerConflict(std::string_view own_name, const Members& members,
                                          std::string_view name) {
  if (name == own_name) return std::nullopt;  // A party cannot be the judge.
  const auto found = members.all().find(name);
  if (found == members.all().end()) return EncodeConflictResponse(nullptr);
  const ListedNode& node = *found->second.node;
  const MemberRecord record{.name = node.name,
                            .addr = node.at.addr,
                            .port = node.at.port,
                            .tags = DecodeTags(node.meta),
                            .status = static_cast<uint8_t>(found->second.status),
                            .vsn = node.versions};
  return EncodeConflictResponse(&record);
}

KeyResponse ChangeKeys(Environment& env, std::string_view name, std::string_view key) {
  KeyResponse response;
  if (!env.keyring.enabled()) {
    response.message = "No keyring to modify (encryption not enabled)";
    return response;
  }
  absl::Status status;
  if (name == kInstallKeyQuery) {
    status = env.keyring.Install(key);
  } else if (name == kUseKeyQuery) {
    status = env.keyring.Use(key);
  } else if (name == kRemoveKeyQuery) {
    status = env.keyring.Remove(key);
  } else {
    status = InvalidArgument("unknown key query");
  }
  response.result = status.ok();
  response.message = MessageOf(status);
  if (status.ok()) env.output.events.push_back(KeyringChanged{env.keyring.keys()});
  return response;
}

KeyResponse ListKeys(const Keyring& keyring) {
  KeyResponse response;
  if (!keyring.enabled()) {
    response.message = "Keyring is empty (encryption not enabled)";
    return response;
  }
  response.result = true;
  response.primary_key = Base64(keyring.keys().front());
  size_t bytes = 0;
  for (const std::string& key : keyring.keys()) {
    std::string text = Base64(key);
    bytes += text.size() + 2;
    if (bytes > kKeyListBytesMax) {
      response.message = fmt::format("truncated key list response, showing first {} of {} keys",
                                     response.keys.size(), keyring.keys().size());
      break;
    }
    response.keys.push_back(std::move(text));
  }
  return response;
}

std::optional<std::string> AnswerKeyQuery(Environment& env, const QueryMessage& query) {
  if (query.name == kListKeysQuery) return Encode(ListKeys(env.keyring));
  std::string_view key;
  if (query.payload.empty() || query.payload.front() != static_cast<char>(SerfType::kKeyRequest) ||
      !DecodeKeyRequest(query.payload.substr(1), &key)) {
    env.Dropped(Drop::kMalformed);
    return std::nullopt;
  }
  return Encode(ChangeKeys(env, query.name, key));
}

}  // namespace

bool LacksKey(const QueryMessage& query) {
  const bool changes_keys =
      query.name == kInstallKeyQuery || query.name == kUseKeyQuery || query.name == kRemoveKeyQuery;
  return changes_keys && query.payload.empty();
}

std::optional<std::string> AnswerInternalQuery(Environment& env, const Members& members,
                                               const QueryMessage& query) {
  if (query.name == kConflictQuery) {
    return AnswerConflict(env.options.name, members, query.payload);
  }
  if (query.name.ends_with("-key") || query.name.ends_with("-keys")) {
    return AnswerKeyQuery(env, query);
  }
  // `_serf_ping` wants only the ack, which has been sent; unknown queries are left alone.
  return std::nullopt;
}

std::optional<bool> IsVoteFor(const Endpoint& node, std::string_view answer) {
  MemberRecord record;
  bool known = false;
  if (answer.empty() || answer.front() != static_cast<char>(SerfType::kConflictResponse) ||
      !DecodeConflictResponse(answer.substr(1), &record, &known)) {
    return std::nullopt;
  }
  return known && record.addr == node.addr && record.port == node.port;
}

}  // namespace mokv::serf
