#include "load/worker.h"

#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "base/check.h"
#include "base/clock.h"
#include "base/status.h"

namespace mokv::load {
namespace {

constexpr int kEventsMax = 64;
constexpr int kPollMsMax = 100;  // How late a timeout may be noticed.

double ThreadCpuSeconds() {
  rusage usage{};
  getrusage(RUSAGE_THREAD, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

}  // namespace

uint64_t NowNs() { return static_cast<uint64_t>(SystemClock().Now().since_start.count()); }

Worker::Worker(const LoadOptions& options, std::span<const Request> requests, KeyChooser keys)
    : options_(options),
      requests_(requests),
      keys_(std::move(keys)),
      epoll_fd_(epoll_create1(EPOLL_CLOEXEC)) {
  MOKV_CHECK_GE(epoll_fd_, 0);
}

Worker::~Worker() { close(epoll_fd_); }

absl::Status Worker::Connect(uint32_t connections, const std::shared_ptr<const TlsContext>& tls) {
  for (uint32_t i = 0; i < connections; ++i) {
    MOKV_ASSIGN_OR_RETURN(std::unique_ptr<Connection> connection,
                          Connection::Open(options_, tls, requests_, *this));
    epoll_event event = {.events = EPOLLIN, .data = {.u64 = i}};
    if (epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, connection->fd(), &event) != 0) {
      return ErrnoStatus(errno, "epoll_ctl");
    }
    connections_.push_back(std::move(connection));
  }
  waits_for_room_.resize(connections);
  return absl::OkStatus();
}

void Worker::Preload(uint64_t begin, uint64_t end) {
  preloading_ = true;
  preload_next_ = begin;
  preload_end_ = end;
  window_ = {.begin_ns = UINT64_MAX};
  Loop();
  preloading_ = false;
}

void Worker::Run(const Window& window) {
  window_ = window;
  Loop();
  if (cpu_begin_ >= 0) {
    if (cpu_end_ < 0) cpu_end_ = ThreadCpuSeconds();
    stats_.cpu_seconds = cpu_end_ - cpu_begin_;
  }
  stats_.first_ns = window.begin_ns;
  // A window that is bounded by time has its whole length, however few the answers in it.
  if (window.operations == 0) stats_.last_ns = window.end_ns;
}

void Worker::Loop() {
  now_ns_ = last_answer_ns_ = NowNs();
  for (std::unique_ptr<Connection>& connection : connections_) {
    if (connection == nullptr) continue;
    for (Call& call : connection->calls()) Continue(*connection, call);
    Serve(connection, EPOLLOUT);
  }
  std::array<epoll_event, kEventsMax> events;
  while (open_calls_ > 0) {
    const int count = epoll_wait(epoll_fd_, events.data(), kEventsMax, PollTimeoutMs());
    if (count <= 0) now_ns_ = NowNs();
    for (int i = 0; i < count; ++i) {
      const epoll_event& event = events[static_cast<size_t>(i)];
      Serve(connections_[event.data.u64], event.events);
    }
    NoteCpu();
    if (GiveUp()) return;
  }
}

void Worker::NoteCpu() {
  if (cpu_begin_ < 0 && now_ns_ >= window_.begin_ns) cpu_begin_ = ThreadCpuSeconds();
  if (cpu_end_ < 0 && now_ns_ >= window_.end_ns) cpu_end_ = ThreadCpuSeconds();
}

int Worker::PollTimeoutMs() const {
  const double timeout_ms = options_.timeout_seconds * 1000;
  return std::clamp(static_cast<int>(std::min(timeout_ms, 1e6)), 1, kPollMsMax);
}

// No answer at all for the whole timeout: what is open counts as lost.
bool Worker::GiveUp() {
  const auto timeout_ns = static_cast<uint64_t>(options_.timeout_seconds * 1e9);
  if (now_ns_ - last_answer_ns_ < timeout_ns) return false;
  for (const std::unique_ptr<Connection>& connection : connections_) {
    if (connection == nullptr) continue;
    for (const Call& call : connection->calls()) {
      if (call.open) CountFailure(Failure::kNoAnswer);
    }
  }
  if (stats_.first_error.empty()) {
    stats_.first_error =
        fmt::format("{} calls without an answer for {} s", open_calls_, options_.timeout_seconds);
  }
  connections_.clear();
  open_calls_ = 0;
  return true;
}

void Worker::Serve(std::unique_ptr<Connection>& connection, uint32_t events) {
  if (connection == nullptr) return;
  absl::Status status;
  if ((events & ~static_cast<uint32_t>(EPOLLOUT)) != 0) status = connection->OnReadable();
  if (status.ok()) status = connection->Flush();
  if (!status.ok()) return Drop(connection, status);
  const auto index = static_cast<size_t>(&connection - connections_.data());
  if (connection->wants_write() == waits_for_room_[index]) return;
  waits_for_room_[index] = connection->wants_write();
  const uint32_t wanted = EPOLLIN | (connection->wants_write() ? uint32_t{EPOLLOUT} : 0U);
  epoll_event event = {.events = wanted, .data = {.u64 = index}};
  MOKV_CHECK_EQ(epoll_ctl(epoll_fd_, EPOLL_CTL_MOD, connection->fd(), &event), 0);
}

void Worker::Drop(std::unique_ptr<Connection>& connection, const absl::Status& status) {
  for (const Call& call : connection->calls()) {
    if (!call.open) continue;
    CountFailure(Failure::kConnectionLost);
    --open_calls_;
  }
  if (stats_.first_error.empty()) stats_.first_error = MessageOf(status);
  connection.reset();  // Closing the socket takes it out of epoll.
}

void Worker::OnRead() { now_ns_ = NowNs(); }

void Worker::OnAnswer(Connection& connection, Call& call) {
  MOKV_DCHECK(open_calls_ > 0);
  --open_calls_;
  last_answer_ns_ = now_ns_;
  Count(call);
  if (!options_.lockstep) return Continue(connection, call);
  if (connection.open_calls() > 0) return;
  for (Call& next : connection.calls()) Continue(connection, next);
}

void Worker::Continue(Connection& connection, Call& call) {
  uint64_t key = 0;
  OpKind kind = OpKind::kWrite;
  if (preloading_) {
    if (preload_next_ >= preload_end_) return;
    key = preload_next_++;
  } else {
    if (now_ns_ >= window_.end_ns) return;
    const uint64_t measured = stats_.measured();
    if (window_.operations > 0 && now_ns_ >= window_.begin_ns &&
        measured + open_calls_ >= window_.operations) {
      return;
    }
    kind = keys_.NextKind();
    key = keys_.NextKey();
  }
  const Request& request = requests_[kind == OpKind::kRead ? 0 : 1];
  call.request = &request;
  call.started_ns = now_ns_;
  if (request.digits_size > 0) FormatDigits(key, request.digits_size, call.digits);
  connection.Submit(call);
  if (call.open) ++open_calls_;
}

void Worker::Count(const Call& call) {
  ++stats_.calls;
  if (call.status.grpc == kNoStatus) {
    if (call.reset) return CountFailure(Failure::kStreamReset);
    const bool http_ok = call.status.http == 200;
    return CountFailure(http_ok ? Failure::kNoGrpcStatus : Failure::kHttpStatus);
  }
  const bool measured = now_ns_ >= window_.begin_ns && now_ns_ < window_.end_ns;
  const size_t status = static_cast<size_t>(call.status.grpc) < kGrpcStatuses
                            ? static_cast<size_t>(call.status.grpc)
                            : 2;
  if (measured || status != 0) ++stats_.statuses[status];
  if (status == 0) {
    const Verdict verdict = CheckAnswer(options_, call.request->kind, call.body);
    if (verdict == Verdict::kMissing) ++stats_.missing;
    if (verdict == Verdict::kMismatch) ++stats_.mismatches;
  }
  if (!measured) return;
  Histogram& histogram = call.request->kind == OpKind::kRead ? stats_.reads : stats_.writes;
  histogram.Record(now_ns_ - call.started_ns);
  if (window_.operations > 0) stats_.last_ns = now_ns_;
}

void Worker::CountFailure(Failure failure) { ++stats_.failures[static_cast<size_t>(failure)]; }

}  // namespace mokv::load
