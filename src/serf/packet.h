// UDP packets: messages packed into one datagram, and back.
//
//   sending:   messages -> compound -> compress -> checksum -> encrypt
//
// Each layer is optional and known by its first byte. Labels, an option of programs that embed the
// original library, are not supported: a labelled packet counts as one of an unknown type.
//
// Threads: confined to the owner's.
// Bounds:  kExpandedPacketBytesMax for all that one packet unpacks to, kNestingMax layers.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/random.h"
#include "serf/keyring.h"
#include "serf/messages.h"
#include "serf/stats.h"

namespace mokv::serf {

// CRC-32 of IEEE 802.3.
uint32_t Crc32(std::string_view bytes);

struct PacketOptions {
  bool checksum = false;  // Only for receivers that understand it.
  bool compress = true;   // Where it makes the packet shorter.
};

// `messages` each begin with their type byte; at least one, at most kCompoundPartsMax.
std::string PackPacket(const std::vector<std::string>& messages, const PacketOptions& options,
                       const Keyring& keyring, Random& random);

// Older agents drop a compound of more parts.
inline constexpr size_t kCompoundPartsMax = 127;
// Bytes that a compound adds, once and for each part.
inline constexpr size_t kCompoundHeaderBytes = 2;
inline constexpr size_t kCompoundPartBytes = 2;

// A compress message around `plain`, if that is shorter or `always`.
std::optional<std::string> CompressMessage(std::string_view plain, bool always);
// What a compress message holds. nullopt and the reason, when it cannot or may not be unpacked.
std::optional<std::string> DecompressMessage(std::string_view body, size_t plain_bytes_max,
                                             Drop* reason);

struct PacketMessage {
  MessageType type;
  std::string_view body;
};

class PacketReader {
 public:
  static constexpr int kNestingMax = 4;

  // The messages of `packet`. They are views, valid until the next call or the end of `packet`.
  // What cannot be read is left out and counted.
  const std::vector<PacketMessage>& Read(std::string_view packet, const Keyring& keyring,
                                         Stats* stats);

 private:
  void Unpack(std::string_view bytes, int depth);
  void UnpackCompound(std::string_view body, int depth);
  void Dropped(Drop reason) { ++stats_->dropped[static_cast<size_t>(reason)]; }

  Stats* stats_ = nullptr;
  size_t budget_bytes_ = 0;  // What may still be expanded.
  std::string opened_;
  std::deque<std::string> expanded_;
  std::vector<PacketMessage> messages_;
};

}  // namespace mokv::serf
