#include "rpc/client_connection.h"

#include <absl/container/btree_map.h>
#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "base/status.h"
#include "rpc/grpc_wire.h"
#include "rpc/http2_header.h"

namespace mokv::rpc {
namespace {

constexpr uint32_t kStreamWindowBytes = uint32_t{4} << 20;
constexpr int32_t kConnectionWindowBytes = int32_t{16} << 20;

}  // namespace

class ClientCalls {
 public:
  absl::btree_map<int32_t, std::unique_ptr<ClientCall>> by_stream;
};

struct ClientConnection::Callbacks {
  static ClientConnection& Self(void* user) { return *static_cast<ClientConnection*>(user); }
  static ClientCall* CallOf(nghttp2_session* session, int32_t stream) {
    return static_cast<ClientCall*>(nghttp2_session_get_stream_user_data(session, stream));
  }

  static int OnHeader(nghttp2_session* session, const nghttp2_frame* frame, const uint8_t* name,
                      size_t name_size, const uint8_t* value, size_t value_size, uint8_t, void*) {
    if (ClientCall* call = CallOf(session, frame->hd.stream_id); call != nullptr) {
      call->TakeHeader({reinterpret_cast<const char*>(name), name_size},
                       {reinterpret_cast<const char*>(value), value_size},
                       (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0);
    }
    return 0;
  }

  static int OnData(nghttp2_session* session, uint8_t, int32_t stream, const uint8_t* data,
                    size_t size, void* user) {
    if (ClientCall* call = CallOf(session, stream); call != nullptr) {
      ClientConnection& self = Self(user);
      absl::Status broken = call->TakeData({reinterpret_cast<const char*>(data), size},
                                           self.options_.message_bytes_max);
      if (!broken.ok()) self.FailCall(*call, std::move(broken));
    }
    return 0;
  }

  static int OnFrame(nghttp2_session*, const nghttp2_frame* frame, void* user) {
    if (frame->hd.type == NGHTTP2_GOAWAY) Self(user).going_away_ = true;
    return 0;
  }

  static int OnStreamClose(nghttp2_session* session, int32_t stream, uint32_t error, void* user) {
    if (ClientCall* call = CallOf(session, stream); call != nullptr) {
      nghttp2_session_set_stream_user_data(session, stream, nullptr);
      Self(user).OnStreamClose(*call, error);
    }
    return 0;
  }

  static ssize_t ReadRequest(nghttp2_session*, int32_t, uint8_t* buffer, size_t size,
                             uint32_t* flags, nghttp2_data_source* source, void*) {
    ClientCall& call = *static_cast<ClientCall*>(source->ptr);
    const size_t taken = std::min(size, call.request.size() - call.request_sent);
    std::memcpy(buffer, call.request.data() + call.request_sent, taken);
    call.request_sent += taken;
    call.sent = true;
    if (call.request_sent == call.request.size()) *flags |= NGHTTP2_DATA_FLAG_EOF;
    return static_cast<ssize_t>(taken);
  }
};

ClientConnection::ClientConnection(Owner& owner, net::IoThread& thread,
                                   const ChannelOptions& options,
                                   std::unique_ptr<net::Transport> transport)
    : owner_(owner),
      thread_(thread),
      options_(options),
      transport_(std::move(transport)),
      authority_(options.target.ToString()),
      calls_(std::make_unique<ClientCalls>()) {
  nghttp2_session_callbacks* callbacks = nullptr;
  MOKV_CHECK_EQ(nghttp2_session_callbacks_new(&callbacks), 0);
  nghttp2_session_callbacks_set_on_header_callback(callbacks, Callbacks::OnHeader);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, Callbacks::OnData);
  nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, Callbacks::OnFrame);
  nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, Callbacks::OnStreamClose);
  MOKV_CHECK_EQ(nghttp2_session_client_new(&session_, callbacks, this), 0);
  nghttp2_session_callbacks_del(callbacks);
}

ClientConnection::~ClientConnection() {
  *alive_ = false;
  nghttp2_session_del(session_);
}

void ClientConnection::Start() {
  transport_->ExpectServerName(options_.target.host);
  transport_->Start(this);
}

void ClientConnection::OnReady() {
  const nghttp2_settings_entry settings[] = {
      {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
      {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, kStreamWindowBytes},
  };
  nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings, std::size(settings));
  nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, 0, kConnectionWindowBytes);
  owner_.OnConnected();
  Flush();
}

void ClientConnection::Submit(std::unique_ptr<ClientCall> call) {
  const MonotonicTime now = options_.clock->Now();
  std::string timeout;
  std::vector<nghttp2_nv> headers = {
      CopiedHeader(":method", "POST"),
      CopiedHeader(":scheme", options_.tls != nullptr ? "https" : "http"),
      CopiedHeader(":path", call->method),
      CopiedHeader(":authority", authority_),
      CopiedHeader("te", "trailers"),
      CopiedHeader("content-type", "application/grpc"),
      CopiedHeader("user-agent", "mokv-cpp"),
  };
  if (call->deadline != MonotonicTime::Max()) {
    timeout = FormatTimeout(call->deadline - now);
    headers.push_back(CopiedHeader("grpc-timeout", timeout));
  }
  nghttp2_data_provider provider{};
  provider.source.ptr = call.get();
  provider.read_callback = Callbacks::ReadRequest;
  const int32_t stream = nghttp2_submit_request(session_, nullptr, headers.data(), headers.size(),
                                                &provider, call.get());
  if (stream < 0) {
    call->Finish(Unavailable("cannot begin a call: {}", nghttp2_strerror(stream)));
    return;
  }
  call->stream = stream;
  call->timer.reset();
  if (call->deadline != MonotonicTime::Max()) {
    call->timer = std::make_unique<net::Timer>(thread_);
    call->timer->Start(std::max(call->deadline - now, Duration(0)),
                       [this, stream] { ExpireCall(stream); });
  }
  calls_->by_stream.emplace(stream, std::move(call));
  ScheduleFlush();
}

size_t ClientConnection::waiting_calls() const {
  const size_t allowed =
      nghttp2_session_get_remote_settings(session_, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
  return calls_->by_stream.size() - std::min(calls_->by_stream.size(), allowed);
}

void ClientConnection::FailCall(ClientCall& call, absl::Status status) {
  if (!call.failure.ok()) return;
  call.failure = std::move(status);
  nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, call.stream, NGHTTP2_CANCEL);
  ScheduleFlush();
}

// The caller is told at once. The server is told by the reset, which may have to wait for a long
// time if the server does not read.
void ClientConnection::ExpireCall(int32_t stream) {
  const auto found = calls_->by_stream.find(stream);
  if (found == calls_->by_stream.end()) return;
  ClientCall& call = *found->second;
  FailCall(call, absl::DeadlineExceededError("deadline exceeded"));
  thread_.DeleteSoon(std::move(call.timer));  // The timer is what runs this function.
  const absl::Status failure = call.failure;
  call.Finish(failure);  // The last thing: whoever is told may end the channel.
}

void ClientConnection::OnStreamClose(ClientCall& call, uint32_t http2_error) {
  const auto found = calls_->by_stream.find(call.stream);
  MOKV_CHECK(found != calls_->by_stream.end());
  const std::unique_ptr<ClientCall> owned = std::move(found->second);
  calls_->by_stream.erase(found);
  owned->End(http2_error);
}

void ClientConnection::OnBytes(std::string_view bytes) {
  const std::shared_ptr<bool> alive = alive_;
  const ssize_t result = nghttp2_session_mem_recv(
      session_, reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
  if (!*alive || result >= 0) return;
  Break(Unavailable("{} does not speak HTTP/2 as it should: {}", authority_,
                    nghttp2_strerror(static_cast<int>(result))));
}

void ClientConnection::ScheduleFlush() {
  if (flush_scheduled_ || ended_) return;
  flush_scheduled_ = true;
  thread_.Post([this, alive = alive_] {
    if (*alive) Flush();
  });
}

void ClientConnection::Flush() {
  flush_scheduled_ = false;
  if (ended_ || !transport_->ready()) return;
  while (!transport_->blocked()) {
    output_.clear();
    const uint8_t* bytes = nullptr;
    ssize_t size = 0;
    while (output_.size() < (size_t{64} << 10) &&
           (size = nghttp2_session_mem_send(session_, &bytes)) > 0) {
      output_.append(reinterpret_cast<const char*>(bytes), static_cast<size_t>(size));
    }
    MOKV_CHECK_GE(size, 0);
    if (output_.empty()) break;
    transport_->Send(output_);
  }
  if (nghttp2_session_want_read(session_) == 0 && nghttp2_session_want_write(session_) == 0) {
    Break(Unavailable("{} closed the connection", authority_));
  }
}

void ClientConnection::OnClosed(const absl::Status& reason) {
  Break(reason.ok() ? Unavailable("{} closed the connection", authority_)
                    : Unavailable("{}: {}", authority_, MessageOf(reason)));
}

void ClientConnection::Break(const absl::Status& reason) {
  if (ended_) return;
  EndAll(reason);
  owner_.OnDisconnected(*this, reason);
}

void ClientConnection::Abort(const absl::Status& reason) { EndAll(reason); }

void ClientConnection::EndAll(const absl::Status& reason) {
  ended_ = true;
  // TLS 1.3 lets a client speak before the server has accepted its certificate.
  const bool refused = transport_->handshake_was_refused();
  transport_->Close();
  auto calls = std::move(calls_->by_stream);
  calls_->by_stream.clear();
  for (auto& [stream, call] : calls) {
    if (refused) call->sent = false;
    if (!call->failure.ok()) {
      call->Finish(call->failure);
    } else if (call->sent) {
      call->Finish(
          absl::Status(reason.code(), fmt::format("{} (outcome unknown)", MessageOf(reason))));
    } else {
      call->Finish(reason);
    }
  }
}

}  // namespace mokv::rpc
