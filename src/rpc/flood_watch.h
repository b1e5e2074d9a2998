// FloodWatch: what a client sends that costs the server much and gives it nothing, a kind at a time:
// frames that say nothing, header blocks over the limit, calls that are reset, errors for which the
// server resets calls. Some of each is a client's right, or a mistake that is answered; a flood ends
// the connection. How much that is stands in one table (flood_watch.cc).
//
// Owner:   the connection.
// Threads: confined to the connection's. Pure: time comes in.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "rpc/flood_guard.h"

namespace mokv::rpc {

class FloodWatch {
 public:
  FloodWatch(size_t header_bytes_max, MonotonicTime now);

  // All of these: false when the connection must end; flood() says of what.

  // So many frames have come that HTTP/2 ignores: of unknown types, or of streams that have ended.
  // Some of them are `data`.
  struct Data {
    size_t frames = 0;
    size_t bytes = 0;
  };
  bool OnIgnored(size_t frames, const Data& data, MonotonicTime now);
  // The head of any other frame, as RFC 9113, 4.1 has it.
  bool OnFrame(uint8_t type, uint8_t flags, size_t payload_bytes, MonotonicTime now);
  // One more header of a block: of a request, its trailers, or of what is not taken any more.
  bool OnHeader(size_t name_and_value_bytes, MonotonicTime now);
  // So many messages have come to their ends.
  void OnMessages(size_t messages);
  // A call has ended whose request goes on: its client may have sent `window_bytes` of DATA more
  // before it can know.
  void OnEndedEarly(size_t window_bytes) { late_data_bytes_ += window_bytes; }
  // The end of a DATA frame that does not end its stream: so many bytes it had without its padding.
  bool OnDataEnd(size_t data_bytes, bool padded, MonotonicTime now);
  // An answer that waits for room has got little.
  bool OnSmallWindow(MonotonicTime now);
  // So many compressed messages came that are over the limit once they are uncompressed.
  bool OnBombs(size_t messages, MonotonicTime now);
  // The server has ended a stream with an error.
  bool OnResetSent(uint32_t http2_error, MonotonicTime now);
  // More PINGs than the policy allows.
  bool OnPings();

  // A header block begins, and has ended.
  void OnHeaders(MonotonicTime now);
  void OnHeadersEnd() { block_since_.reset(); }
  // Whether there is one that began so long ago and has not ended.
  bool IsWithinHeadersSince(MonotonicTime time) const {
    return block_since_.has_value() && *block_since_ <= time;
  }
  // HEADERS or DATA have left: their client may have good reasons to say something about windows.
  void OnAnswer();

  // What there has been too much of; empty: nothing. It stays once it is set.
  std::string_view flood() const { return flood_; }

  // What others than this see, and end the connection for.
  static constexpr std::string_view kEndlessHeaders = "headers that do not end";
  static constexpr std::string_view kUnreadFrames = "the client does not read";
  // All that a connection may end for, these and nghttp2's included.
  static std::vector<std::string_view> Kinds();

  // DATA of fewer bytes are small, and so are windows.
  static constexpr size_t kSmallBytes = 64;

 private:
  enum Kind : size_t {
    kSettings,
    kPingAnswers,
    kPriorities,
    kResets,
    kWindowUpdates,
    kGoAways,
    kIgnoredFrames,
    kEmptyData,
    kSmallData,
    kLongBlocks,
    kErrors,
    kRefusedCalls,
    kSmallWindows,
    kBombs,
    kKinds,
  };
  struct Limit {
    std::string_view what;
    int64_t burst;
    int64_t per_second;
  };
  using Guards = std::array<FloodGuard, kKinds>;
  static const Limit kLimits[kKinds];

  static Guards MakeGuards(MonotonicTime now);
  bool Take(Kind kind, MonotonicTime now, size_t count = 1);

  const size_t header_bytes_max_;
  Guards guards_;
  size_t late_data_bytes_ = 0;  // That may still come.
  size_t block_bytes_ = 0;      // Of the block in progress, as RFC 9113, 6.5.2 counts.
  std::optional<MonotonicTime> block_since_;
  std::string_view flood_;
};

}  // namespace mokv::rpc
