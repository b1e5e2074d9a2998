// How a server's connection comes to its end, other than by its client's wish.
#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <string>
#include <string_view>

#include "rpc/server_connection.h"

namespace mokv::rpc {
namespace {

void AppendNumber(uint32_t number, int bytes, std::string& out) {
  for (int i = bytes - 1; i >= 0; --i) out += static_cast<char>(number >> (8 * i));
}

// RFC 9113, 6.8. By hand: a session that has refused to go on makes none, and behind what waits for a
// client that does not read it would never leave.
std::string GoAwayFrame(uint32_t last_stream, uint32_t http2_error, std::string_view debug_data) {
  std::string frame;
  AppendNumber(static_cast<uint32_t>(8 + debug_data.size()), 3, frame);
  AppendNumber(NGHTTP2_GOAWAY, 1, frame);
  AppendNumber(0, 1, frame);  // Flags.
  AppendNumber(0, 4, frame);  // The connection's.
  AppendNumber(last_stream, 4, frame);
  AppendNumber(http2_error, 4, frame);
  return frame.append(debug_data);
}

}  // namespace

void ServerConnection::EndForFlood(std::string_view reason) {
  CountBroken(reason);
  shared_.stats.floods.Add(reason);
  // The first frame of a server is its SETTINGS, even now (RFC 9113, 3.4).
  if (const uint8_t* settings = nullptr;
      transport_->sent_bytes() + transport_->pending_bytes() == 0) {
    const ssize_t size = nghttp2_session_mem_send(session_, &settings);
    if (size > 0) {
      transport_->Send({reinterpret_cast<const char*>(settings), static_cast<size_t>(size)});
    }
  }
  // What has been begun must not be taken for what nobody has looked at: it may have been carried out.
  const int32_t last = std::min(last_served_, nghttp2_session_get_last_proc_stream_id(session_));
  transport_->Send(GoAwayFrame(static_cast<uint32_t>(last), NGHTTP2_ENHANCE_YOUR_CALM, reason));
  Close();
}

bool ServerConnection::IsSmallWindow(int32_t stream, int32_t increment) {
  constexpr auto kSmallBytes = static_cast<int32_t>(FloodWatch::kSmallBytes);
  if (increment >= kSmallBytes) return false;
  if (stream == 0) return nghttp2_session_get_remote_window_size(session_) < kSmallBytes;
  const ServerCall* call = Find(stream);
  return call != nullptr && call->state == ServerCall::State::kAnswering &&
         call->response_sent < call->response.size() &&
         nghttp2_session_get_stream_remote_window_size(session_, stream) < kSmallBytes;
}

void ServerConnection::WatchLife(MonotonicTime now) {
  switch (life_.Check(now, !calls_.empty())) {
    case ConnectionLife::Verdict::kStay:
      return;
    case ConnectionLife::Verdict::kAnnounce:
      ++shared_.stats.connections_retired;
      return AnnounceGoAway();
    case ConnectionLife::Verdict::kGoAway:
      return GoAway();
    case ConnectionLife::Verdict::kClose:
      return Close();
  }
}

}  // namespace mokv::rpc
