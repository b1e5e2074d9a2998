#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <array>
#include <vector>

#include "base/check.h"
#include "base/status.h"
#include "load/session.h"

namespace mokv::load {
namespace {

uint8_t* Bytes(std::string_view text) {
  // nghttp2's interface is not const-correct; with NO_COPY it only reads.
  return const_cast<uint8_t*>(reinterpret_cast<const uint8_t*>(text.data()));
}

nghttp2_nv Header(std::string_view name, std::string_view value) {
  return {Bytes(name), Bytes(value), name.size(), value.size(),
          NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE};
}

// The headers of one request, made once a connection: nghttp2 keeps pointers into the session's
// own copies of the texts.
struct PreparedHeaders {
  const Request* request;
  std::array<nghttp2_nv, 7> fields;
};

class Nghttp2Session final : public Session {
 public:
  Nghttp2Session(const SessionOptions& options, AnswerSink& sink)
      : scheme_(options.scheme), authority_(options.authority), sink_(sink) {
    for (const Request& request : options.requests) {
      prepared_.push_back(
          {&request,
           {Header(":method", "POST"), Header(":scheme", scheme_), Header(":path", request.path),
            Header(":authority", authority_), Header("te", "trailers"),
            Header("content-type", "application/grpc"), Header("user-agent", kUserAgent)}});
    }
    Open();
  }

  ~Nghttp2Session() override {
    // Deleting the session reports open streams as closed; nobody wants to hear of them any more.
    closing_ = true;
    nghttp2_session_del(session_);
  }

  bool ready() const override { return ready_; }

  uint32_t calls_max() const override {
    return nghttp2_session_get_remote_settings(session_, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
  }

  absl::Status Submit(Call& call) override {
    if (going_away_) return Unavailable("the server is going away");
    const auto prepared =
        std::find_if(prepared_.begin(), prepared_.end(),
                     [&](const PreparedHeaders& p) { return p.request == call.request; });
    MOKV_CHECK(prepared != prepared_.end());
    ResetCall(call);
    nghttp2_data_provider provider;
    provider.source.ptr = &call;
    provider.read_callback = &Nghttp2Session::OnRead;
    const int32_t id = nghttp2_submit_request(session_, nullptr, prepared->fields.data(),
                                              prepared->fields.size(), &provider, &call);
    if (id < 0) {
      call.open = false;
      return Failed("nghttp2_submit_request", id);
    }
    call.stream_id = id;
    return absl::OkStatus();
  }

  absl::Status Receive(std::string_view bytes) override {
    const ssize_t used = nghttp2_session_mem_recv(session_, Bytes(bytes), bytes.size());
    if (used < 0) return Failed("nghttp2_session_mem_recv", static_cast<int>(used));
    return absl::OkStatus();
  }

  absl::Status TakeOutput(std::string& out) override {
    while (true) {
      const uint8_t* data = nullptr;
      const ssize_t size = nghttp2_session_mem_send(session_, &data);
      if (size < 0) return Failed("nghttp2_session_mem_send", static_cast<int>(size));
      if (size == 0) break;
      out.append(reinterpret_cast<const char*>(data), static_cast<size_t>(size));
    }
    // nghttp2 hides a broken protocol behind the GOAWAY that it has just made.
    if (nghttp2_session_want_read(session_) == 0)
      return Unavailable("the HTTP/2 session has ended");
    return absl::OkStatus();
  }

 private:
  static absl::Status Failed(std::string_view what, int code) {
    return Unavailable("{}: {}", what, nghttp2_strerror(code));
  }

  void Open() {
    nghttp2_session_callbacks* callbacks = nullptr;
    nghttp2_option* options = nullptr;
    MOKV_CHECK_EQ(nghttp2_session_callbacks_new(&callbacks), 0);
    MOKV_CHECK_EQ(nghttp2_option_new(&options), 0);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, &OnHeader);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, &OnDataChunk);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, &OnStreamClose);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, &OnFrame);
    // We look at what we need of an answer ourselves (CheckAnswer, grpc-status).
    nghttp2_option_set_no_http_messaging(options, 1);
    MOKV_CHECK_EQ(nghttp2_session_client_new2(&session_, callbacks, this, options), 0);
    nghttp2_option_del(options);
    nghttp2_session_callbacks_del(callbacks);

    const std::array<nghttp2_settings_entry, 2> settings = {{
        {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, kStreamWindowBytes},
    }};
    MOKV_CHECK_EQ(
        nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings.data(), settings.size()), 0);
    MOKV_CHECK_EQ(nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, 0,
                                                        kConnectionWindowBytes),
                  0);
  }

  static Call* CallOf(nghttp2_session* session, int32_t stream_id) {
    return static_cast<Call*>(nghttp2_session_get_stream_user_data(session, stream_id));
  }

  static ssize_t OnRead(nghttp2_session*, int32_t, uint8_t* buffer, size_t size, uint32_t* flags,
                        nghttp2_data_source* source, void*) {
    Call& call = *static_cast<Call*>(source->ptr);
    const size_t left = call.request->message.size() - call.sent_bytes;
    const size_t part = std::min(size, left);
    CopyMessage(*call.request, call.digits, call.sent_bytes, part, reinterpret_cast<char*>(buffer));
    call.sent_bytes += part;
    if (part == left) *flags |= NGHTTP2_DATA_FLAG_EOF;
    return static_cast<ssize_t>(part);
  }

  static int OnHeader(nghttp2_session* session, const nghttp2_frame* frame, const uint8_t* name,
                      size_t name_size, const uint8_t* value, size_t value_size, uint8_t, void*) {
    if (Call* call = CallOf(session, frame->hd.stream_id); call != nullptr) {
      NoteHeader(call->status, {reinterpret_cast<const char*>(name), name_size},
                 {reinterpret_cast<const char*>(value), value_size});
    }
    return 0;
  }

  static int OnDataChunk(nghttp2_session* session, uint8_t, int32_t stream_id, const uint8_t* data,
                         size_t size, void*) {
    if (Call* call = CallOf(session, stream_id); call != nullptr) {
      call->body.append(reinterpret_cast<const char*>(data), size);
    }
    return 0;
  }

  static int OnStreamClose(nghttp2_session* session, int32_t stream_id, uint32_t error_code,
                           void* user_data) {
    auto* self = static_cast<Nghttp2Session*>(user_data);
    Call* call = CallOf(session, stream_id);
    if (call == nullptr || self->closing_) return 0;
    call->open = false;
    call->reset = error_code != NGHTTP2_NO_ERROR;
    self->sink_.OnAnswer(*call);
    return 0;
  }

  static int OnFrame(nghttp2_session*, const nghttp2_frame* frame, void* user_data) {
    auto* self = static_cast<Nghttp2Session*>(user_data);
    if (frame->hd.type == NGHTTP2_SETTINGS && (frame->hd.flags & NGHTTP2_FLAG_ACK) == 0) {
      self->ready_ = true;
    }
    if (frame->hd.type == NGHTTP2_GOAWAY) self->going_away_ = true;
    return 0;
  }

  std::string scheme_;
  std::string authority_;
  AnswerSink& sink_;
  std::vector<PreparedHeaders> prepared_;
  nghttp2_session* session_ = nullptr;
  bool ready_ = false;
  bool going_away_ = false;
  bool closing_ = false;
};

}  // namespace

std::unique_ptr<Session> NewNghttp2Session(const SessionOptions& options, AnswerSink& sink) {
  return std::make_unique<Nghttp2Session>(options, sink);
}

}  // namespace mokv::load
