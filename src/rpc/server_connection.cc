#include "rpc/server_connection.h"

#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/check.h"
#include "base/give_back.h"
#include "base/logging.h"
#include "base/status.h"
#include "rpc/call.h"
#include "rpc/grpc_wire.h"
#include "rpc/server_answer.h"

namespace mokv::rpc {
namespace {

// How far uploads may be ahead of us: for each call, and for the whole connection.
constexpr uint32_t kCallWindowBytes = uint32_t{1} << 20;
constexpr int32_t kConnectionWindowBytes = int32_t{16} << 20;
// Frames that wait for a client to read. A client that obeys the rules causes a few for each of its
// calls; one that reads nothing and goes on sending could make us queue resets without end.
constexpr size_t kQueuedFramesMax = 10'000;
// Sinks that are asked for room again in one turn: each may take a message and answer it, while the
// connections beside wait.
constexpr size_t kSinksAskedPerTurnMax = 256;
// A request that is kept while its call waits for an answer has no larger buffer than this.
constexpr size_t kDeferredRequestBytesMax = size_t{16} << 10;
// Uncompressing so much takes about as long as a frame does.
constexpr size_t kFrameCostBytes = size_t{1} << 10;
// Longer answers take turns, of one frame each (RFC 9113, 4.2).
constexpr size_t kTurnBytes = size_t{16} << 10;
// A client that has sent nothing for so long is at rest. Shorter, and buffers would come and go with calls
// that are made now and then; longer, and more of many quiet connections would have theirs.
constexpr Duration kRestAfter = std::chrono::seconds(1);

}  // namespace

ServerConnection::ServerConnection(Owner& owner, const Parts& parts, uint64_t id,
                                   std::unique_ptr<net::Transport> transport)
    : owner_(owner),
      shared_(parts.shared),
      deadlines_(parts.deadlines),
      transport_(std::move(transport)),
      answers_(shared_.options.answer_bytes_max),
      origin_{.clock = *shared_.options.clock,
              .sink = parts.completions,
              .connection = id,
              .io_thread = transport_->thread().index(),
              .subject = transport_->peer_name(),
              .peer_address = transport_->peer_address(),
              .sinks_to_ask = sinks_to_ask_,
              .answers = answers_,
              .response_message_bytes_max = shared_.options.response_message_bytes_max},
      keepalive_(shared_.options.keepalive_idle, shared_.options.keepalive_timeout, shared_.Now()),
      ping_policy_({.interval_min = shared_.options.ping_interval_min,
                    .interval_min_without_calls = shared_.options.ping_interval_min_without_calls,
                    .strikes_max = shared_.options.ping_strikes_max}),
      life_({.idle_max = shared_.options.connection_idle_max,
             .age_max = SpreadAge(shared_.options.connection_age_max, id),
             .notice = shared_.options.goaway_notice,
             .grace = shared_.options.connection_grace},
            shared_.Now()),
      flood_watch_(shared_.options.header_bytes_max, shared_.Now()),
      receiver_(shared_.options),
      receive_window_(shared_.options.held_bytes_max),
      calls_(origin_, shared_.stats),
      session_(NewSession()) {}

ServerConnection::~ServerConnection() { nghttp2_session_del(session_); }

void ServerConnection::Start(std::string_view first_bytes) {
  const ServerOptions& options = shared_.options;
  const nghttp2_settings_entry settings[] = {
      {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, options.calls_per_connection_max},
      {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, kCallWindowBytes},
      {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, static_cast<uint32_t>(options.header_bytes_max)},
      // A client could make its calls one long chain, down which nghttp2 would go for each frame.
      {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},
  };
  MOKV_CHECK_EQ(nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings, std::size(settings)),
                0);
  MOKV_CHECK_EQ(
      nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, 0, kConnectionWindowBytes),
      0);
  transport_->SetHandler(this);
  transport_->SetReadBytesPerTurn(read_pace_.bytes());
  if (!first_bytes.empty()) {
    OnBytes(first_bytes);
  } else {
    MarkDirty();
  }
}

void ServerConnection::OnBytes(std::string_view bytes) {
  turn_time_ = shared_.Now();
  keepalive_.OnBytes(turn_time_);
  frames_begun_ = {};
  const FrameCounter::Frames frames = frame_counter_.Count(bytes);
  at_rest_ = false;
  const ssize_t result = nghttp2_session_mem_recv(
      session_, reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
  if (result >= 0 && frames.all > frames_begun_.all) {
    flood_watch_.OnIgnored(
        frames.all - frames_begun_.all,
        {.frames = frames.data - std::min(frames.data, frames_begun_.data),
         .bytes = frames.data_bytes - std::min(frames.data_bytes, frames_begun_.data_bytes)},
        turn_time_);
  }
  UncompressedCost uncompressed = std::exchange(uncompressed_, {});
  uncompressed += receiver_.TakeUncompressedCost();
  flood_watch_.OnBombs(uncompressed.over_the_limit, turn_time_);
  read_pace_.OnRead(bytes.size(), frames.all + uncompressed.bytes / kFrameCostBytes);
  transport_->SetReadBytesPerTurn(read_pace_.bytes());
  if (!flood_watch_.flood().empty()) {
    EndForFlood(flood_watch_.flood());
  } else if (result == NGHTTP2_ERR_FLOODED || result == NGHTTP2_ERR_TOO_MANY_CONTINUATIONS) {
    EndForFlood(nghttp2_strerror(static_cast<int>(result)));
  } else if (result < 0) {
    CountBroken(nghttp2_strerror(static_cast<int>(result)));
    Close();
  } else if (nghttp2_session_get_outbound_queue_size(session_) > kQueuedFramesMax) {
    EndForFlood(FloodWatch::kUnreadFrames);
  } else if (frames.behind_the_end) {
    nghttp2_session_terminate_session(session_, NGHTTP2_STREAM_CLOSED);
    MarkDirty();
  } else if (frames.bad_priority) {
    nghttp2_session_terminate_session(session_, NGHTTP2_PROTOCOL_ERROR);
    MarkDirty();
  }
}

void ServerConnection::CountBroken(std::string_view reason) {
  ++shared_.stats.connections_broken;
  LogDebug("connection broken: not HTTP/2", {{"peer", origin_.peer_address}, {"reason", reason}});
}

void ServerConnection::OnClosed(const absl::Status&) { Close(); }

void ServerConnection::Close() {
  transport_->Close();
  while (!calls_.empty()) CloseCall(*calls_.first());
  // The session may be on the stack above us; it is deleted with the connection.
  owner_.Remove(*this);
}

void ServerConnection::CloseCall(ServerCall& call) {
  if (call.deadline_id != 0) deadlines_.Remove(call.deadline, call.deadline_id);
  if (!call.request_ended) flood_watch_.OnEndedEarly(kCallWindowBytes);
  if (!call.response_ended) {
    if (call.status.ok()) call.status = absl::CancelledError("the client ended the call");
    call.Abandon();
  }
  assembly_bytes_ -= call.cutter.assembly_bytes();
  if (call.state == ServerCall::State::kAnswering) {
    answers_.Remove(call.response.size() - call.response_sent);
    answers_.Forget(call.stream);
    if (answers_.has_released()) MarkDirty();
  }
  GrowConnectionWindow(receive_window_.OnReleased(call.cutter.Drop()));
  if (CallObserver* observer = shared_.observer; observer != nullptr) {
    observer->OnCallFinished(call.Record(shared_.Now()));
  }
  receiver_.OnClose(call);
  calls_.Close(call);
}

void ServerConnection::Proceed(ServerCall& call, ServerReceiver::Next next) {
  if (next == ServerReceiver::Next::kRefuse) Submit(call);
  if (next != ServerReceiver::Next::kHandle) return;
  RunHandler(call);
  if (call.state == ServerCall::State::kDeferred) {
    AddDeadline(call);
  } else {
    Submit(call);
  }
  // Handlers keep what they need; the rest must not wait with the call.
  if (call.request.capacity() > kDeferredRequestBytesMax) GiveBack(call.request);
}

void ServerConnection::AddDeadline(ServerCall& call) {
  if (call.deadline != MonotonicTime::Max() && call.deadline_id == 0) {
    call.deadline_id = deadlines_.Add(call.deadline, call.id());
  }
}

void ServerConnection::Submit(ServerCall& call) {
  call.state = ServerCall::State::kAnswering;
  RefuseLargeAnswer(call);
  if (call.own_sink != nullptr) {
    call.DropSink();
    HandOver(call, {});
  }
  if (call.source != nullptr) {
    call.progress = shared_.Now();
    AddDeadline(call);  // A stream that began at once has a deadline as well.
  }
  SubmitAnswer(session_, call);
  if (call.source != nullptr || call.response.size() > kTurnBytes) {
    // Each would otherwise be sent to its end before the next, in the order that their client likes
    // (RFC 9218, 10).
    const nghttp2_extpri turns{.urgency = NGHTTP2_EXTPRI_DEFAULT_URGENCY, .inc = 1};
    nghttp2_session_change_extpri_stream_priority(session_, call.stream, &turns,
                                                  /*ignore_client_signal=*/1);
  }
  MarkDirty();
}

void ServerConnection::RefuseLargeAnswer(ServerCall& call) {
  if (!call.status.ok() || call.source != nullptr || answers_.Admits(call.response.size())) return;
  ++shared_.stats.answers_refused;
  call.status = ResourceExhausted(
      "an answer of {} bytes, beside {} that wait on this connection to be read, is over the limit "
      "of {}: read them, or use another connection",
      call.response.size(), answers_.waiting_bytes(), shared_.options.answer_bytes_max);
  GiveBack(call.response);
}

void ServerConnection::ReleaseSources() {
  for (const int32_t stream : answers_.TakeReleased()) {
    ServerCall* call = Find(stream);
    if (call == nullptr) continue;
    call->progress = shared_.Now();
    nghttp2_session_resume_data(session_, stream);
  }
}

void ServerConnection::HandOver(ServerCall& call, std::string_view bytes) {
  const size_t assembly_bytes_before = call.cutter.assembly_bytes();
  if (call.sink == nullptr) {  // It has its answer, or is about to.
    assembly_bytes_ -= assembly_bytes_before;
    Release(call, call.cutter.Drop() + bytes.size());
    return;
  }
  const MessageCutter::Rules rules{call.head.encoding, shared_.options.message_bytes_max};
  MessageCutter::Result taken = call.cutter.Take(bytes, rules, *call.sink);
  call.request_bytes += taken.message_bytes;
  // What is left may have waited for room with the others: its client has all its time from now on.
  if (taken.message_bytes > 0 && !call.cutter.empty()) call.request_progress = shared_.Now();
  assembly_bytes_ += call.cutter.assembly_bytes() - assembly_bytes_before;
  uncompressed_ += taken.uncompressed;
  Release(call, taken.released_bytes);
  if (taken.status.ok() && assembly_bytes_ > shared_.options.assembly_bytes_max) {
    taken.status =
        ResourceExhausted("messages in assembly on this connection are over the limit of {} bytes",
                          shared_.options.assembly_bytes_max);
  }
  if (!taken.status.ok()) return FailStream(call, std::move(taken.status));
  if (call.request_ended && !call.sink_ended && !call.cutter.blocked()) {
    if (!call.cutter.empty()) {
      return FailStream(call, absl::InternalError("the request's last message is cut off"));
    }
    call.sink_ended = true;
    call.sink->End();
    ResumeSource(call);
  } else if (taken.messages > 0) {
    ResumeSource(call);
  }
}

void ServerConnection::FailStream(ServerCall& call, absl::Status status) {
  call.status = std::move(status);
  call.Abandon();
  if (call.state == ServerCall::State::kDeferred) return Submit(call);
  call.DropSource();
  HandOver(call, {});  // To nobody.
  nghttp2_session_resume_data(session_, call.stream);
  MarkDirty();
}

void ServerConnection::ResumeSource(ServerCall& call) {
  if (call.source == nullptr || !call.source_waits) return;
  call.source_waits = false;
  call.progress = shared_.Now();
  nghttp2_session_resume_data(session_, call.stream);
  MarkDirty();
}

void ServerConnection::AskSinks() {
  for (const int32_t stream : std::exchange(sinks_to_ask_, {})) {
    ServerCall* call = Find(stream);
    if (call != nullptr && call->sink != nullptr && call->cutter.blocked()) HandOver(*call, {});
  }
}

void ServerConnection::Release(ServerCall& call, size_t bytes) {
  if (bytes == 0) return;
  nghttp2_session_consume_stream(session_, call.stream, bytes);
  MarkDirty();
  GrowConnectionWindow(receive_window_.OnReleased(bytes));
}

void ServerConnection::GrowConnectionWindow(size_t bytes) {
  if (bytes == 0) return;
  nghttp2_session_consume_connection(session_, bytes);
  MarkDirty();
}

void ServerConnection::Complete(Completion completion) {
  ServerCall* call = Find(completion.call.stream);
  if (call == nullptr) return;
  if (completion.wake) {
    if (call->sink != nullptr && call->cutter.blocked()) HandOver(*call, {});
    ResumeSource(*call);
    return;
  }
  if (call->state != ServerCall::State::kDeferred) return;  // Its deadline passed.
  call->progress = shared_.Now();                           // Until now the client waited for us.
  call->status = std::move(completion.status);
  for (MetadataEntry& entry : completion.trailers) call->trailers.push_back(std::move(entry));
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
    const DeadlineAnswer& answer = call->at_deadline;
    call->status = MakeStatus(absl::StatusCode::kDeadlineExceeded, "{}", answer.message);
    if (!answer.trailer_name.empty()) {
      call->trailers.push_back(
          {std::string(answer.trailer_name), std::string(answer.trailer_value)});
      MOKV_CHECK(IsMetadata(answer.trailer_name, answer.trailer_value));
    }
    call->Abandon();
    Submit(*call);
  } else if (call->source != nullptr) {
    ExpireAnswer(*call);
  }
}

// A reset would be CANCELLED to a client whose own clock has not yet come so far.
void ServerConnection::ExpireAnswer(ServerCall& call) {
  const bool all_has_left = call.response_sent == call.response.size();
  const bool has_window =
      nghttp2_session_get_stream_remote_window_size(session_, call.stream) > 0 &&
      nghttp2_session_get_remote_window_size(session_) > 0;
  if (all_has_left && has_window) {
    FailStream(call, absl::DeadlineExceededError("deadline exceeded"));
  } else {  // It would have to read the rest first, and may never.
    call.status = absl::DeadlineExceededError("deadline exceeded");
    ResetStream(call.stream, NGHTTP2_CANCEL);
  }
}

void ServerConnection::Watch(MonotonicTime now) {
  if (flood_watch_.IsWithinHeadersSince(now - shared_.options.stall_timeout)) {
    ++shared_.stats.streams_stalled;
    return EndForFlood(FloodWatch::kEndlessHeaders);
  }
  EndStalledCalls(now - shared_.options.stall_timeout);
  if (transport_->closed()) return;
  if (!at_rest_ && now - turn_time_ >= kRestAfter) Rest();
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
      return;
  }
  WatchLife(now);
}

void ServerConnection::Rest() {
  at_rest_ = true;
  memory_.Trim();
  calls_.Trim();
  GiveBack(output_);
  transport_->ReleaseBuffers();
}

void ServerConnection::EndStalledCalls(MonotonicTime no_progress_since) {
  if (transport_->blocked() && blocked_since_ <= no_progress_since) {
    // Not even the end of a call would reach a client that does not read.
    for (ServerCall* call = calls_.first(); call != nullptr; call = call->next) {
      ++shared_.stats.streams_stalled;
    }
    Close();
    return;
  }
  for (ServerCall* call = calls_.first(); call != nullptr; call = call->next) {
    if (!call->StalledSince(no_progress_since)) continue;
    ++shared_.stats.streams_stalled;
    call->progress = MonotonicTime::Max();  // Counted once.
    call->request_progress = MonotonicTime::Max();
    if (call->status.ok()) call->status = absl::CancelledError("the client made no progress");
    ResetStream(call->stream, NGHTTP2_CANCEL);
  }
}

void ServerConnection::ResetStream(int32_t stream, uint32_t http2_error) {
  nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, stream, http2_error);
  MarkDirty();
}

void ServerConnection::AnnounceGoAway() {
  if (announced_ || going_away_) return;
  announced_ = true;
  MOKV_CHECK_EQ(nghttp2_submit_shutdown_notice(session_), 0);
  MarkDirty();
}

void ServerConnection::GoAway() {
  if (going_away_) return;
  going_away_ = true;
  // Calls that are open now are served; the client sends new ones elsewhere.
  last_served_ = nghttp2_session_get_last_proc_stream_id(session_);
  nghttp2_submit_goaway(session_, NGHTTP2_FLAG_NONE, last_served_, NGHTTP2_NO_ERROR, nullptr, 0);
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
  size_t sinks_asked = 0;
  while (!transport_->blocked() && written < kWriteBytesPerTurnMax) {
    output_.clear();
    while (output_.size() < kWriteBytes) {
      const uint8_t* bytes = nullptr;
      const ssize_t size = nghttp2_session_mem_send(session_, &bytes);
      MOKV_CHECK_GE(size, 0);  // Negative only without memory, or when we misuse it.
      if (size == 0 && answers_.has_released()) {
        ReleaseSources();
        continue;
      }
      if (size == 0) {
        // Sinks that have room again may have answers to say, which leave together.
        if (sinks_to_ask_.empty() || sinks_asked >= kSinksAskedPerTurnMax) break;
        sinks_asked += sinks_to_ask_.size();
        AskSinks();
        continue;
      }
      output_.append(reinterpret_cast<const char*>(bytes), static_cast<size_t>(size));
    }
    if (output_.empty()) break;
    written += output_.size();
    transport_->Send(output_);
  }
  flushing_ = false;
  if (!flood_watch_.flood().empty()) return EndForFlood(flood_watch_.flood());
  if (transport_->blocked()) {
    // OnWritable goes on.
    if (written > 0) blocked_since_ = shared_.Now();
    return;
  }
  if (written >= kWriteBytesPerTurnMax || !sinks_to_ask_.empty()) {
    owner_.FlushLater(*this);
    return;
  }
  const bool finished =
      nghttp2_session_want_read(session_) == 0 && nghttp2_session_want_write(session_) == 0;
  if (finished || (going_away_ && calls_.empty())) Close();
}

ServerCall* ServerConnection::Find(int32_t stream) {
  return static_cast<ServerCall*>(nghttp2_session_get_stream_user_data(session_, stream));
}

}  // namespace mokv::rpc
