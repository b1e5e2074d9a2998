// The readers of bytes from outside: each of them gets the whole input. A stream must end at the
// same byte however it arrives, and what LZW expands must survive compressing and expanding again.
#include <cstdint>
#include <string>

#include "base/check.h"
#include "serf/keyring_file.h"
#include "serf/lzw.h"
#include "serf/packet.h"
#include "serf/peers_file.h"
#include "serf/serf_messages.h"
#include "serf/stream.h"

namespace mokv::serf {
namespace {

constexpr size_t kBytesMax = 1 << 16;

void CheckStream(std::string_view input) {
  StreamReader whole(kBytesMax);
  const auto result = whole.Feed(input);
  StreamReader pieces(kBytesMax);
  auto in_pieces = StreamReader::Result::kMore;
  for (size_t i = 0; i < input.size() && in_pieces == StreamReader::Result::kMore; i += 7) {
    in_pieces = pieces.Feed(input.substr(i, 7));
  }
  if (result != StreamReader::Result::kDone) return;
  MOKV_CHECK(in_pieces == StreamReader::Result::kDone);
  MOKV_CHECK(pieces.message() == whole.message());
  Stats stats;
  const auto plain = OpenStream(whole.message(), kBytesMax, Keyring(), &stats);
  if (!plain.ok()) return;
  PushPull message;
  if (!Decode(std::string_view(*plain).substr(1), 1000, &message)) return;
  // Written and read again, it says the same.
  const std::string again = Encode(message.join, message.nodes, message.user_state);
  PushPull reread;
  MOKV_CHECK(Decode(std::string_view(again).substr(1), 1000, &reread));
  MOKV_CHECK_EQ(reread.nodes.size(), message.nodes.size());
  MOKV_CHECK(reread.user_state == message.user_state);
}

template <typename Message>
void CheckMessage(std::string_view input) {
  Message message;
  if (!Decode(input, &message)) return;
  const std::string once = Encode(message);
  Message again;
  MOKV_CHECK(Decode(std::string_view(once).substr(1), &again));
  MOKV_CHECK(Encode(again) == once);
}

void Check(std::string_view input) {
  CheckStream(input);
  std::string plain;
  if (LzwDecompress(input, kBytesMax, &plain) == LzwError::kNone) {
    std::string again;
    MOKV_CHECK(LzwDecompress(LzwCompress(plain), plain.size(), &again) == LzwError::kNone);
    MOKV_CHECK(again == plain);
  }
  CheckMessage<Ping>(input);
  CheckMessage<IndirectPing>(input);
  CheckMessage<Alive>(input);
  CheckMessage<Suspect>(input);
  CheckMessage<UserEventMessage>(input);
  CheckMessage<QueryMessage>(input);
  CheckMessage<QueryResponseMessage>(input);
  CheckMessage<KeyResponse>(input);
  const std::string tags = EncodeTags(DecodeTags(input));
  MOKV_CHECK(EncodeTags(DecodeTags(tags)) == tags);
  const std::string remembered = FormatRemembered(ParseRemembered(input));
  MOKV_CHECK(FormatRemembered(ParseRemembered(remembered)) == remembered);
  if (const auto keys = ParseKeyringFile(input); keys.ok()) {
    MOKV_CHECK(ParseKeyringFile(FormatKeyringFile(*keys)).value() == *keys);
  }
}

}  // namespace
}  // namespace mokv::serf

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  mokv::serf::Check({reinterpret_cast<const char*>(data), size});
  return 0;
}
