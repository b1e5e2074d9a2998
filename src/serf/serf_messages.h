// The Serf layer's messages, carried in memberlist's user messages and push/pull state: intents,
// user events, queries and their answers.
//
// Decoded text and bytes are views into the packet; decoding checks form only.
//
// Units: `ltime` is Lamport time, of one of three separate clocks; Timeout is nanoseconds.
#pragma once

#include <absl/status/status.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "serf/messages.h"

namespace mokv::serf {

using Tags = std::map<std::string, std::string>;
using LamportTime = uint64_t;

enum class SerfType : uint8_t {
  kLeave = 0,
  kJoin = 1,
  kPushPull = 2,
  kUserEvent = 3,
  kQuery = 4,
  kQueryResponse = 5,
  kConflictResponse = 6,
  kKeyRequest = 7,
  kKeyResponse = 8,
  kRelay = 9,
};

// Slots of the rings that remember events and queries; fixed by the protocol.
inline constexpr size_t kRingSlots = 512;
// Events of one Lamport time: few nodes send one at the same moment. The bound is against lists of
// empty elements, of which each takes a byte on the wire and more in memory.
inline constexpr size_t kEventsPerSlotMax = 64;
// Names in one push/pull state, for the same reason.
inline constexpr size_t kStateNamesMax = 16384;

struct LeaveIntent {
  LamportTime ltime = 0;
  std::string_view node;
  bool prune = false;
};

struct JoinIntent {
  LamportTime ltime = 0;
  std::string_view node;
};

struct UserEventMessage {
  LamportTime ltime = 0;
  std::string_view name;
  std::string_view payload;
  bool coalesce = false;
};

inline constexpr uint32_t kQueryFlagAck = 1;
inline constexpr uint32_t kQueryFlagNoBroadcast = 2;

struct QueryMessage {
  LamportTime ltime = 0;
  uint32_t id = 0;
  std::string_view addr;
  uint16_t port = 0;
  std::string_view source_node;
  std::vector<std::string_view> filters;
  uint32_t flags = 0;
  uint8_t relay_factor = 0;
  int64_t timeout_ns = 0;
  std::string_view name;
  std::string_view payload;
};

inline constexpr uint32_t kResponseFlagAck = 1;

struct QueryResponseMessage {
  LamportTime ltime = 0;
  uint32_t id = 0;
  std::string_view from;
  uint32_t flags = 0;
  std::string_view payload;
};

struct RelayHeader {
  std::string_view addr;
  uint16_t port = 0;
  std::string_view node;
};

// The member record that answers `_serf_conflict`.
struct MemberRecord {
  std::string_view name;
  std::string_view addr;
  uint16_t port = 0;
  Tags tags;
  uint8_t status = 0;
  Versions vsn = kOurVersions;
};

struct KeyResponse {
  bool result = false;
  std::string message;
  std::vector<std::string> keys;  // Base64.
  std::string primary_key;        // Base64.
};

struct BufferedEvents {
  LamportTime ltime = 0;
  std::vector<std::pair<std::string_view, std::string_view>> events;  // Name, payload.
};

struct PushPullState {
  LamportTime ltime = 0;
  LamportTime event_ltime = 0;
  LamportTime query_ltime = 0;
  std::vector<std::pair<std::string_view, LamportTime>> status_ltimes;
  std::vector<std::string_view> left_members;
  // On the wire always kRingSlots places, the unused ones nil; here only those that are used, with
  // their place.
  std::vector<std::pair<uint32_t, BufferedEvents>> events;
};

// With Serf's type byte in front, ready to be put into a user message.
std::string Encode(const LeaveIntent& message);
std::string Encode(const JoinIntent& message);
std::string Encode(const UserEventMessage& message);
std::string Encode(const QueryMessage& message);
std::string Encode(const QueryResponseMessage& message);
std::string Encode(const PushPullState& state);
std::string EncodeRelay(const RelayHeader& header, std::string_view message);
std::string EncodeConflictResponse(const MemberRecord* member);  // Null: no such member.
std::string EncodeKeyRequest(std::string_view key);
std::string Encode(const KeyResponse& response);
// Parts of QueryMessage::filters.
std::string EncodeNodeFilter(const std::vector<std::string>& names);
std::string EncodeTagFilter(std::string_view tag, std::string_view expression);

// `body` follows the type byte.
bool Decode(std::string_view body, LeaveIntent* message);
bool Decode(std::string_view body, JoinIntent* message);
bool Decode(std::string_view body, UserEventMessage* message);
bool Decode(std::string_view body, QueryMessage* message);
bool Decode(std::string_view body, QueryResponseMessage* message);
bool Decode(std::string_view body, PushPullState* state);
// `*message` gets what is to be relayed.
bool DecodeRelay(std::string_view body, RelayHeader* header, std::string_view* message);
// `*known` false: the answering node has no such member.
bool DecodeConflictResponse(std::string_view body, MemberRecord* member, bool* known);
bool DecodeKeyRequest(std::string_view body, std::string_view* key);
bool Decode(std::string_view body, KeyResponse* response);

struct TagFilter {
  std::string_view tag;
  std::string_view expression;
};
bool DecodeNodeFilter(std::string_view body, std::vector<std::string_view>* names);
bool Decode(std::string_view body, TagFilter* filter);

// A node's meta bytes.
std::string EncodeTags(const Tags& tags);
// INVALID_ARGUMENT: they take more bytes than a packet has room for.
absl::Status CheckTags(const Tags& tags);
// Never fails: the meta of old nodes is a bare role, and what is readable of a broken map is kept.
Tags DecodeTags(std::string_view meta);

}  // namespace mokv::serf
