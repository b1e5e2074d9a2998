#include "rpc/client_connection.h"

#include <absl/container/inlined_vector.h>
#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "base/give_back.h"
#include "base/status.h"
#include "rpc/grpc_wire.h"
#include "rpc/http2_header.h"

namespace mokv::rpc {
namespace {

constexpr uint32_t kStreamWindowBytes = uint32_t{4} << 20;
constexpr int32_t kConnectionWindowBytes = int32_t{16} << 20;
// Several slow readers, before they slow others.
constexpr size_t kHeldBytesMax = size_t{32} << 20;
// Of what a server says with GOAWAY, for people.
constexpr size_t kGoAwayTextBytesMax = 200;
// All but an application's metadata.
constexpr size_t kHeadersInline = 12;
constexpr size_t kFlushBytes = size_t{64} << 10;
// Looks within the shorter of the two times of keepalive.
constexpr int kKeepaliveLooks = 4;
constexpr Duration kKeepaliveLookMin = std::chrono::milliseconds(1);
// A connection on which nothing has come or left for so long, or twice as long, is at rest; as at the
// server, buffers do not come and go with calls that are made now and then.
constexpr Duration kRestAfter = std::chrono::seconds(1);
// What gRPC's servers say with GOAWAY when keepalive asks too often.
constexpr std::string_view kTooManyPings = "too_many_pings";

}  // namespace

struct ClientConnection::Callbacks {
  static ClientConnection& Self(void* user) { return *static_cast<ClientConnection*>(user); }
  // Null when the call has ended.
  static ClientCall* CallOf(nghttp2_session* session, int32_t stream) {
    return static_cast<ClientCall*>(nghttp2_session_get_stream_user_data(session, stream));
  }
  static bool EndsStream(const nghttp2_frame* frame) {
    return (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
  }

  // Not for the headers of a request that the server promises to answer unasked.
  static ClientCall* HeadersOf(nghttp2_session* session, const nghttp2_frame* frame) {
    return frame->hd.type == NGHTTP2_HEADERS ? CallOf(session, frame->hd.stream_id) : nullptr;
  }

  static int OnBeginHeaders(nghttp2_session* session, const nghttp2_frame* frame, void*) {
    ClientCall* call = HeadersOf(session, frame);
    if (call != nullptr) call->BeginHeaders(EndsStream(frame));
    return 0;
  }

  static int OnHeader(nghttp2_session* session, const nghttp2_frame* frame, const uint8_t* name,
                      size_t name_size, const uint8_t* value, size_t value_size, uint8_t, void*) {
    if (ClientCall* call = HeadersOf(session, frame); call != nullptr) {
      call->TakeHeader({reinterpret_cast<const char*>(name), name_size},
                       {reinterpret_cast<const char*>(value), value_size});
    }
    return 0;
  }

  static int OnData(nghttp2_session* session, uint8_t, int32_t stream, const uint8_t* data,
                    size_t size, void* user) {
    ClientCall* call = CallOf(session, stream);
    if (call == nullptr) {
      nghttp2_session_consume_connection(session, size);
    } else {
      Self(user).OnData(*call, {reinterpret_cast<const char*>(data), size});
    }
    return 0;
  }

  static int OnFrame(nghttp2_session* session, const nghttp2_frame* frame, void* user) {
    ClientConnection& self = Self(user);
    ClientCall* call = nullptr;
    switch (frame->hd.type) {
      case NGHTTP2_GOAWAY:
        self.OnGoAway(frame->goaway.error_code,
                      {reinterpret_cast<const char*>(frame->goaway.opaque_data),
                       frame->goaway.opaque_data_len});
        break;
      case NGHTTP2_SETTINGS:
        self.told_room_ = false;
        if (!std::exchange(self.established_, true)) self.owner_.OnEstablished(self);
        break;
      case NGHTTP2_RST_STREAM:
        call = CallOf(session, frame->hd.stream_id);
        if (call != nullptr) call->reset_by_server = true;
        break;
      case NGHTTP2_HEADERS:
        call = CallOf(session, frame->hd.stream_id);
        if (call == nullptr) break;
        if (absl::Status broken = call->EndHeaders(); !broken.ok()) {
          self.Fail(*call, broken);
        } else if (EndsStream(frame)) {
          self.OnAnswerEnd(*call);
        }
        break;
      case NGHTTP2_DATA:
        call = CallOf(session, frame->hd.stream_id);
        if (call != nullptr && EndsStream(frame)) self.OnAnswerEnd(*call);
        break;
      default:
        break;
    }
    return 0;
  }

  static int OnStreamClose(nghttp2_session* session, int32_t stream, uint32_t error, void* user) {
    // The server's own streams have even numbers.
    if (stream % 2 == 1) Self(user).OnStreamClose(CallOf(session, stream), error);
    return 0;
  }

  static int BeforeSend(nghttp2_session* session, const nghttp2_frame* frame, void*) {
    if (frame->hd.type != NGHTTP2_HEADERS) return 0;
    ClientCall* call = CallOf(session, frame->hd.stream_id);
    // A server may begin a call whose messages it takes one by one before there is any.
    if (call != nullptr && call->exchange != nullptr) call->sent = true;
    return 0;
  }

  static ssize_t ReadRequest(nghttp2_session* session, int32_t stream, uint8_t* buffer, size_t size,
                             uint32_t* flags, nghttp2_data_source*, void* user) {
    ClientCall* call = CallOf(session, stream);
    // It has ended, and its reset is on the way.
    if (call == nullptr) return NGHTTP2_ERR_DEFERRED;
    return Self(user).ReadRequest(*call, reinterpret_cast<char*>(buffer), size, flags);
  }
};

ClientConnection::ClientConnection(Owner& owner, net::IoThread& thread,
                                   const ChannelOptions& options, Duration keepalive_idle,
                                   std::unique_ptr<net::Transport> transport)
    : owner_(owner),
      thread_(thread),
      options_(options),
      transport_(std::move(transport)),
      authority_(options.target.ToString()),
      window_(kHeldBytesMax),
      keepalive_idle_(keepalive_idle),
      keepalive_(keepalive_idle, options.keepalive_timeout, options.clock->Now()),
      keepalive_timer_(thread),
      rest_timer_(thread) {
  nghttp2_session_callbacks* callbacks = nullptr;
  MOKV_CHECK_EQ(nghttp2_session_callbacks_new(&callbacks), 0);
  nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, Callbacks::OnBeginHeaders);
  nghttp2_session_callbacks_set_on_header_callback(callbacks, Callbacks::OnHeader);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, Callbacks::OnData);
  nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, Callbacks::OnFrame);
  nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, Callbacks::OnStreamClose);
  nghttp2_session_callbacks_set_before_frame_send_callback(callbacks, Callbacks::BeforeSend);
  nghttp2_option* option = nullptr;
  MOKV_CHECK_EQ(nghttp2_option_new(&option), 0);
  nghttp2_option_set_no_auto_window_update(option, 1);
  // Servers that do not escape a space at the end of a message are many; the call has its status.
  nghttp2_option_set_no_rfc9113_leading_and_trailing_ws_validation(option, 1);
  nghttp2_mem memory = memory_.hooks();
  MOKV_CHECK_EQ(nghttp2_session_client_new3(&session_, callbacks, this, option, &memory), 0);
  nghttp2_option_del(option);
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
  if (keepalive_idle_ != Duration(0)) WatchSilence();
  owner_.OnConnected();
  Flush();
}

bool ClientConnection::HasRoom() const {
  return open_streams_ <
         nghttp2_session_get_remote_settings(session_, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
}

void ClientConnection::Submit(std::shared_ptr<ClientCall> call) {
  // nghttp2 copies what does not outlive this function.
  absl::InlinedVector<nghttp2_nv, kHeadersInline> headers = {
      StaticHeader(":method", "POST"),
      StaticHeader(":scheme", options_.tls != nullptr ? "https" : "http"),
      CopiedHeader(":path", call->method),
      StaticHeader(":authority", authority_),
      StaticHeader("te", "trailers"),
      StaticHeader("content-type", "application/grpc"),
      StaticHeader("user-agent", "mokv-cpp"),
      StaticHeader("grpc-accept-encoding", kAcceptedEncodings),
  };
  if (call->compress) headers.push_back(StaticHeader("grpc-encoding", "gzip"));
  std::string timeout;
  if (call->deadline != MonotonicTime::Max()) {
    timeout = FormatTimeout(call->deadline - options_.clock->Now());
    headers.push_back(CopiedHeader("grpc-timeout", timeout));
    // The next call's is another: it would only push others out of HPACK's table.
    headers.back().flags |= NGHTTP2_NV_FLAG_NO_INDEX;
  }
  std::vector<std::string> values;
  values.reserve(call->metadata.size());
  for (const MetadataEntry& entry : call->metadata) {
    values.push_back(WireValue(entry));
    nghttp2_nv header = CopiedHeader(entry.name, values.back());
    header.flags = NGHTTP2_NV_FLAG_NONE;
    headers.push_back(header);
  }
  nghttp2_data_provider provider{};
  provider.read_callback = Callbacks::ReadRequest;
  const int32_t stream = nghttp2_submit_request(session_, nullptr, headers.data(), headers.size(),
                                                &provider, call.get());
  if (stream < 0) {
    call->Finish(Unavailable("cannot begin a call: {}", nghttp2_strerror(stream)));
    return;
  }
  ++open_streams_;
  call->stream = stream;
  call->connection = this;
  // A server owes nothing to a client that asks for nothing.
  if (calls_.empty() && !options_.keepalive_without_calls) {
    keepalive_.OnBytes(options_.clock->Now());
  }
  calls_.emplace(stream, std::move(call));
  ScheduleFlush();
  if (++calls_begun_ >= options_.calls_per_connection_max) {
    going_away_ = true;
    owner_.OnGoAway(*this, /*too_many_pings=*/false);
  }
}

int64_t ClientConnection::ReadRequest(ClientCall& call, char* buffer, size_t size_bytes,
                                      uint32_t* flags) {
  const ClientRequest::Result read = call.request.Read(buffer, size_bytes);
  if (!read.status.ok()) {
    Fail(call, read.status);
    return NGHTTP2_ERR_DEFERRED;
  }
  // A sink that had no room may have some, now that its source was asked.
  if (call.blocked()) to_deliver_.push_back(call.weak_from_this());
  if (read.ended) *flags |= NGHTTP2_DATA_FLAG_EOF;
  if (read.size_bytes == 0 && !read.ended) return NGHTTP2_ERR_DEFERRED;
  call.sent = true;
  return static_cast<int64_t>(read.size_bytes);
}

void ClientConnection::OnData(ClientCall& call, std::string_view bytes) {
  call.held_bytes += bytes.size();
  nghttp2_session_consume_connection(session_, window_.OnReceived(bytes.size()));
  Deliver(call, bytes);
}

void ClientConnection::Deliver(ClientCall& call, std::string_view bytes) {
  const size_t assembly_bytes_before = call.assembly_bytes();
  MessageCutter::Result taken = call.TakeData(bytes, options_.message_bytes_max);
  assembly_bytes_ += call.assembly_bytes() - assembly_bytes_before;
  Release(call, taken.released_bytes);
  if (taken.status.ok() && assembly_bytes_ > options_.assembly_bytes_max) {
    taken.status =
        ResourceExhausted("messages in assembly on this connection are over the limit of {} bytes",
                          options_.assembly_bytes_max);
  }
  if (!taken.status.ok()) {
    Fail(call, taken.status);
  } else if (call.TookMessage() && call.request.Wake()) {
    nghttp2_session_resume_data(session_, call.stream);
  }
}

void ClientConnection::Release(ClientCall& call, size_t bytes) {
  MOKV_CHECK_LE(bytes, call.held_bytes);
  call.held_bytes -= bytes;
  nghttp2_session_consume_stream(session_, call.stream, bytes);
  nghttp2_session_consume_connection(session_, window_.OnReleased(bytes));
}

void ClientConnection::Wake(ClientCall& call) {
  if (call.request.Wake()) nghttp2_session_resume_data(session_, call.stream);
  if (call.blocked()) Deliver(call, {});
  ScheduleFlush();
}

std::shared_ptr<ClientCall> ClientConnection::Remove(ClientCall& call) {
  const auto found = calls_.find(call.stream);
  MOKV_CHECK(found != calls_.end());
  std::shared_ptr<ClientCall> removed = std::move(found->second);
  calls_.erase(found);
  assembly_bytes_ -= call.assembly_bytes();
  nghttp2_session_set_stream_user_data(session_, call.stream, nullptr);
  nghttp2_session_consume_connection(session_,
                                     window_.OnReleased(std::exchange(call.held_bytes, 0)));
  call.connection = nullptr;
  return removed;
}

void ClientConnection::Fail(ClientCall& call, const absl::Status& status) {
  const std::shared_ptr<ClientCall> removed = Remove(call);
  nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, call.stream, NGHTTP2_CANCEL);
  ScheduleFlush();
  call.Finish(status);
}

// What the server has not taken of the request by now it does not want (RFC 9113, 8.1).
void ClientConnection::OnAnswerEnd(ClientCall& call) {
  std::shared_ptr<ClientCall> removed = Remove(call);
  if (nghttp2_session_get_stream_local_close(session_, call.stream) == 0) {
    nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, call.stream, NGHTTP2_NO_ERROR);
    ScheduleFlush();
  }
  if (call.blocked()) {
    owner_.OnAnswered(std::move(removed));
  } else {
    call.EndWithAnswer();
  }
}

void ClientConnection::OnStreamClose(ClientCall* call, uint32_t http2_error) {
  MOKV_CHECK_GT(open_streams_, size_t{0});
  --open_streams_;
  told_room_ = false;
  if (call == nullptr) return;
  const std::shared_ptr<ClientCall> removed = Remove(*call);
  // Both sides count the time; the server's clock may be the faster one.
  if (call->reset_by_server && http2_error == NGHTTP2_CANCEL &&
      call->deadline <= options_.clock->Now()) {
    call->Finish(absl::DeadlineExceededError("deadline exceeded"));
  } else {
    call->EndWithReset(http2_error);
  }
}

void ClientConnection::OnGoAway(uint32_t error, std::string_view debug_data) {
  going_away_ = true;
  if (error != NGHTTP2_NO_ERROR) {
    goaway_text_ = fmt::format(", GOAWAY {} '{}'", nghttp2_http2_strerror(error),
                               PercentEncode(debug_data.substr(0, kGoAwayTextBytesMax)));
  }
  owner_.OnGoAway(*this, error == NGHTTP2_ENHANCE_YOUR_CALM && debug_data == kTooManyPings);
}

void ClientConnection::OnBytes(std::string_view bytes) {
  if (keepalive_idle_ != Duration(0)) keepalive_.OnBytes(options_.clock->Now());
  OnBusy();
  const ssize_t result = nghttp2_session_mem_recv(
      session_, reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
  if (result >= 0) return;
  Break(Unavailable("{} does not speak HTTP/2 as it should: {}", authority_,
                    nghttp2_strerror(static_cast<int>(result))));
}

void ClientConnection::WatchSilence() {
  const Duration wait = std::max<Duration>(
      std::min(keepalive_idle_, options_.keepalive_timeout) / kKeepaliveLooks, kKeepaliveLookMin);
  keepalive_timer_.Start(wait, [this] {
    if (ended_) return;
    const MonotonicTime now = options_.clock->Now();
    if (calls_.empty() && !options_.keepalive_without_calls) keepalive_.OnBytes(now);
    switch (keepalive_.Check(now)) {
      case Keepalive::Verdict::kAlive:
        break;
      case Keepalive::Verdict::kAsk:
        nghttp2_submit_ping(session_, NGHTTP2_FLAG_NONE, nullptr);
        Flush();
        break;
      case Keepalive::Verdict::kDead:
        Break(Unavailable("{} has not answered a PING within {} ms", authority_,
                          options_.keepalive_timeout / std::chrono::milliseconds(1)));
        return;
    }
    if (!ended_) WatchSilence();
  });
}

void ClientConnection::OnBusy() {
  quiet_ = false;
  if (std::exchange(at_rest_, false)) WatchRest();
}

void ClientConnection::WatchRest() {
  quiet_ = true;
  rest_timer_.Start(kRestAfter, [this] {
    if (quiet_) {
      Rest();
    } else {
      WatchRest();
    }
  });
}

void ClientConnection::Rest() {
  at_rest_ = true;
  memory_.Trim();
  GiveBack(output_);
  transport_->ReleaseBuffers();
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
  do {
    TellRoom();
    SendOutput();
  } while (!told_room_ && !ended_);
  const bool is_over =
      nghttp2_session_want_read(session_) == 0 || (going_away_ && open_streams_ == 0);
  if (is_over && nghttp2_session_want_write(session_) == 0) {
    Break(Unavailable("{} closed the connection{}", authority_, goaway_text_));
  }
}

void ClientConnection::TellRoom() {
  if (std::exchange(told_room_, true) || going_away_) return;
  flush_scheduled_ = true;  // What is submitted now is sent right after.
  owner_.OnRoom();
  flush_scheduled_ = false;
}

void ClientConnection::SendOutput() {
  while (!transport_->blocked()) {
    output_.clear();
    const uint8_t* bytes = nullptr;
    ssize_t size = 0;
    while (output_.size() < kFlushBytes &&
           (size = nghttp2_session_mem_send(session_, &bytes)) > 0) {
      output_.append(reinterpret_cast<const char*>(bytes), static_cast<size_t>(size));
    }
    MOKV_CHECK_GE(size, 0);
    for (const std::weak_ptr<ClientCall>& waiting : std::exchange(to_deliver_, {})) {
      const std::shared_ptr<ClientCall> call = waiting.lock();
      if (call != nullptr && call->connection == this) Deliver(*call, {});
    }
    if (output_.empty()) break;
    OnBusy();
    transport_->Send(output_);
  }
}

void ClientConnection::OnClosed(const absl::Status& reason) {
  Break(reason.ok() ? Unavailable("{} closed the connection{}", authority_, goaway_text_)
                    : Unavailable("{}: {}{}", authority_, MessageOf(reason), goaway_text_));
}

void ClientConnection::Break(const absl::Status& reason) {
  if (ended_) return;
  EndAll(reason);
  owner_.OnDisconnected(*this, reason);
}

void ClientConnection::Abort(const absl::Status& reason) { EndAll(reason); }

void ClientConnection::EndAll(const absl::Status& reason) {
  ended_ = true;
  keepalive_timer_.Cancel();
  rest_timer_.Cancel();
  // TLS 1.3 lets a client speak before the server has accepted its certificate.
  const bool refused = transport_->handshake_was_refused();
  transport_->Close();
  std::vector<std::shared_ptr<ClientCall>> calls;
  for (auto& [stream, call] : calls_) calls.push_back(std::move(call));
  calls_.clear();
  std::sort(calls.begin(), calls.end(),
            [](const auto& a, const auto& b) { return a->stream < b->stream; });
  for (const std::shared_ptr<ClientCall>& call : calls) {
    call->connection = nullptr;
    if (refused) call->sent = false;
    call->Finish(call->sent ? absl::Status(reason.code(),
                                           fmt::format("{} (outcome unknown)", MessageOf(reason)))
                            : reason);
  }
}

}  // namespace mokv::rpc
