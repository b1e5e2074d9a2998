// What the protocol wants done: packets to send, streams to open, news for the owner.
//
// Streams: the owner connects to `to`, writes `bytes`, collects the one answer with StreamReader,
// and reports it with Protocol::OnStreamReply. A stream without an answer at `deadline` has failed.
// A connection that the other machine refuses is reported as FAILED_PRECONDITION: it tells a
// process that is gone from a network that is slow.
#pragma once

#include <absl/status/status.h>

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "base/clock.h"
#include "serf/endpoint.h"
#include "serf/serf_messages.h"

namespace mokv::serf {

struct OutgoingPacket {
  Endpoint to;
  std::string bytes;
};

using StreamId = uint64_t;

struct OutgoingStream {
  StreamId id = 0;
  Endpoint to;
  std::string bytes;
  MonotonicTime deadline;
};

enum class MemberStatus : uint8_t { kNone = 0, kAlive = 1, kLeaving = 2, kLeft = 3, kFailed = 4 };
// As `serf members` prints it.
std::string_view NameOf(MemberStatus status);

struct Member {
  std::string name;
  Endpoint at;
  Tags tags;
  MemberStatus status = MemberStatus::kNone;
  Versions versions{};
  // Estimated round trip from here; zero: not known yet.
  Duration round_trip{0};
};

enum class MemberChange : uint8_t { kJoin, kUpdate, kLeave, kFailed, kReap };
std::string_view NameOf(MemberChange change);

struct MemberEvent {
  MemberChange change;
  Member member;
};

struct UserEvent {
  std::string name;
  std::string payload;
  LamportTime ltime = 0;
  bool coalesce = false;
};

// A query to answer: somebody else's, or one of ours, which comes to us too. Answer it with
// Protocol::Respond, once, before the deadline.
using QueryKey = uint64_t;
struct IncomingQuery {
  QueryKey key = 0;
  std::string name;
  std::string payload;
  std::string source_node;
  MonotonicTime deadline;
};

// What came of a query of ours, by the number that Protocol::Query returned.
struct QueryAck {
  QueryKey key = 0;
  std::string from;
};
struct QueryResponse {
  QueryKey key = 0;
  std::string from;
  std::string payload;
};
struct QueryDone {
  QueryKey key = 0;
};

// How the exchange with an address that Protocol::Join was given has ended.
struct JoinResult {
  Endpoint at;
  absl::Status status;
};

struct LeaveDone {};

// Another node has our name, and most of those who answered say that it is the owner. This process
// should not go on under this name.
struct NameConflictLost {
  Endpoint other;
};

// A query has installed or removed a key, or put another one first. The owner should keep the keys.
struct KeyringChanged {
  std::vector<std::string> keys;  // Raw.
};

using Event = std::variant<MemberEvent, UserEvent, IncomingQuery, QueryAck, QueryResponse,
                           QueryDone, JoinResult, LeaveDone, NameConflictLost, KeyringChanged>;

struct Output {
  std::vector<OutgoingPacket> packets;
  std::vector<OutgoingStream> streams;
  std::vector<Event> events;
};

}  // namespace mokv::serf
