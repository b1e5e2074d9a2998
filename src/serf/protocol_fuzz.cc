// A node of a small cluster hears anything: the input is a list of chunks, each a byte that says
// how it arrives (packet, packet without a checksum around it, stream, answer to a stream, or a
// pause), two bytes of length, and the bytes. Nothing may crash it, or make it remember without
// bound; and what it sends must be readable by others.
#include <cstdint>
#include <string>

#include "base/check.h"
#include "serf/packet.h"
#include "serf/protocol.h"

namespace mokv::serf {
namespace {

constexpr size_t kMembersMax = 16;

void CheckOutput(Protocol& protocol, StreamId* last_stream) {
  static PacketReader reader;
  const Output output = protocol.TakeOutput();
  for (const OutgoingPacket& packet : output.packets) {
    MOKV_CHECK_LE(packet.bytes.size(), size_t{65507});
    // Relays pass on what they were given; all else is ours.
    Stats stats;
    reader.Read(packet.bytes, protocol.keyring(), &stats);
    MOKV_CHECK_EQ(stats.dropped[static_cast<size_t>(Drop::kChecksum)], uint64_t{0});
  }
  for (const OutgoingStream& stream : output.streams) *last_stream = stream.id;
}

void Check(std::string_view input) {
  SeededRandom random(1);
  MonotonicTime now{std::chrono::hours(1)};
  Options options;
  options.name = "alpha";
  options.advertise = {std::string("\x7f\0\0\1", 4), 27946};
  options.members_max = kMembersMax;
  auto protocol = Protocol::Create(options, random, now).value();
  StreamId last_stream = 0;
  protocol->Join(now, {std::string("\x7f\0\0\1", 4), 27947});
  CheckOutput(*protocol, &last_stream);
  while (input.size() >= 3) {
    const auto how = static_cast<uint8_t>(input[0]);
    size_t size = size_t{static_cast<uint8_t>(input[1])} << 8 | static_cast<uint8_t>(input[2]);
    input.remove_prefix(3);
    size = std::min(size, input.size());
    const std::string_view bytes = input.substr(0, size);
    input.remove_prefix(size);
    switch (how % 5) {
      case 0:
        protocol->OnPacket(now, {std::string("\x7f\0\0\1", 4), 27947}, bytes);
        break;
      case 1: {
        std::string packet("\x0c");
        const uint32_t crc = Crc32(bytes);
        for (int shift = 24; shift >= 0; shift -= 8)
          packet.push_back(static_cast<char>(crc >> shift));
        packet += bytes;
        protocol->OnPacket(now, {std::string("\x7f\0\0\1", 4), 27947}, packet);
        break;
      }
      case 2:
        protocol->OnStreamRequest(now, bytes);
        break;
      case 3:
        protocol->OnStreamReply(now, last_stream, std::string(bytes));
        break;
      default:
        now = now + std::chrono::milliseconds(1 + 40 * size);
        protocol->Tick(now);
        break;
    }
    CheckOutput(*protocol, &last_stream);
    MOKV_CHECK_LE(protocol->Members().size(), kMembersMax);
    MOKV_CHECK(protocol->StatusOf("alpha") == MemberStatus::kAlive);
    MOKV_CHECK(protocol->coordinate().IsFinite());
  }
}

}  // namespace
}  // namespace mokv::serf

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  mokv::serf::Check({reinterpret_cast<const char*>(data), size});
  return 0;
}
