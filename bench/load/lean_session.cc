// HTTP/2 framing for a client that sends one kind of request (RFC 9113). Strict where an error
// would falsify a measurement, silent about what cannot matter to one.
#include <algorithm>
#include <bit>
#include <deque>
#include <optional>
#include <vector>

#include "base/check.h"
#include "base/status.h"
#include "load/hpack.h"
#include "load/session.h"

namespace mokv::load {
namespace {

constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
constexpr size_t kFrameHeaderBytes = 9;
constexpr uint32_t kFrameBytesMax = 16384;  // Ours; we do not offer more.
constexpr int64_t kWindowMax = (int64_t{1} << 31) - 1;
constexpr uint32_t kWindowDefault = 65535;
constexpr int32_t kStreamIdMax = INT32_MAX;
// Cells for each open call, so that a slow call seldom makes a stream number skip its cell.
constexpr uint32_t kCellsPerCall = 4;

enum FrameType : uint8_t {
  kData = 0,
  kHeaders = 1,
  kRstStream = 3,
  kSettings = 4,
  kPushPromise = 5,
  kPing = 6,
  kGoAway = 7,
  kWindowUpdate = 8,
  kContinuation = 9,
};

constexpr uint8_t kAck = 0x1;
constexpr uint8_t kEndStream = 0x1;
constexpr uint8_t kEndHeaders = 0x4;
constexpr uint8_t kPadded = 0x8;
constexpr uint8_t kPriority = 0x20;

enum Setting : uint16_t {
  kHeaderTableSize = 1,
  kEnablePush = 2,
  kMaxConcurrentStreams = 3,
  kInitialWindowSize = 4,
  kMaxFrameSize = 5,
};

constexpr uint32_t kErrorCancel = 8;

void AppendU32(std::string& out, uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<char>(value >> shift));
}

void AppendSetting(std::string& out, Setting id, uint32_t value) {
  out.push_back(static_cast<char>(id >> 8));
  out.push_back(static_cast<char>(id));
  AppendU32(out, value);
}

uint32_t ReadU32(const char* in) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(in);
  return uint32_t{bytes[0]} << 24 | uint32_t{bytes[1]} << 16 | uint32_t{bytes[2]} << 8 | bytes[3];
}

void AppendFrameHeader(std::string& out, size_t size, FrameType type, uint8_t flags,
                       int32_t stream_id) {
  const auto id = static_cast<uint32_t>(stream_id);
  const char header[kFrameHeaderBytes] = {
      static_cast<char>(size >> 16), static_cast<char>(size >> 8), static_cast<char>(size),
      static_cast<char>(type),       static_cast<char>(flags),     static_cast<char>(id >> 24),
      static_cast<char>(id >> 16),   static_cast<char>(id >> 8),   static_cast<char>(id)};
  out.append(header, kFrameHeaderBytes);
}

struct Frame {
  FrameType type;
  uint8_t flags;
  int32_t stream_id;
  std::string_view payload;
};

// The payload without padding and priority; nothing when they do not fit.
std::optional<std::string_view> Content(const Frame& frame) {
  std::string_view content = frame.payload;
  if ((frame.flags & kPadded) != 0) {
    if (content.empty()) return std::nullopt;
    const size_t padding = static_cast<uint8_t>(content[0]);
    content.remove_prefix(1);
    if (padding > content.size()) return std::nullopt;
    content.remove_suffix(padding);
  }
  if (frame.type == kHeaders && (frame.flags & kPriority) != 0) {
    if (content.size() < 5) return std::nullopt;
    content.remove_prefix(5);
  }
  return content;
}

class LeanSession final : public Session {
 public:
  LeanSession(const SessionOptions& options, AnswerSink& sink)
      : scheme_(options.scheme),
        authority_(options.authority),
        sink_(sink),
        calls_(std::bit_ceil(kCellsPerCall * options.calls)) {
    MOKV_CHECK_GT(options.calls, 0U);
    out_ = kPreface;
    AppendFrameHeader(out_, 12, kSettings, 0, 0);
    AppendSetting(out_, kEnablePush, 0);
    AppendSetting(out_, kInitialWindowSize, kStreamWindowBytes);
    AppendFrameHeader(out_, 4, kWindowUpdate, 0, 0);
    AppendU32(out_, kConnectionWindowBytes - kWindowDefault);
  }

  bool ready() const override { return encoder_.has_value(); }
  uint32_t calls_max() const override { return calls_max_; }

  absl::Status Submit(Call& call) override;
  absl::Status Receive(std::string_view bytes) override;

  absl::Status TakeOutput(std::string& out) override {
    if (out.empty()) {
      out.swap(out_);  // The two buffers trade places for ever, and nothing is allocated.
    } else {
      out.append(out_);
    }
    out_.clear();
    return absl::OkStatus();
  }

 private:
  // Bytes used; less than all when the last frame is not whole yet.
  absl::StatusOr<size_t> ReceiveFrames(std::string_view bytes);
  absl::Status OnFrame(const Frame& frame);
  absl::Status OnData(const Frame& frame);
  absl::Status OnHeaders(const Frame& frame);
  absl::Status OnContinuation(const Frame& frame);
  absl::Status OnHeaderBlock(int32_t stream_id, bool end_stream, std::string_view block);
  absl::Status OnSettings(const Frame& frame);
  absl::Status OnSetting(uint16_t id, uint32_t value);
  absl::Status OnWindowUpdate(const Frame& frame);
  absl::Status OnGoAway(const Frame& frame);

  void AppendMessage(Call& call, size_t size);
  void SendWaiting();
  void Finish(Call& call);

  size_t CellOf(int32_t stream_id) const {
    return (static_cast<uint32_t>(stream_id) >> 1) & (calls_.size() - 1);
  }
  // Null when the call has ended already.
  Call* CallOf(int32_t stream_id) const {
    Call* call = calls_[CellOf(stream_id)];
    return call != nullptr && call->stream_id == stream_id ? call : nullptr;
  }

  std::string scheme_;
  std::string authority_;
  AnswerSink& sink_;

  std::string out_;
  std::string partial_;  // The beginning of a frame whose end has not come yet.

  std::optional<HeaderEncoder> encoder_;  // From the server's first SETTINGS on.
  HeaderDecoder decoder_;
  std::string header_block_;  // Collects CONTINUATION frames, while continued_stream_ is not 0.
  int32_t continued_stream_ = 0;
  bool continued_end_stream_ = false;

  // Open calls by stream number, modulo the size (a power of two). A stream number whose cell is
  // taken by a slow call is skipped, which HTTP/2 allows.
  std::vector<Call*> calls_;
  int32_t next_stream_id_ = 1;
  uint32_t calls_max_ = UINT32_MAX;
  bool going_away_ = false;

  int64_t send_window_bytes_ = kWindowDefault;
  int64_t stream_send_window_bytes_ = kWindowDefault;
  uint32_t frame_bytes_max_ = kFrameBytesMax;
  std::deque<Call*> waiting_;    // Calls whose message the windows have not let out whole.
  uint32_t received_bytes_ = 0;  // Since the last WINDOW_UPDATE of the connection.
};

absl::Status LeanSession::Submit(Call& call) {
  MOKV_CHECK(ready());
  if (going_away_) return Unavailable("the server is going away");
  while (calls_[CellOf(next_stream_id_)] != nullptr) next_stream_id_ += 2;
  if (next_stream_id_ > kStreamIdMax - static_cast<int32_t>(2 * calls_.size())) {
    return Unavailable("the connection has run out of stream numbers");
  }
  ResetCall(call);
  call.stream_id = next_stream_id_;
  next_stream_id_ += 2;
  calls_[CellOf(call.stream_id)] = &call;

  const std::string& block = encoder_->Encode(call.request->path);
  AppendFrameHeader(out_, block.size(), kHeaders, kEndHeaders, call.stream_id);
  out_.append(block);

  const auto size = static_cast<int64_t>(call.request->message.size());
  if (waiting_.empty() && size <= send_window_bytes_ && size <= stream_send_window_bytes_) {
    AppendMessage(call, static_cast<size_t>(size));
  } else {
    call.send_window_bytes = stream_send_window_bytes_;
    waiting_.push_back(&call);
    SendWaiting();
  }
  return absl::OkStatus();
}

void LeanSession::AppendMessage(Call& call, size_t size) {
  const size_t end = call.sent_bytes + size;
  while (call.sent_bytes < end) {
    const size_t part = std::min<size_t>(end - call.sent_bytes, frame_bytes_max_);
    const bool last = call.sent_bytes + part == call.request->message.size();
    AppendFrameHeader(out_, part, kData, last ? kEndStream : 0, call.stream_id);
    const size_t at = out_.size();
    out_.resize(at + part);
    CopyMessage(*call.request, call.digits, call.sent_bytes, part, out_.data() + at);
    call.sent_bytes += part;
  }
  send_window_bytes_ -= static_cast<int64_t>(size);
}

// First come, first served: a call that waits for its own stream's window holds up the ones behind
// it. The server opens that window without their help, so nothing can hang.
void LeanSession::SendWaiting() {
  while (!waiting_.empty()) {
    Call& call = *waiting_.front();
    const size_t left = call.request->message.size() - call.sent_bytes;
    const int64_t window = std::min(send_window_bytes_, call.send_window_bytes);
    if (window <= 0) return;
    const size_t part = std::min(left, static_cast<size_t>(window));
    AppendMessage(call, part);
    call.send_window_bytes -= static_cast<int64_t>(part);
    if (part < left) return;
    waiting_.pop_front();
  }
}

absl::Status LeanSession::Receive(std::string_view bytes) {
  if (partial_.empty()) {
    MOKV_ASSIGN_OR_RETURN(const size_t used, ReceiveFrames(bytes));
    partial_.assign(bytes.substr(used));
    return absl::OkStatus();
  }
  partial_.append(bytes);
  MOKV_ASSIGN_OR_RETURN(const size_t used, ReceiveFrames(partial_));
  partial_.erase(0, used);
  return absl::OkStatus();
}

absl::StatusOr<size_t> LeanSession::ReceiveFrames(std::string_view bytes) {
  size_t used = 0;
  while (bytes.size() - used >= kFrameHeaderBytes) {
    const char* header = bytes.data() + used;
    const size_t size = ReadU32(header) >> 8;
    if (size > kFrameBytesMax) return Unavailable("the server sent a frame of {} bytes", size);
    if (bytes.size() - used < kFrameHeaderBytes + size) break;
    const Frame frame = {static_cast<FrameType>(header[3]), static_cast<uint8_t>(header[4]),
                         static_cast<int32_t>(ReadU32(header + 5) & 0x7fffffff),
                         bytes.substr(used + kFrameHeaderBytes, size)};
    used += kFrameHeaderBytes + size;
    if (!ready() && frame.type != kSettings) {
      return Unavailable("the server does not speak HTTP/2: its first frame is no SETTINGS");
    }
    if ((continued_stream_ != 0) != (frame.type == kContinuation)) {
      return Unavailable("the server broke a header block off");
    }
    MOKV_RETURN_IF_ERROR(OnFrame(frame));
  }
  return used;
}

absl::Status LeanSession::OnFrame(const Frame& frame) {
  switch (frame.type) {
    case kData:
      return OnData(frame);
    case kHeaders:
      return OnHeaders(frame);
    case kContinuation:
      return OnContinuation(frame);
    case kSettings:
      return OnSettings(frame);
    case kWindowUpdate:
      return OnWindowUpdate(frame);
    case kGoAway:
      return OnGoAway(frame);
    case kPushPromise:
      return Unavailable("the server pushes although it was told not to");
    case kPing:
      if (frame.payload.size() != 8) return Unavailable("the server sent a malformed PING");
      if ((frame.flags & kAck) == 0) {
        AppendFrameHeader(out_, 8, kPing, kAck, 0);
        out_.append(frame.payload);
      }
      return absl::OkStatus();
    case kRstStream:
      if (frame.payload.size() != 4) return Unavailable("the server sent a malformed RST_STREAM");
      if (Call* call = CallOf(frame.stream_id); call != nullptr) {
        call->reset = ReadU32(frame.payload.data()) != 0;
        Finish(*call);
      }
      return absl::OkStatus();
  }
  return absl::OkStatus();  // Unknown types are for ignoring (RFC 9113, 4.1).
}

absl::Status LeanSession::OnData(const Frame& frame) {
  const std::optional<std::string_view> content = Content(frame);
  if (!content) return Unavailable("the server sent a malformed DATA frame");
  received_bytes_ += static_cast<uint32_t>(frame.payload.size());
  if (received_bytes_ >= kConnectionWindowBytes / 2) {
    AppendFrameHeader(out_, 4, kWindowUpdate, 0, 0);
    AppendU32(out_, std::exchange(received_bytes_, 0));
  }
  Call* call = CallOf(frame.stream_id);
  if (call == nullptr) return absl::OkStatus();
  call->body.append(*content);
  if ((frame.flags & kEndStream) != 0) Finish(*call);
  return absl::OkStatus();
}

absl::Status LeanSession::OnHeaders(const Frame& frame) {
  const std::optional<std::string_view> content = Content(frame);
  if (!content) return Unavailable("the server sent a malformed HEADERS frame");
  const bool end_stream = (frame.flags & kEndStream) != 0;
  if ((frame.flags & kEndHeaders) != 0) return OnHeaderBlock(frame.stream_id, end_stream, *content);
  header_block_.assign(*content);
  continued_stream_ = frame.stream_id;
  continued_end_stream_ = end_stream;
  return absl::OkStatus();
}

absl::Status LeanSession::OnContinuation(const Frame& frame) {
  constexpr size_t kHeaderBlockBytesMax = 1 << 20;
  if (frame.stream_id != continued_stream_) return Unavailable("CONTINUATION of another stream");
  header_block_.append(frame.payload);
  if (header_block_.size() > kHeaderBlockBytesMax) return Unavailable("endless header block");
  if ((frame.flags & kEndHeaders) == 0) return absl::OkStatus();
  continued_stream_ = 0;
  return OnHeaderBlock(frame.stream_id, continued_end_stream_, header_block_);
}

absl::Status LeanSession::OnHeaderBlock(int32_t stream_id, bool end_stream,
                                        std::string_view block) {
  // Decoded even when nobody waits for it any more: the table is the connection's.
  MOKV_ASSIGN_OR_RETURN(const AnswerStatus status, decoder_.Decode(block));
  Call* call = CallOf(stream_id);
  if (call == nullptr) return absl::OkStatus();
  if (status.http != kNoStatus) call->status.http = status.http;
  if (status.grpc != kNoStatus) call->status.grpc = status.grpc;
  if (end_stream) Finish(*call);
  return absl::OkStatus();
}

absl::Status LeanSession::OnSettings(const Frame& frame) {
  if ((frame.flags & kAck) != 0) return absl::OkStatus();
  if (frame.payload.size() % 6 != 0) return Unavailable("the server sent malformed SETTINGS");
  const bool first = !ready();
  uint32_t table_bytes = 4096;
  for (size_t at = 0; at < frame.payload.size(); at += 6) {
    const char* entry = frame.payload.data() + at;
    const auto id =
        static_cast<uint16_t>(static_cast<uint8_t>(entry[0]) << 8 | static_cast<uint8_t>(entry[1]));
    const uint32_t value = ReadU32(entry + 2);
    if (id != kHeaderTableSize) {
      MOKV_RETURN_IF_ERROR(OnSetting(id, value));
    } else if (first) {
      table_bytes = value;
    } else {
      return Unavailable("the server changed its header table size, which is not supported");
    }
  }
  if (first) encoder_.emplace(scheme_, authority_, table_bytes);
  AppendFrameHeader(out_, 0, kSettings, kAck, 0);
  SendWaiting();
  return absl::OkStatus();
}

absl::Status LeanSession::OnSetting(uint16_t id, uint32_t value) {
  switch (id) {
    case kMaxConcurrentStreams:
      calls_max_ = value;
      return absl::OkStatus();
    case kInitialWindowSize: {
      if (value > kWindowMax) return Unavailable("SETTINGS_INITIAL_WINDOW_SIZE {}", value);
      const int64_t change = int64_t{value} - stream_send_window_bytes_;
      for (Call* call : waiting_) call->send_window_bytes += change;
      stream_send_window_bytes_ = value;
      return absl::OkStatus();
    }
    case kMaxFrameSize:
      if (value < kFrameBytesMax) return Unavailable("SETTINGS_MAX_FRAME_SIZE {}", value);
      frame_bytes_max_ = std::min<uint32_t>(value, 1 << 20);
      return absl::OkStatus();
    default:
      return absl::OkStatus();
  }
}

absl::Status LeanSession::OnWindowUpdate(const Frame& frame) {
  if (frame.payload.size() != 4) return Unavailable("the server sent a malformed WINDOW_UPDATE");
  const int64_t increment = ReadU32(frame.payload.data()) & 0x7fffffff;
  if (frame.stream_id == 0) {
    send_window_bytes_ += increment;
  } else if (Call* call = CallOf(frame.stream_id); call != nullptr) {
    call->send_window_bytes += increment;
  }
  SendWaiting();
  return absl::OkStatus();
}

absl::Status LeanSession::OnGoAway(const Frame& frame) {
  if (frame.payload.size() < 8) return Unavailable("the server sent a malformed GOAWAY");
  const auto last = static_cast<int32_t>(ReadU32(frame.payload.data()) & 0x7fffffff);
  going_away_ = true;
  for (Call* call : calls_) {
    if (call == nullptr || call->stream_id <= last) continue;
    call->reset = true;
    Finish(*call);
  }
  return absl::OkStatus();
}

void LeanSession::Finish(Call& call) {
  if (call.sent_bytes < call.request->message.size()) {
    // Answered before it was asked whole: the rest is of no use to anybody.
    std::erase(waiting_, &call);
    if (!call.reset) {
      AppendFrameHeader(out_, 4, kRstStream, 0, call.stream_id);
      AppendU32(out_, kErrorCancel);
    }
  }
  calls_[CellOf(call.stream_id)] = nullptr;
  call.open = false;
  sink_.OnAnswer(call);  // May submit the same call again: not touched after this.
}

}  // namespace

std::unique_ptr<Session> NewLeanSession(const SessionOptions& options, AnswerSink& sink) {
  return std::make_unique<LeanSession>(options, sink);
}

}  // namespace mokv::load
