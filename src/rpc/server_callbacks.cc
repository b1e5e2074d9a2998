// nghttp2's callbacks of a server's session: which ones there are, and which part of a frame
// becomes which event of the connection.
#include <nghttp2/nghttp2.h>

#include <cstring>
#include <string_view>

#include "base/check.h"
#include "base/status.h"
#include "rpc/server_connection.h"

namespace mokv::rpc {
namespace {

// nghttp2 has a limit of its own for calls that clients reset, and its own opinion of what they hear
// then; FloodWatch's comes first.
constexpr uint64_t kResetsBurst = 100'000;
constexpr uint64_t kResetsPerSecond = 100'000;

// What the PING carries that tells whether a client has seen the first GOAWAY.
constexpr uint8_t kGoAwayPing[8] = {'g', 'o', ' ', 'a', 'w', 'a', 'y', '?'};
// Of the first GOAWAY: all streams that can be (RFC 9113, 6.8).
constexpr int32_t kStreamMax = INT32_MAX;

struct SessionCallbacks {
  nghttp2_session_callbacks* get = nullptr;
  ~SessionCallbacks() { nghttp2_session_callbacks_del(get); }
};

}  // namespace

struct ServerConnection::Callbacks {
  static ServerConnection& Self(void* user_data) {
    return *static_cast<ServerConnection*>(user_data);
  }
  static ServerCall* CallOf(nghttp2_session* session, int32_t stream) {
    return static_cast<ServerCall*>(nghttp2_session_get_stream_user_data(session, stream));
  }

  // nghttp2 ignores a stream that is opened after one with a greater number; RFC 9113, 5.1.1 calls
  // for a connection error. Streams that nghttp2 has forgotten must not be taken for such streams.
  static int OnBeginFrame(nghttp2_session* session, const nghttp2_frame_hd* head, void* user) {
    ++Self(user).frames_begun_.all;
    if (head->type == NGHTTP2_DATA && head->length > 0) {
      ++Self(user).frames_begun_.data;
      Self(user).frames_begun_.data_bytes += head->length;
    }
    if (!Self(user).flood_watch_.OnFrame(head->type, head->flags, head->length,
                                         Self(user).turn_time_)) {
      return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    if (head->type != NGHTTP2_HEADERS || head->stream_id % 2 == 0) return 0;
    // Of a block on a stream that is over, nghttp2 tells no more than that it begins.
    if (!Self(user).opened_.IsNew(head->stream_id) &&
        nghttp2_session_find_stream(session, head->stream_id) == nullptr &&
        !Self(user).flood_watch_.OnIgnored(1, {}, Self(user).turn_time_)) {
      return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    if (!Self(user).opened_.Take(head->stream_id)) {
      nghttp2_session_terminate_session(session, NGHTTP2_PROTOCOL_ERROR);
      Self(user).MarkDirty();
    }
    return 0;
  }

  static int OnBeginHeaders(nghttp2_session* session, const nghttp2_frame* frame, void* user) {
    Self(user).flood_watch_.OnHeaders(Self(user).turn_time_);
    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST) return 0;
    if (Self(user).going_away_) {
      // The client has been told, or will be, that this call was not looked at: so it must not be.
      Self(user).ResetStream(frame->hd.stream_id, NGHTTP2_REFUSED_STREAM);
      return 0;
    }
    Self(user).life_.OnCall();
    ServerCall& call = Self(user).calls_.Open(frame->hd.stream_id, Self(user).turn_time_);
    nghttp2_session_set_stream_user_data(session, frame->hd.stream_id, &call);
    return 0;
  }

  static int OnHeader(nghttp2_session* session, const nghttp2_frame* frame, const uint8_t* name,
                      size_t name_size, const uint8_t* value, size_t value_size, uint8_t,
                      void* user) {
    // Trailers too, and headers of calls that are not taken any more: they cost as much.
    if (!Self(user).flood_watch_.OnHeader(name_size + value_size, Self(user).turn_time_)) {
      return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST) return 0;
    if (ServerCall* call = CallOf(session, frame->hd.stream_id); call != nullptr) {
      call->head.Take({reinterpret_cast<const char*>(name), name_size},
                      {reinterpret_cast<const char*>(value), value_size}, Self(user).shared_);
    }
    return 0;
  }

  static int OnData(nghttp2_session* session, uint8_t, int32_t stream, const uint8_t* data,
                    size_t size, void* user) {
    ServerConnection& self = Self(user);
    ServerCall* call = CallOf(session, stream);
    const std::string_view bytes{reinterpret_cast<const char*>(data), size};
    if (call != nullptr) self.flood_watch_.OnMessages(call->messages.Count(bytes));
    if (call != nullptr && call->takes_stream()) {
      call->OnReceived(size, call->sink != nullptr && call->cutter.empty(), self.turn_time_);
      self.GrowConnectionWindow(self.receive_window_.OnReceived(size));
      self.HandOver(*call, bytes);
      return 0;
    }
    // Whole requests have limits of their own, and windows that grow at once.
    nghttp2_session_consume(session, stream, size);
    if (call != nullptr) {
      self.Proceed(*call, self.receiver_.OnData(*call, bytes, self.turn_time_));
    }
    return 0;
  }

  static int OnFrame(nghttp2_session* session, const nghttp2_frame* frame, void* user) {
    ServerConnection& self = Self(user);
    if (frame->hd.type == NGHTTP2_PING && (frame->hd.flags & NGHTTP2_FLAG_ACK) != 0 &&
        std::memcmp(frame->ping.opaque_data, kGoAwayPing, sizeof(kGoAwayPing)) == 0) {
      self.GoAway();
    }
    if (frame->hd.type == NGHTTP2_PING && (frame->hd.flags & NGHTTP2_FLAG_ACK) == 0 &&
        !self.ping_policy_.Allows(self.turn_time_, !self.calls_.empty())) {
      self.flood_watch_.OnPings();
      return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    if (frame->hd.type == NGHTTP2_WINDOW_UPDATE &&
        self.IsSmallWindow(frame->hd.stream_id, frame->window_update.window_size_increment) &&
        !self.flood_watch_.OnSmallWindow(self.turn_time_)) {
      return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) return 0;
    if (frame->hd.type == NGHTTP2_HEADERS) self.flood_watch_.OnHeadersEnd();
    const bool ends = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    if (frame->hd.type == NGHTTP2_DATA && !ends &&
        !self.flood_watch_.OnDataEnd(frame->hd.length - frame->data.padlen,
                                     (frame->hd.flags & NGHTTP2_FLAG_PADDED) != 0,
                                     self.turn_time_)) {
      return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    ServerCall* call = CallOf(session, frame->hd.stream_id);
    if (call == nullptr) return 0;
    if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
      self.Proceed(*call, self.receiver_.OnHead(*call));
    }
    if (ends) self.Proceed(*call, self.receiver_.OnEnd(*call, self.turn_time_));
    if (ends && call->takes_stream()) self.HandOver(*call, {});
    return 0;
  }

  // nghttp2 could not make a frame of it: a header block has a size that it cannot pass.
  static int OnFrameNotSent(nghttp2_session* session, const nghttp2_frame* frame, int error,
                            void* user) {
    if (frame->hd.type != NGHTTP2_HEADERS) return 0;
    if (ServerCall* call = CallOf(session, frame->hd.stream_id); call != nullptr) {
      call->status = MakeStatus(absl::StatusCode::kInternal, "the answer's headers: {}",
                                nghttp2_strerror(error));
      Self(user).ResetStream(frame->hd.stream_id, NGHTTP2_INTERNAL_ERROR);
    }
    return 0;
  }

  static int OnFrameSent(nghttp2_session* session, const nghttp2_frame* frame, void* user) {
    if (frame->hd.type == NGHTTP2_GOAWAY) {
      if (frame->goaway.error_code != NGHTTP2_NO_ERROR) {
        Self(user).CountBroken(nghttp2_http2_strerror(frame->goaway.error_code));
      } else if (frame->goaway.last_stream_id == kStreamMax) {
        // Only now: nghttp2 would let a PING that waits together with the GOAWAY go first.
        nghttp2_submit_ping(session, NGHTTP2_FLAG_NONE, kGoAwayPing);
      }
    }
    if (frame->hd.type == NGHTTP2_RST_STREAM) {
      // Flush looks whether there have been too many.
      Self(user).flood_watch_.OnResetSent(frame->rst_stream.error_code, Self(user).turn_time_);
    }
    if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) return 0;
    Self(user).ping_policy_.OnAnswer();
    Self(user).flood_watch_.OnAnswer();
    // The answer is complete but the client still uploads: it need not (RFC 9113, 8.1).
    if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0) {
      ServerCall* call = CallOf(session, frame->hd.stream_id);
      if (call != nullptr) call->response_ended = true;
      if (call != nullptr && !call->request_ended) {
        Self(user).ResetStream(frame->hd.stream_id, NGHTTP2_NO_ERROR);
      }
    }
    return 0;
  }

  static int OnStreamClose(nghttp2_session* session, int32_t stream, uint32_t, void* user) {
    if (ServerCall* call = CallOf(session, stream); call != nullptr) {
      nghttp2_session_set_stream_user_data(session, stream, nullptr);
      Self(user).CloseCall(*call);
    }
    return 0;
  }

  static const nghttp2_session_callbacks* Get() {
    static const SessionCallbacks* callbacks = [] {
      auto* made = new SessionCallbacks;
      MOKV_CHECK_EQ(nghttp2_session_callbacks_new(&made->get), 0);
      nghttp2_session_callbacks_set_on_begin_frame_callback(made->get, OnBeginFrame);
      nghttp2_session_callbacks_set_on_begin_headers_callback(made->get, OnBeginHeaders);
      nghttp2_session_callbacks_set_on_header_callback(made->get, OnHeader);
      nghttp2_session_callbacks_set_on_data_chunk_recv_callback(made->get, OnData);
      nghttp2_session_callbacks_set_on_frame_recv_callback(made->get, OnFrame);
      nghttp2_session_callbacks_set_on_frame_not_send_callback(made->get, OnFrameNotSent);
      nghttp2_session_callbacks_set_on_frame_send_callback(made->get, OnFrameSent);
      nghttp2_session_callbacks_set_on_stream_close_callback(made->get, OnStreamClose);
      return made;
    }();
    return callbacks->get;
  }
};

nghttp2_session* ServerConnection::NewSession() {
  nghttp2_option* option = nullptr;
  MOKV_CHECK_EQ(nghttp2_option_new(&option), 0);
  // Windows grow when we say so: when a slow reader has taken what came.
  nghttp2_option_set_no_auto_window_update(option, 1);
  // It would keep as many whole streams as may be open, 200 to 300 bytes each, for as long as the
  // connection lives. They serve priorities, which this server does not know, and what FrameCounter
  // has instead.
  nghttp2_option_set_no_closed_streams(option, 1);
  nghttp2_option_set_stream_reset_rate_limit(option, kResetsBurst, kResetsPerSecond);
  nghttp2_session* session = nullptr;
  nghttp2_mem memory = memory_.hooks();
  MOKV_CHECK_EQ(nghttp2_session_server_new3(&session, Callbacks::Get(), this, option, &memory), 0);
  nghttp2_option_del(option);
  return session;
}

}  // namespace mokv::rpc
