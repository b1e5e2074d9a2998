// Streams: the one message that each side of a TCP connection writes. Its end follows from its
// content alone, since neither side closes before the exchange is over.
//
// Threads: confined to the owner's.
// Bounds:  StreamReader keeps at most the bytes that it was allowed, and looks at each once.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/random.h"
#include "serf/keyring.h"
#include "serf/messages.h"
#include "serf/msgpack.h"
#include "serf/stats.h"

namespace mokv::serf {

// Collects a message that arrives in pieces.
class StreamReader {
 public:
  enum class Result { kMore, kDone, kMalformed, kTooLarge };

  explicit StreamReader(size_t bytes_max) : bytes_max_(bytes_max) {}

  Result Feed(std::string_view bytes);
  // Whole after kDone, without what may have followed.
  std::string_view message() const { return std::string_view(buffer_).substr(0, end_); }

 private:
  enum class Phase { kType, kFrame, kObject, kPushPullHeader, kNodes, kUserHeader, kBytes };

  Result Advance();
  Result FromScan(MsgpackScanner::Result result, Phase next);
  Result BeginBody();

  const size_t bytes_max_;
  std::string buffer_;
  size_t end_ = 0;
  Phase phase_ = Phase::kType;
  MsgpackScanner scanner_;
  uint64_t bytes_left_ = 0;  // kBytes: of the user state or message, from end_ on.
};

// Compressed where that is shorter, and encrypted if there is a key.
std::string SealStream(std::string_view message, bool compress, const Keyring& keyring,
                       Random& random);

// The message proper, with its type byte. The error's text is what the other side may be told.
absl::StatusOr<std::string> OpenStream(std::string_view message, size_t bytes_max,
                                       const Keyring& keyring, Stats* stats);

struct PushPull {
  bool join = false;
  std::vector<NodeRecord> nodes;
  std::string_view user_state;
};

std::string Encode(bool join, const std::vector<NodeRecord>& nodes, std::string_view user_state);
// `body` follows the type byte. The result's text and bytes are views into it. False also for more
// than `nodes_max` nodes: one byte can stand for an empty record.
bool Decode(std::string_view body, size_t nodes_max, PushPull* message);

}  // namespace mokv::serf
