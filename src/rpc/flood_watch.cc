#include "rpc/flood_watch.h"

#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <utility>

#include "rpc/http2_header.h"

namespace mokv::rpc {
namespace {

// A header block can name one large header thousands of times in a few bytes; it is decoded up to
// so many times the limit.
constexpr size_t kDecodedBlockFactor = 8;
// A DATA frame of so many bytes is worth as many small ones: some clients send a message's prefix, or
// its end, in a frame of its own.
constexpr size_t kLargeBytes = 1024;
constexpr int64_t kSmallFramesOfLarge = 2;
// Some clients send each message's prefix in a frame of its own, however small the message is.
constexpr int64_t kSmallFramesOfMessage = 2;
// gRPC's clients let a call's window grow a few times, by a few bytes, as they read its answer.
constexpr int64_t kWindowUpdatesOfAnswer = 4;

constexpr std::string_view kEndlessBlock = "headers far over the limit";
// As gRPC has it; its clients know the word.
constexpr std::string_view kTooManyPings = "too_many_pings";

}  // namespace

// What a client may send: at once, and per second from then on. The names are what it hears.
const FloodWatch::Limit FloodWatch::kLimits[kKinds] = {
    // Each is answered, and may change the window of every call. gRPC's clients send some as they
    // measure a link.
    {"SETTINGS", 100, 10},
    // The server asks once a minute.
    {"answers to PINGs that nobody sent", 100, 10},
    // Browsers send some for each page; gRPC's clients none.
    {"PRIORITY", 1'000, 100},
    // Cancelling is every client's right, and thousands of deadlines may pass together.
    {"calls that are begun and reset", 6'000, 2'000},
    // Beside those that answers are reason for.
    {"WINDOW_UPDATE", 20'000, 2'000},
    {"GOAWAY", 10, 1},
    // Of unknown types, or what a client has sent before it can know that a call has its answer: that
    // is up to the connection's window.
    {"frames that say nothing", 20'000, 2'000},
    // Some clients end a request with one; nobody needs more.
    {"DATA frames without data", 1'000, 100},
    // That hold no whole message and end no request. Messages and windows may be cut anywhere.
    {"DATA frames of a few bytes", 10'000, 1'000},
    {"headers over the limit", 20, 1},
    // For which the server resets a stream. It is begun work that HTTP/2 does not count any more,
    // just as when the client resets it (CVE-2025-8671), and no client needs them.
    {"streams in error", 100, 10},
    // A client may not know the limit yet that it passes with its first calls.
    {"calls over the limit", 4'000, 100},
    // By a few bytes, for answers that wait for room: each lets one tiny frame go.
    {"windows of a few bytes", 1'000, 100},
    // Each is uncompressed up to the limit, and may be a thousandth of that to send.
    {"compressed messages over the limit", 20, 1},
};

std::vector<std::string_view> FloodWatch::Kinds() {
  std::vector<std::string_view> kinds = {kEndlessBlock, kTooManyPings, kEndlessHeaders,
                                         kUnreadFrames};
  for (const Limit& limit : kLimits) kinds.push_back(limit.what);
  for (const int error : {NGHTTP2_ERR_FLOODED, NGHTTP2_ERR_TOO_MANY_CONTINUATIONS}) {
    kinds.emplace_back(nghttp2_strerror(error));
  }
  return kinds;
}

FloodWatch::Guards FloodWatch::MakeGuards(MonotonicTime now) {
  return [now]<size_t... kind>(std::index_sequence<kind...>) {
    return Guards{FloodGuard(kLimits[kind].burst, kLimits[kind].per_second, now)...};
  }
  (std::make_index_sequence<kKinds>());
}

FloodWatch::FloodWatch(size_t header_bytes_max, MonotonicTime now)
    : header_bytes_max_(header_bytes_max), guards_(MakeGuards(now)) {}

bool FloodWatch::Take(Kind kind, MonotonicTime now, size_t count) {
  if (!guards_[kind].Allows(now, static_cast<int64_t>(count))) flood_ = kLimits[kind].what;
  return flood_.empty();
}

bool FloodWatch::OnFrame(uint8_t type, uint8_t flags, size_t payload_bytes, MonotonicTime now) {
  // A block is followed by nothing else before its end (RFC 9113, 4.3): it has ended.
  if (type != NGHTTP2_CONTINUATION) OnHeadersEnd();
  switch (type) {
    case NGHTTP2_DATA: {
      const bool small = payload_bytes < kSmallBytes || (flags & NGHTTP2_FLAG_PADDED) != 0;
      if (!small || (flags & NGHTTP2_FLAG_END_STREAM) != 0) return true;
      return Take(kSmallData, now);
    }
    case NGHTTP2_HEADERS:
    case NGHTTP2_CONTINUATION:  // nghttp2 takes 8 in a block.
    case NGHTTP2_PUSH_PROMISE:  // Breaks the rules.
      return true;
    case NGHTTP2_PRIORITY:
      return Take(kPriorities, now);
    case NGHTTP2_RST_STREAM:
      return Take(kResets, now);
    case NGHTTP2_SETTINGS:
      // An acknowledgement that is not owed breaks the rules.
      return (flags & NGHTTP2_FLAG_ACK) != 0 || Take(kSettings, now);
    case NGHTTP2_PING:
      // The others are the policy's.
      return (flags & NGHTTP2_FLAG_ACK) == 0 || Take(kPingAnswers, now);
    case NGHTTP2_GOAWAY:
      return Take(kGoAways, now);
    case NGHTTP2_WINDOW_UPDATE:
      return Take(kWindowUpdates, now);
    default:
      return true;
  }
}

bool FloodWatch::OnIgnored(size_t frames, const Data& data, MonotonicTime now) {
  const bool is_late = data.bytes <= late_data_bytes_;
  late_data_bytes_ = is_late ? late_data_bytes_ - data.bytes : 0;
  const size_t counted = is_late ? frames - data.frames : frames;
  return counted == 0 || Take(kIgnoredFrames, now, counted);
}

void FloodWatch::OnHeaders(MonotonicTime now) {
  block_bytes_ = 0;
  block_since_ = now;
}

bool FloodWatch::OnHeader(size_t name_and_value_bytes, MonotonicTime now) {
  const size_t before = block_bytes_;
  block_bytes_ += name_and_value_bytes + kHeaderOverheadBytes;
  if (block_bytes_ <= header_bytes_max_) return true;
  if (before <= header_bytes_max_) Take(kLongBlocks, now);
  if (block_bytes_ > kDecodedBlockFactor * header_bytes_max_) {
    flood_ = kEndlessBlock;
  }
  return flood_.empty();
}

void FloodWatch::OnMessages(size_t messages) {
  if (messages > 0) {
    guards_[kSmallData].GiveBack(kSmallFramesOfMessage * static_cast<int64_t>(messages));
  }
}

bool FloodWatch::OnDataEnd(size_t data_bytes, bool padded, MonotonicTime now) {
  if (data_bytes == 0) return Take(kEmptyData, now);
  if (padded && data_bytes >= kSmallBytes) guards_[kSmallData].GiveBack(1);
  if (data_bytes >= kLargeBytes) guards_[kSmallData].GiveBack(kSmallFramesOfLarge);
  return true;
}

bool FloodWatch::OnSmallWindow(MonotonicTime now) { return Take(kSmallWindows, now); }

bool FloodWatch::OnBombs(size_t messages, MonotonicTime now) {
  return messages == 0 || Take(kBombs, now, messages);
}

bool FloodWatch::OnResetSent(uint32_t http2_error, MonotonicTime now) {
  switch (http2_error) {
    case NGHTTP2_NO_ERROR:
    case NGHTTP2_CANCEL:  // The server's own doing.
      return true;
    case NGHTTP2_REFUSED_STREAM:
      return Take(kRefusedCalls, now);
    default:
      return Take(kErrors, now);
  }
}

bool FloodWatch::OnPings() {
  flood_ = kTooManyPings;
  return false;
}

void FloodWatch::OnAnswer() { guards_[kWindowUpdates].GiveBack(kWindowUpdatesOfAnswer); }

}  // namespace mokv::rpc
