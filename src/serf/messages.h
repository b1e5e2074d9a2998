// The memberlist layer's messages: who is where, who is suspected, who has gone.
//
// Text and bytes of a decoded message are views into the packet that it came in; those to be
// encoded may point anywhere. Decoding checks form only (types, sizes that no honest node exceeds);
// what a message may do is decided by NodeTable and Prober.
//
// Units: ports and numbers in host order; addresses are 4 or 16 bytes in network order.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "serf/msgpack.h"

namespace mokv::serf {

enum class MessageType : uint8_t {
  kPing = 0,
  kIndirectPing = 1,
  kAck = 2,
  kSuspect = 3,
  kAlive = 4,
  kDead = 5,
  kPushPull = 6,
  kCompound = 7,
  kUser = 8,
  kCompress = 9,
  kEncrypt = 10,
  kNack = 11,
  kCrc = 12,
  kError = 13,
  kLabel = 244,
};

// Longer than any host name. Agents have no limit, but each name costs every node memory.
inline constexpr size_t kNameBytesMax = 255;
// A node sends up to 512 bytes of meta, and reads more, as agents do.
inline constexpr size_t kMetaBytesMax = 2048;
inline constexpr size_t kMetaBytesSendMax = 512;

// Minimum, maximum and spoken version of the memberlist protocol, then of Serf's.
using Versions = std::array<uint8_t, 6>;
inline constexpr Versions kOurVersions = {1, 5, 2, 2, 5, 5};
enum VersionIndex {
  kProtocolMin,
  kProtocolMax,
  kProtocolCur,
  kDelegateMin,
  kDelegateMax,
  kDelegateCur
};

// Where an answer goes: all fields are set, or none, which means the packet's source.
struct Source {
  std::string_view addr;
  uint16_t port = 0;
  std::string_view node;
};

struct Ping {
  uint32_t seq = 0;
  std::string_view node;
  Source source;
};

struct IndirectPing {
  uint32_t seq = 0;
  std::string_view target;
  uint16_t port = 0;
  std::string_view node;
  bool nack = false;
  Source source;
};

struct Ack {
  uint32_t seq = 0;
  std::string_view payload;
};

struct Nack {
  uint32_t seq = 0;
};

struct Suspect {
  uint32_t incarnation = 0;
  std::string_view node;
  std::string_view from;
};

struct Alive {
  uint32_t incarnation = 0;
  std::string_view node;
  std::string_view addr;
  uint16_t port = 0;
  std::string_view meta;
  std::string_view vsn;
};

struct Dead {
  uint32_t incarnation = 0;
  std::string_view node;
  std::string_view from;
};

enum class NodeState : uint8_t { kAlive = 0, kSuspect = 1, kDead = 2, kLeft = 3 };

// One entry of a push/pull's list.
struct NodeRecord {
  Alive alive;
  NodeState state = NodeState::kAlive;
};

struct PushPullHeader {
  bool join = false;
  int64_t nodes = 0;
  int64_t user_state_bytes = 0;
};

// Bodies, with the type byte in front. Field order and forms are an old agent's.
std::string Encode(const Ping& message);
std::string Encode(const IndirectPing& message);
std::string Encode(const Ack& message);
std::string Encode(const Nack& message);
std::string Encode(const Suspect& message);
std::string Encode(const Alive& message);
std::string Encode(const Dead& message);
std::string EncodeError(std::string_view text);
void Append(const PushPullHeader& header, std::string* out);  // With the type byte.
void Append(const NodeRecord& record, std::string* out);      // Without.

// `body` is what follows the type byte; bytes after the object are ignored, as agents do.
bool Decode(std::string_view body, Ping* message);
bool Decode(std::string_view body, IndirectPing* message);
bool Decode(std::string_view body, Ack* message);
bool Decode(std::string_view body, Nack* message);
bool Decode(std::string_view body, Suspect* message);
bool Decode(std::string_view body, Alive* message);
bool Decode(std::string_view body, Dead* message);
bool DecodeError(std::string_view body, std::string_view* text);
bool Decode(MsgpackReader& reader, PushPullHeader* header);
bool Decode(MsgpackReader& reader, NodeRecord* record);

// A name that may go into tables, logs and the peer list: UTF-8 without control characters.
bool IsValidName(std::string_view name);
// 4 or 16 bytes, and not the unspecified address.
bool IsValidAddress(std::string_view addr);

}  // namespace mokv::serf
