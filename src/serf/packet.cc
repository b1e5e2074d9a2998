#include "serf/packet.h"

#include <array>

#include "base/check.h"
#include "serf/lzw.h"
#include "serf/msgpack.h"
#include "serf/options.h"

namespace mokv::serf {
namespace {

constexpr size_t kChecksumHeaderBytes = 5;

constexpr std::array<uint32_t, 256> MakeCrcTable() {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t value = i;
    for (int bit = 0; bit < 8; ++bit) value = value >> 1 ^ (value & 1 ? 0xedb88320u : 0u);
    table[i] = value;
  }
  return table;
}
constexpr std::array<uint32_t, 256> kCrcTable = MakeCrcTable();

uint32_t BigEndian(std::string_view bytes) {
  uint32_t value = 0;
  for (const char c : bytes) value = value << 8 | static_cast<uint8_t>(c);
  return value;
}

void AppendBigEndian(uint32_t value, int bytes, std::string* out) {
  for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8) {
    out->push_back(static_cast<char>(value >> shift));
  }
}

std::string MakeCompound(const std::vector<std::string>& messages) {
  std::string out;
  out.push_back(static_cast<char>(MessageType::kCompound));
  out.push_back(static_cast<char>(messages.size()));
  for (const std::string& message : messages) {
    // An empty part crashes old agents.
    MOKV_CHECK(!message.empty());
    MOKV_CHECK_LE(message.size(), size_t{0xffff});
    AppendBigEndian(static_cast<uint32_t>(message.size()), 2, &out);
  }
  for (const std::string& message : messages) out += message;
  return out;
}

}  // namespace

uint32_t Crc32(std::string_view bytes) {
  uint32_t crc = ~0u;
  for (const char c : bytes) crc = crc >> 8 ^ kCrcTable[(crc ^ static_cast<uint8_t>(c)) & 0xff];
  return ~crc;
}

std::optional<std::string> CompressMessage(std::string_view plain, bool always) {
  const std::string packed = LzwCompress(plain);
  std::string out;
  out.reserve(packed.size() + 16);
  out.push_back(static_cast<char>(MessageType::kCompress));
  MsgpackWriter writer(&out);
  writer.Map(2);
  writer.Raw("Algo");
  writer.Uint(0);
  writer.Raw("Buf");
  writer.Raw(packed);
  if (!always && out.size() >= plain.size()) return std::nullopt;
  return out;
}

std::optional<std::string> DecompressMessage(std::string_view body, size_t plain_bytes_max,
                                             Drop* reason) {
  *reason = Drop::kMalformed;
  uint64_t algorithm = 0;
  std::string_view packed;
  MsgpackReader reader(body);
  const bool read = ReadStruct(reader, [&](std::string_view key) {
    if (key == "Algo") return reader.Uint(&algorithm);
    if (key == "Buf") return reader.Raw(&packed);
    return reader.Skip();
  });
  if (!read || algorithm != 0) return std::nullopt;
  std::string plain;
  switch (LzwDecompress(packed, plain_bytes_max, &plain)) {
    case LzwError::kTooLarge:
      *reason = Drop::kTooLarge;
      return std::nullopt;
    case LzwError::kMalformed:
      return std::nullopt;
    case LzwError::kNone:
      break;
  }
  // Empty text is no message, and it crashes other agents.
  if (plain.empty()) return std::nullopt;
  return plain;
}

std::string PackPacket(const std::vector<std::string>& messages, const PacketOptions& options,
                       const Keyring& keyring, Random& random) {
  MOKV_CHECK(!messages.empty());
  MOKV_CHECK_LE(messages.size(), kCompoundPartsMax);
  std::string packet = messages.size() == 1 ? messages.front() : MakeCompound(messages);
  if (options.compress) {
    if (auto compressed = CompressMessage(packet, /*always=*/false)) {
      packet = std::move(*compressed);
    }
  }
  if (options.checksum) {
    std::string header(1, static_cast<char>(MessageType::kCrc));
    AppendBigEndian(Crc32(packet), 4, &header);
    packet.insert(0, header);
  }
  return keyring.enabled() ? keyring.Seal(packet, {}, random) : packet;
}

const std::vector<PacketMessage>& PacketReader::Read(std::string_view packet,
                                                     const Keyring& keyring, Stats* stats) {
  messages_.clear();
  expanded_.clear();
  stats_ = stats;
  budget_bytes_ = kExpandedPacketBytesMax;
  if (keyring.enabled()) {
    if (!keyring.Open(packet, {}, &opened_)) {
      Dropped(Drop::kWrongKey);
      return messages_;
    }
    packet = opened_;
  }
  if (packet.size() >= kChecksumHeaderBytes &&
      packet.front() == static_cast<char>(MessageType::kCrc)) {
    const uint32_t expected = BigEndian(packet.substr(1, 4));
    packet.remove_prefix(kChecksumHeaderBytes);
    if (Crc32(packet) != expected) {
      Dropped(Drop::kChecksum);
      return messages_;
    }
  }
  Unpack(packet, 0);
  return messages_;
}

void PacketReader::Unpack(std::string_view bytes, int depth) {
  if (bytes.empty() || depth > kNestingMax) return Dropped(Drop::kMalformed);
  const auto type = static_cast<MessageType>(bytes.front());
  const std::string_view body = bytes.substr(1);
  switch (type) {
    case MessageType::kPing:
    case MessageType::kIndirectPing:
    case MessageType::kAck:
    case MessageType::kSuspect:
    case MessageType::kAlive:
    case MessageType::kDead:
    case MessageType::kUser:
    case MessageType::kNack:
      messages_.push_back({type, body});
      return;
    case MessageType::kCompound:
      return UnpackCompound(body, depth);
    case MessageType::kCompress: {
      Drop reason{};
      std::optional<std::string> plain = DecompressMessage(body, budget_bytes_, &reason);
      if (!plain.has_value()) return Dropped(reason);
      budget_bytes_ -= plain->size();
      expanded_.push_back(std::move(*plain));
      return Unpack(expanded_.back(), depth + 1);
    }
    default:
      return Dropped(Drop::kUnknownType);
  }
}

void PacketReader::UnpackCompound(std::string_view body, int depth) {
  if (body.empty()) return Dropped(Drop::kMalformed);
  const size_t parts = static_cast<uint8_t>(body.front());
  if (body.size() < 1 + kCompoundPartBytes * parts) return Dropped(Drop::kMalformed);
  const std::string_view lengths = body.substr(1, kCompoundPartBytes * parts);
  std::string_view rest = body.substr(1 + lengths.size());
  for (size_t i = 0; i < parts; ++i) {
    const size_t length = BigEndian(lengths.substr(kCompoundPartBytes * i, kCompoundPartBytes));
    // A torn tail: the parts that are whole count.
    if (length > rest.size()) return Dropped(Drop::kMalformed);
    Unpack(rest.substr(0, length), depth + 1);
    rest.remove_prefix(length);
  }
}

}  // namespace mokv::serf
