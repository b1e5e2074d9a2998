#include "rpc/server_connection.h"

#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "base/logging.h"
#include "base/status.h"
#include "rpc/call.h"
#include "rpc/grpc_wire.h"
#include "rpc/http2_header.h"

namespace mokv::rpc {
namespace {

// Uploads may be this far ahead of us, a call and a connection.
constexpr uint32_t kCallWindowBytes = uint32_t{1} << 20;
constexpr int32_t kConnectionWindowBytes = int32_t{16} << 20;
// Frames that wait for a client to read. A client that obeys the rules causes a few for each of its
// calls; one that reads nothing and goes on sending could make us queue resets without end.
constexpr size_t kQueuedFramesMax = 10'000;
// Resets of calls that a client may send: at once, and per second from then on. Cancelling is every
// client's right, and thousands of deadlines may pass together; only a flood ends the connection.
constexpr uint64_t kResetsBurst = 20'000;
constexpr uint64_t kResetsPerSecond = 2'000;
// DATA frames without data that a client may send: at once, and per second from then on. Some
// clients end a request with one; nobody needs more.
constexpr int64_t kEmptyDataBurst = 1'000;
constexpr int64_t kEmptyDataPerSecond = 100;
// Header blocks that are over the limit: a mistake is answered some times, a flood is not. A
// header block can name one large header thousands of times in a few bytes; it is decoded up to so
// many times the limit.
constexpr int64_t kLongHeadsBurst = 20;
constexpr int64_t kLongHeadsPerSecond = 1;
constexpr size_t kDecodedHeadFactor = 8;
// A request that is kept while its call waits for an answer has no larger buffer than this.
constexpr size_t kDeferredRequestBytesMax = size_t{16} << 10;
// What a client is told of an error; gRPC clients refuse headers of more than 16 KiB, and escapes
// make three bytes of one.
constexpr size_t kStatusMessageBytesMax = 5'000;

// What the PING carries that tells whether a client has seen the first GOAWAY.
constexpr uint8_t kGoAwayPing[8] = {'g', 'o', ' ', 'a', 'w', 'a', 'y', '?'};
// Of the first GOAWAY: all streams that can be (RFC 9113, 6.8).
constexpr int32_t kStreamMax = INT32_MAX;

const nghttp2_nv kStatusOk = StaticHeader(":status", "200");
const nghttp2_nv kContentType = StaticHeader("content-type", "application/grpc");
const nghttp2_nv kPlainText = StaticHeader("content-type", "text/plain");
const nghttp2_nv kAllow = StaticHeader("allow", "POST");
// What ends a connection whose session cannot go on: GOAWAY, last stream 0, ENHANCE_YOUR_CALM.
constexpr std::string_view kGoAwayForFlood("\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\x0b", 17);

const nghttp2_nv kGrpcStatusOk = StaticHeader("grpc-status", "0");

std::string_view CodeText(absl::StatusCode code) {
  static constexpr std::string_view kTexts[] = {"0", "1",  "2",  "3",  "4",  "5",  "6",  "7", "8",
                                                "9", "10", "11", "12", "13", "14", "15", "16"};
  const auto index = static_cast<size_t>(code);
  return index < std::size(kTexts) ? kTexts[index] : "2";
}

std::string EncodedMessage(const absl::Status& status) {
  return PercentEncode(MessageOf(status).substr(0, kStatusMessageBytesMax));
}

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

  // nghttp2 ignores a stream that is opened behind one with a greater number; RFC 9113, 5.1.1 has a
  // connection error for it. Numbers of streams that it has forgotten must not be taken for these.
  static int OnBeginFrame(nghttp2_session* session, const nghttp2_frame_hd* head, void* user) {
    if (head->type != NGHTTP2_HEADERS || head->stream_id % 2 == 0) return 0;
    if (!Self(user).opened_.Take(head->stream_id)) {
      nghttp2_session_terminate_session(session, NGHTTP2_PROTOCOL_ERROR);
      Self(user).MarkDirty();
    }
    return 0;
  }

  static int OnBeginHeaders(nghttp2_session* session, const nghttp2_frame* frame, void* user) {
    Self(user).block_bytes_ = 0;
    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST) return 0;
    if (Self(user).going_away_) {
      // The client has been told, or will be, that this call was not looked at: so it must not be.
      Self(user).ResetStream(frame->hd.stream_id, NGHTTP2_REFUSED_STREAM);
      return 0;
    }
    ServerCall& call = Self(user).OpenCall(frame->hd.stream_id);
    nghttp2_session_set_stream_user_data(session, frame->hd.stream_id, &call);
    return 0;
  }

  static int OnHeader(nghttp2_session* session, const nghttp2_frame* frame, const uint8_t* name,
                      size_t name_size, const uint8_t* value, size_t value_size, uint8_t,
                      void* user) {
    // Trailers too, and headers of calls that are not taken any more: they cost as much.
    if (!Self(user).CountHeader(name_size + value_size)) return NGHTTP2_ERR_CALLBACK_FAILURE;
    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST) return 0;
    if (ServerCall* call = CallOf(session, frame->hd.stream_id); call != nullptr) {
      call->head.Take({reinterpret_cast<const char*>(name), name_size},
                      {reinterpret_cast<const char*>(value), value_size}, Self(user).shared_);
    }
    return 0;
  }

  static int OnData(nghttp2_session* session, uint8_t, int32_t stream, const uint8_t* data,
                    size_t size, void* user) {
    if (ServerCall* call = CallOf(session, stream); call != nullptr) {
      Self(user).OnData(*call, {reinterpret_cast<const char*>(data), size});
    }
    return 0;
  }

  static int OnFrame(nghttp2_session* session, const nghttp2_frame* frame, void* user) {
    if (frame->hd.type == NGHTTP2_PING && (frame->hd.flags & NGHTTP2_FLAG_ACK) != 0 &&
        std::memcmp(frame->ping.opaque_data, kGoAwayPing, sizeof(kGoAwayPing)) == 0) {
      Self(user).GoAway();
    }
    if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) return 0;
    const bool ends = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    if (frame->hd.type == NGHTTP2_DATA && !ends && frame->hd.length == frame->data.padlen) {
      Self(user).OnEmptyData();
      if (!Self(user).flood_.empty()) return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    ServerCall* call = CallOf(session, frame->hd.stream_id);
    if (call == nullptr) return 0;
    if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
      Self(user).OnHeadersEnd(*call);
    }
    if (ends) Self(user).OnRequestEnd(*call);
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
    // The answer is complete but the client still uploads: it need not (RFC 9113, 8.1).
    if ((frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) &&
        (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0) {
      const ServerCall* call = CallOf(session, frame->hd.stream_id);
      if (call != nullptr && !call->request_ended) {
        Self(user).ResetStream(frame->hd.stream_id, NGHTTP2_NO_ERROR);
      }
    }
    return 0;
  }

  static int OnStreamClose(nghttp2_session* session, int32_t stream, uint32_t error, void* user) {
    if (ServerCall* call = CallOf(session, stream); call != nullptr) {
      nghttp2_session_set_stream_user_data(session, stream, nullptr);
      Self(user).CloseCall(*call, error);
    }
    return 0;
  }

  static ssize_t ReadData(nghttp2_session*, int32_t, uint8_t* buffer, size_t size, uint32_t* flags,
                          nghttp2_data_source* source, void* user) {
    return Self(user).ReadResponse(*static_cast<ServerCall*>(source->ptr), buffer, size, flags);
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
      nghttp2_session_callbacks_set_on_frame_send_callback(made->get, OnFrameSent);
      nghttp2_session_callbacks_set_on_stream_close_callback(made->get, OnStreamClose);
      return made;
    }();
    return callbacks->get;
  }
};

ServerConnection::ServerConnection(Owner& owner, const Parts& parts, uint64_t id,
                                   std::unique_ptr<net::Transport> transport)
    : owner_(owner),
      shared_(parts.shared),
      deadlines_(parts.deadlines),
      transport_(std::move(transport)),
      origin_{.sink = parts.completions,
              .connection = id,
              .io_thread = transport_->thread().index(),
              .subject = transport_->peer_name(),
              .peer_address = transport_->peer_address()},
      keepalive_(shared_.options.keepalive_idle, shared_.options.keepalive_timeout, shared_.Now()),
      empty_data_(kEmptyDataBurst, kEmptyDataPerSecond, shared_.Now()),
      long_heads_(kLongHeadsBurst, kLongHeadsPerSecond, shared_.Now()) {
  nghttp2_option* option = nullptr;
  MOKV_CHECK_EQ(nghttp2_option_new(&option), 0);
  nghttp2_option_set_stream_reset_rate_limit(option, kResetsBurst, kResetsPerSecond);
  MOKV_CHECK_EQ(nghttp2_session_server_new2(&session_, Callbacks::Get(), this, option), 0);
  nghttp2_option_del(option);
}

ServerConnection::~ServerConnection() {
  nghttp2_session_del(session_);
  while (open_calls_ != nullptr) {
    ServerCall* call = open_calls_;
    open_calls_ = call->next;
    delete call;
  }
}

void ServerConnection::Start(std::string_view first_bytes) {
  const ServerOptions& options = shared_.options;
  const nghttp2_settings_entry settings[] = {
      {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, options.calls_per_connection_max},
      {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, kCallWindowBytes},
      {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, static_cast<uint32_t>(options.header_bytes_max)},
  };
  MOKV_CHECK_EQ(nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings, std::size(settings)),
                0);
  MOKV_CHECK_EQ(
      nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, 0, kConnectionWindowBytes),
      0);
  transport_->SetHandler(this);
  if (!first_bytes.empty()) {
    OnBytes(first_bytes);
  } else {
    MarkDirty();
  }
}

void ServerConnection::OnBytes(std::string_view bytes) {
  turn_time_ = shared_.Now();
  keepalive_.OnBytes(turn_time_);
  const ssize_t result = nghttp2_session_mem_recv(
      session_, reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
  if (!flood_.empty()) {
    CountBroken(flood_);
    transport_->Send(kGoAwayForFlood);
    Close();
  } else if (result < 0) {
    CountBroken(nghttp2_strerror(static_cast<int>(result)));
    Close();
  } else if (nghttp2_session_get_outbound_queue_size(session_) > kQueuedFramesMax) {
    CountBroken("the client does not read");
    Close();
  }
}

void ServerConnection::OnEmptyData() {
  if (!empty_data_.Allows(turn_time_)) flood_ = "DATA frames without data";
}

bool ServerConnection::CountHeader(size_t name_and_value_bytes) {
  const size_t limit = shared_.options.header_bytes_max;
  const size_t before = block_bytes_;
  block_bytes_ += name_and_value_bytes + kHeaderOverheadBytes;
  if (block_bytes_ <= limit) return true;
  if (before <= limit && !long_heads_.Allows(turn_time_)) flood_ = "headers over the limit";
  if (block_bytes_ > kDecodedHeadFactor * limit) flood_ = "headers far over the limit";
  return flood_.empty();
}

void ServerConnection::CountBroken(std::string_view reason) {
  ++shared_.stats.connections_broken;
  LogDebug("connection broken: not HTTP/2", {{"peer", origin_.peer_address}, {"reason", reason}});
}

void ServerConnection::OnClosed(const absl::Status&) { Close(); }

void ServerConnection::Close() {
  transport_->Close();
  while (open_calls_ != nullptr) CloseCall(*open_calls_, NGHTTP2_CANCEL);
  // The session may be on the stack above us; it is deleted with the connection.
  owner_.Remove(*this);
}

ServerCall& ServerConnection::OpenCall(int32_t stream) {
  ServerCall* call;
  if (spare_calls_.empty()) {
    call = new ServerCall(origin_);
  } else {
    call = spare_calls_.back().release();
    spare_calls_.pop_back();
  }
  call->stream = stream;
  call->received = turn_time_;
  call->progress = turn_time_;
  call->next = open_calls_;
  if (open_calls_ != nullptr) open_calls_->previous = call;
  open_calls_ = call;
  ++shared_.stats.calls_open;
  return *call;
}

void ServerConnection::CloseCall(ServerCall& call, uint32_t http2_error) {
  if (call.deadline_id != 0) deadlines_.Remove(call.deadline, call.deadline_id);
  if (call.state != ServerCall::State::kAnswering || http2_error != NGHTTP2_NO_ERROR) {
    if (call.status.ok()) call.status = absl::CancelledError("the client ended the call");
  }
  if (CallObserver* observer = shared_.observer; observer != nullptr) {
    CallRecord record;
    record.io_thread = origin_.io_thread;
    const Method* method = call.head.method;
    record.method = method != nullptr ? method->index : kUnknownMethod;
    record.path = method != nullptr ? std::string_view(method->path) : call.head.path;
    record.subject = origin_.subject;
    record.peer_address = origin_.peer_address;
    record.code = call.status.code();
    record.message = MessageOf(call.status);
    record.duration = shared_.Now() - call.received;
    record.request_bytes = call.request_bytes;
    record.response_bytes = call.response_bytes;
    observer->OnCallFinished(record);
  }
  if (!call.request_ended) assembly_bytes_ -= call.request.size();
  if (call.previous != nullptr) call.previous->next = call.next;
  if (call.next != nullptr) call.next->previous = call.previous;
  if (open_calls_ == &call) open_calls_ = call.next;
  --shared_.stats.calls_open;
  if (spare_calls_.size() < kSpareCallsMax) {
    call.Reset();
    spare_calls_.emplace_back(&call);
  } else {
    delete &call;
  }
}

void ServerConnection::OnHeadersEnd(ServerCall& call) {
  if (call.head.timeout.has_value()) call.deadline = call.received + *call.head.timeout;
  std::optional<HeadRefusal> refusal = CheckHead(call.head, shared_.options);
  if (!refusal.has_value()) return;
  if (refusal->http_status == "200") {
    Fail(call, std::move(refusal->status));
  } else {
    // Answered once the request has ended: not every client reads before that.
    call.status = std::move(refusal->status);
    call.http_status = refusal->http_status;
  }
}

void ServerConnection::OnData(ServerCall& call, std::string_view bytes) {
  call.progress = turn_time_;
  // Answered already, with an error, or going to be.
  if (call.state != ServerCall::State::kReceiving || !call.http_status.empty()) return;
  call.request += bytes;
  assembly_bytes_ += bytes.size();
  const ServerOptions& options = shared_.options;
  if (absl::Status status = CheckSize(call.request, options); !status.ok()) {
    Fail(call, std::move(status));
  } else if (assembly_bytes_ > options.assembly_bytes_max) {
    Fail(call, ResourceExhausted("requests in assembly on this connection are over the limit of {}",
                                 options.assembly_bytes_max));
  }
}

void ServerConnection::OnRequestEnd(ServerCall& call) {
  call.request_ended = true;
  assembly_bytes_ -= call.request.size();
  if (call.state != ServerCall::State::kReceiving) return;
  if (!call.http_status.empty()) return Submit(call);
  if (absl::Status status = CheckMessage(call.request); !status.ok()) {
    Fail(call, std::move(status));
    return;
  }
  call.request_bytes = call.request.size() - kMessagePrefixBytes;
  if (call.deadline <= turn_time_) {
    Fail(call, absl::DeadlineExceededError("deadline passed on arrival; nothing was done"));
    return;
  }
  RunHandler(call);
  if (call.state == ServerCall::State::kDeferred) {
    AddDeadline(call);
  } else {
    Submit(call);
  }
  // Handlers keep what they need; the rest must not wait with the call.
  if (call.request.capacity() > kDeferredRequestBytesMax) call.request = std::string();
}

void ServerConnection::AddDeadline(ServerCall& call) {
  if (call.deadline != MonotonicTime::Max() && call.deadline_id == 0) {
    call.deadline_id = deadlines_.Add(call.deadline, call.id());
  }
}

void ServerConnection::Fail(ServerCall& call, absl::Status status) {
  if (call.state == ServerCall::State::kAnswering) return;
  call.status = std::move(status);
  Submit(call);
}

void ServerConnection::Submit(ServerCall& call) {
  call.state = ServerCall::State::kAnswering;
  if (!call.http_status.empty()) {
    SubmitHttpError(call);
  } else if (!call.status.ok()) {
    SubmitFailure(call);
  } else if (call.source != nullptr) {
    call.progress = shared_.Now();
    AddDeadline(call);  // A stream that began at once has a deadline as well.
    SubmitData(call);
  } else {
    call.FrameResponse();
    SubmitData(call);
  }
  MarkDirty();
}

void ServerConnection::SubmitData(ServerCall& call) {
  const nghttp2_nv headers[] = {kStatusOk, kContentType};
  nghttp2_data_provider provider{};
  provider.source.ptr = &call;
  provider.read_callback = Callbacks::ReadData;
  nghttp2_submit_response(session_, call.stream, headers, std::size(headers), &provider);
}

void ServerConnection::SubmitFailure(ServerCall& call) {
  const std::string message = EncodedMessage(call.status);
  const nghttp2_nv headers[] = {kStatusOk, kContentType,
                                StaticHeader("grpc-status", CodeText(call.status.code())),
                                CopiedHeader("grpc-message", message)};
  nghttp2_submit_response(session_, call.stream, headers, std::size(headers), nullptr);
}

void ServerConnection::SubmitHttpError(ServerCall& call) {
  call.response = fmt::format("{}\n", MessageOf(call.status));
  const nghttp2_nv headers[] = {CopiedHeader(":status", call.http_status), kPlainText, kAllow};
  nghttp2_data_provider provider{};
  provider.source.ptr = &call;
  provider.read_callback = Callbacks::ReadData;
  // RFC 9110, 15.5.6: a refused method has the allowed one beside it.
  const size_t count = std::size(headers) - (call.head.is_post ? 1 : 0);
  nghttp2_submit_response(session_, call.stream, headers, count,
                          call.head.is_head ? nullptr : &provider);
}

void ServerConnection::SubmitTrailers(ServerCall& call) {
  call.trailers_submitted = true;
  if (call.status.ok()) {
    nghttp2_submit_trailer(session_, call.stream, &kGrpcStatusOk, 1);
    return;
  }
  const std::string message = EncodedMessage(call.status);
  const nghttp2_nv trailers[] = {StaticHeader("grpc-status", CodeText(call.status.code())),
                                 CopiedHeader("grpc-message", message)};
  nghttp2_submit_trailer(session_, call.stream, trailers, std::size(trailers));
}

ssize_t ServerConnection::ReadResponse(ServerCall& call, uint8_t* buffer, size_t size_bytes,
                                       uint32_t* flags) {
  if (call.response_sent == call.response.size() && call.source != nullptr) call.FillFromSource();
  const size_t left = call.response.size() - call.response_sent;
  const size_t taken = std::min(left, size_bytes);
  if (taken == 0 && call.source != nullptr) return NGHTTP2_ERR_DEFERRED;
  std::memcpy(buffer, call.response.data() + call.response_sent, taken);
  call.response_sent += taken;
  if (taken == left && call.source == nullptr) {
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (call.http_status.empty()) {
      *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
      SubmitTrailers(call);
    }
  }
  // Most unary answers leave at once; for them the time is not worth asking.
  if (taken == left && call.source == nullptr) return static_cast<ssize_t>(taken);
  call.taken_bytes += taken;
  if (taken == left || call.taken_bytes >= kProgressBytes) {
    call.progress = shared_.Now();
    call.taken_bytes = 0;
  }
  return static_cast<ssize_t>(taken);
}

void ServerConnection::Complete(Completion completion) {
  ServerCall* call = Find(completion.call.stream);
  if (call == nullptr) return;
  if (completion.wake) {
    if (call->source != nullptr && call->source_waits) {
      call->source_waits = false;
      call->progress = shared_.Now();
      nghttp2_session_resume_data(session_, call->stream);
      MarkDirty();
    }
    return;
  }
  if (call->state != ServerCall::State::kDeferred) return;  // Its deadline passed.
  call->progress = shared_.Now();                           // Until now the client waited for us.
  call->status = std::move(completion.status);
  if (completion.source != nullptr) {
    call->source = std::move(completion.source);
  } else {
    call->response.resize(kMessagePrefixBytes);
    call->response += completion.message;
  }
  Submit(*call);
}

void ServerConnection::ExpireDeadline(int32_t stream) {
  ServerCall* call = Find(stream);
  if (call == nullptr) return;
  call->deadline_id = 0;
  if (call->state == ServerCall::State::kDeferred) {
    Fail(*call, absl::DeadlineExceededError(absl::string_view(call->deadline_message.data(),
                                                              call->deadline_message.size())));
  } else if (call->source != nullptr) {
    // A stream in progress ends where it is; its client has given up by itself.
    call->status = absl::DeadlineExceededError("deadline exceeded");
    ResetStream(stream, NGHTTP2_CANCEL);
  }
}

void ServerConnection::Watch(MonotonicTime now) {
  EndStalledCalls(now - shared_.options.stall_timeout);
  if (transport_->closed()) return;
  switch (keepalive_.Check(now)) {
    case Keepalive::Verdict::kAlive:
      break;
    case Keepalive::Verdict::kAsk:
      nghttp2_submit_ping(session_, NGHTTP2_FLAG_NONE, nullptr);
      MarkDirty();
      break;
    case Keepalive::Verdict::kDead:
      ++shared_.stats.connections_silent;
      LogDebug("connection closed: the client does not answer", {{"peer", origin_.peer_address}});
      Close();
      break;
  }
}

void ServerConnection::EndStalledCalls(MonotonicTime no_progress_since) {
  if (transport_->blocked() && blocked_since_ <= no_progress_since) {
    // Not even the end of a call would reach a client that does not read.
    for (ServerCall* call = open_calls_; call != nullptr; call = call->next) {
      ++shared_.stats.streams_stalled;
    }
    Close();
    return;
  }
  for (ServerCall* call = open_calls_; call != nullptr; call = call->next) {
    const bool we_wait = call->state == ServerCall::State::kReceiving ||
                         (call->state == ServerCall::State::kAnswering && !call->source_waits);
    if (!we_wait || call->progress > no_progress_since) continue;
    ++shared_.stats.streams_stalled;
    call->progress = MonotonicTime::Max();  // Counted once.
    if (call->status.ok()) call->status = absl::CancelledError("the client made no progress");
    ResetStream(call->stream, NGHTTP2_CANCEL);
  }
}

void ServerConnection::ResetStream(int32_t stream, uint32_t http2_error) {
  nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, stream, http2_error);
  MarkDirty();
}

void ServerConnection::AnnounceGoAway() {
  MOKV_CHECK_EQ(nghttp2_submit_shutdown_notice(session_), 0);
  MarkDirty();
}

void ServerConnection::GoAway() {
  if (going_away_) return;
  going_away_ = true;
  // Calls that are open now are served; the client sends new ones elsewhere.
  nghttp2_submit_goaway(session_, NGHTTP2_FLAG_NONE,
                        nghttp2_session_get_last_proc_stream_id(session_), NGHTTP2_NO_ERROR,
                        nullptr, 0);
  MarkDirty();
}

void ServerConnection::MarkDirty() {
  if (dirty_ || flushing_) return;
  dirty_ = true;
  owner_.FlushAtTurnEnd(*this);
}

void ServerConnection::Flush() {
  dirty_ = false;
  if (transport_->closed()) return;
  flushing_ = true;
  size_t written = 0;
  while (!transport_->blocked() && written < kWriteBytesPerTurnMax) {
    output_.clear();
    while (output_.size() < kWriteBytes) {
      const uint8_t* bytes = nullptr;
      const ssize_t size = nghttp2_session_mem_send(session_, &bytes);
      MOKV_CHECK_GE(size, 0);  // Negative only without memory, or when we misuse it.
      if (size == 0) break;
      output_.append(reinterpret_cast<const char*>(bytes), static_cast<size_t>(size));
    }
    if (output_.empty()) break;
    written += output_.size();
    transport_->Send(output_);
  }
  flushing_ = false;
  if (transport_->blocked()) {
    // OnWritable goes on.
    if (written > 0) blocked_since_ = shared_.Now();
    return;
  }
  if (written >= kWriteBytesPerTurnMax) {
    owner_.FlushLater(*this);
    return;
  }
  const bool finished =
      nghttp2_session_want_read(session_) == 0 && nghttp2_session_want_write(session_) == 0;
  if (finished || (going_away_ && open_calls_ == nullptr)) Close();
}

ServerCall* ServerConnection::Find(int32_t stream) {
  return static_cast<ServerCall*>(nghttp2_session_get_stream_user_data(session_, stream));
}

}  // namespace mokv::rpc
