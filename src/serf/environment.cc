#include "serf/environment.h"

#include "base/status.h"
#include "serf/packet.h"
#include "serf/stream.h"

namespace mokv::serf {

Duration Environment::RandomBelow(Duration limit) {
  return Duration(static_cast<int64_t>(random.Next() % static_cast<uint64_t>(limit.count())));
}

void Environment::SendPacket(const Endpoint& to, const std::vector<std::string>& messages,
                             bool checksum) {
  std::string packet =
      PackPacket(messages, {.checksum = checksum, .compress = options.compress}, keyring, random);
  ++stats.packets_sent;
  stats.bytes_sent += packet.size();
  output.packets.push_back({to, std::move(packet)});
}

void Environment::SendUser(const Endpoint& to, std::string_view message) {
  std::string packet(1, static_cast<char>(MessageType::kUser));
  packet += message;
  SendPacket(to, {packet}, /*checksum=*/false);
}

StreamId Environment::BeginStream(const Endpoint& to, std::string_view message,
                                  MonotonicTime deadline) {
  output.streams.push_back({++last_stream_, to, Seal(message), deadline});
  return last_stream_;
}

std::string Environment::Seal(std::string_view message) {
  return SealStream(message, options.compress, keyring, random);
}

absl::StatusOr<std::string> Environment::Unseal(std::string_view message) {
  if (message.empty()) return Unavailable("closed without an answer");
  return OpenStream(message, kStreamBytesMax, keyring, &stats);
}

}  // namespace mokv::serf
