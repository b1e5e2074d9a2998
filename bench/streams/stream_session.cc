#include "streams/stream_session.h"

#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "base/status.h"

namespace mokv::streams {
namespace {

constexpr uint32_t kStreamWindowBytes = 4 << 20;
constexpr int32_t kConnectionWindowBytes = 64 << 20;
constexpr size_t kOutputBytes = size_t{64} << 10;

nghttp2_nv Header(std::string_view name, std::string_view value) {
  const auto bytes = [](std::string_view text) {
    return const_cast<uint8_t*>(reinterpret_cast<const uint8_t*>(text.data()));
  };
  return {bytes(name), bytes(value), name.size(), value.size(), NGHTTP2_NV_FLAG_NONE};
}

constexpr size_t kFrameHeadBytes = 9;
constexpr size_t kFrameBytesMax = 16'384 - kFrameHeadBytes;  // A frame is a record of TLS.

// So many messages one after another that a frame's worth of them is there from any position on.
std::string FramedMessages() {
  std::string framed("\0\0\0\x04\0", 5);  // 1,024 bytes, not compressed.
  framed.append(kMessageBytes, 'x');
  std::string many;
  while (many.size() < kFramedBytes + kFrameBytesMax) many += framed;
  return many;
}

// Of messages one after another, `size` bytes from position `offset` on.
std::string_view Messages(uint64_t offset, size_t size) {
  static const std::string kFramed = FramedMessages();
  return std::string_view(kFramed).substr(offset % kFramedBytes, size);
}

}  // namespace

struct StreamSession::Callbacks {
  static StreamSession& Self(void* user_data) { return *static_cast<StreamSession*>(user_data); }

  static ssize_t Read(nghttp2_session*, int32_t, uint8_t* buffer, size_t size, uint32_t* flags,
                      nghttp2_data_source* source, void* user_data) {
    StreamSession& self = Self(user_data);
    Stream& stream = *static_cast<Stream*>(source->ptr);
    if (self.options_.direction == Direction::kToClient) {  // One empty message asks for all.
      std::memset(buffer, 0, 5);
      *flags |= NGHTTP2_DATA_FLAG_EOF;
      return 5;
    }
    const size_t part =
        std::min({size, kFrameBytesMax, size_t{stream.may_send_bytes - stream.sent_bytes}});
    if (part == 0) return NGHTTP2_ERR_DEFERRED;
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (self.options_.direction == Direction::kToServer) {
      self.messages_ +=
          (stream.sent_bytes + part) / kFramedBytes - stream.sent_bytes / kFramedBytes;
    }
    stream.sent_bytes += part;
    return static_cast<ssize_t>(part);
  }

  // A frame whose bytes Read has announced.
  static int SendData(nghttp2_session*, nghttp2_frame*, const uint8_t* head, size_t size,
                      nghttp2_data_source* source, void* user_data) {
    std::string& out = *Self(user_data).out_;
    const Stream& stream = *static_cast<const Stream*>(source->ptr);
    out.append(reinterpret_cast<const char*>(head), kFrameHeadBytes);
    out += Messages(stream.sent_bytes - size, size);
    return out.size() < kOutputBytes ? 0 : NGHTTP2_ERR_PAUSE;
  }

  static int OnData(nghttp2_session* session, uint8_t, int32_t id, const uint8_t*, size_t size,
                    void* user_data) {
    StreamSession& self = Self(user_data);
    auto* stream = static_cast<Stream*>(nghttp2_session_get_stream_user_data(session, id));
    if (stream == nullptr) return 0;
    const uint64_t before = stream->received_bytes / kFramedBytes;
    stream->received_bytes += size;
    const uint64_t more = stream->received_bytes / kFramedBytes - before;
    self.messages_ += more;
    if (self.options_.direction != Direction::kBoth || more == 0) return 0;
    for (uint64_t i = 0; i < more; ++i) self.sink_.OnMessageBack();
    stream->may_send_bytes += more * kFramedBytes;
    nghttp2_session_resume_data(session, id);
    return 0;
  }

  static int OnStreamClose(nghttp2_session*, int32_t, uint32_t error, void* user_data) {
    StreamSession& self = Self(user_data);
    if (!self.closing_) {
      self.status_ =
          Unavailable("the server has ended a stream: {}", nghttp2_http2_strerror(error));
    }
    return 0;
  }
};

StreamSession::StreamSession(Options options, Sink& sink)
    : options_(std::move(options)), sink_(sink), streams_(options_.streams) {
  nghttp2_session_callbacks* callbacks = nullptr;
  MOKV_CHECK_EQ(nghttp2_session_callbacks_new(&callbacks), 0);
  nghttp2_session_callbacks_set_send_data_callback(callbacks, &Callbacks::SendData);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, &Callbacks::OnData);
  nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, &Callbacks::OnStreamClose);
  MOKV_CHECK_EQ(nghttp2_session_client_new(&session_, callbacks, this), 0);
  nghttp2_session_callbacks_del(callbacks);
  Open();
}

StreamSession::~StreamSession() {
  closing_ = true;
  nghttp2_session_del(session_);
}

std::string_view StreamSession::path() const {
  switch (options_.direction) {
    case Direction::kToClient:
      return "/bench.Streams/Produce";
    case Direction::kToServer:
      return "/bench.Streams/Consume";
    case Direction::kBoth:
      break;
  }
  return "/bench.Streams/Echo";
}

void StreamSession::Open() {
  const std::array<nghttp2_settings_entry, 2> settings = {{
      {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
      {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, kStreamWindowBytes},
  }};
  MOKV_CHECK_EQ(
      nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings.data(), settings.size()), 0);
  MOKV_CHECK_EQ(
      nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, 0, kConnectionWindowBytes),
      0);
  const std::array<nghttp2_nv, 6> headers = {
      Header(":method", "POST"), Header(":scheme", options_.scheme),
      Header(":path", path()),   Header(":authority", options_.authority),
      Header("te", "trailers"),  Header("content-type", "application/grpc")};
  for (Stream& stream : streams_) {
    stream.may_send_bytes = options_.direction == Direction::kBoth
                                ? uint64_t{options_.in_flight} * kFramedBytes
                                : UINT64_MAX;
    nghttp2_data_provider provider{};
    provider.source.ptr = &stream;
    provider.read_callback = &Callbacks::Read;
    stream.id = nghttp2_submit_request(session_, nullptr, headers.data(), headers.size(), &provider,
                                       &stream);
    MOKV_CHECK_GE(stream.id, 1);
  }
}

absl::Status StreamSession::Receive(std::string_view bytes) {
  const ssize_t used = nghttp2_session_mem_recv(
      session_, reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
  if (used < 0) return Unavailable("HTTP/2: {}", nghttp2_strerror(static_cast<int>(used)));
  return status_;
}

absl::Status StreamSession::TakeOutput(std::string& out) {
  out_ = &out;
  while (out.size() < kOutputBytes) {
    const uint8_t* data = nullptr;
    const ssize_t size = nghttp2_session_mem_send(session_, &data);
    if (size < 0) return Unavailable("HTTP/2: {}", nghttp2_strerror(static_cast<int>(size)));
    if (size == 0) break;
    out.append(reinterpret_cast<const char*>(data), static_cast<size_t>(size));
  }
  return status_;
}

}  // namespace mokv::streams
