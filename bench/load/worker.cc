#include "load/worker.h"

#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <ctime>
#include <utility>

#include "base/check.h"
#include "base/clock.h"
#include "base/status.h"

namespace mokv::load {
namespace {

constexpr int kEventsMax = 64;
constexpr uint64_t kWaitNsMax = 100'000'000;  // How late a timeout may be noticed.
// An open loop looks for calls that are due no more often than this: to wake up for each one would
// take the processor from the server. What a call waits for it counts as its latency.
constexpr uint64_t kDuePeriodNs = 100'000;

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

void Worker::Run(const Window& window, std::optional<Schedule> schedule) {
  window_ = window;
  schedule_ = std::move(schedule);
  // A wait for the next call may otherwise end 50 us late.
  if (schedule_.has_value()) prctl(PR_SET_TIMERSLACK, 1UL);
  Loop();
  CountNotSent();
  if (cpu_begin_ >= 0) {
    if (cpu_end_ < 0) cpu_end_ = ThreadCpuSeconds();
    stats_.cpu_seconds = cpu_end_ - cpu_begin_;
  }
  stats_.first_ns = window.begin_ns;
  // A window that is bounded by time has its whole length, however few the answers in it.
  // In an open loop the last answers are to what was due inside it; where the server was behind, they
  // came later, and the rate is what it was.
  if (window.operations == 0) stats_.last_ns = std::max(window.end_ns, stats_.last_ns);
}

void Worker::Loop() {
  now_ns_ = last_answer_ns_ = NowNs();
  free_.clear();
  // Call by call, so that an open loop takes the connections in turns.
  for (size_t call = 0; call < options_.streams; ++call) {
    for (size_t i = 0; i < connections_.size(); ++i) {
      if (connections_[i] == nullptr) continue;
      if (schedule_.has_value()) {
        free_.push_back({connections_[i].get(), &connections_[i]->calls()[call]});
      } else {
        Continue(*connections_[i], connections_[i]->calls()[call]);
      }
    }
  }
  for (std::unique_ptr<Connection>& connection : connections_) Serve(connection, EPOLLOUT);
  std::array<epoll_event, kEventsMax> events;
  while (HasMore()) {
    const timespec wait = {.tv_sec = 0, .tv_nsec = static_cast<long>(WaitNs())};
    const int count = epoll_pwait2(epoll_fd_, events.data(), kEventsMax, &wait, nullptr);
    if (count <= 0 || schedule_.has_value()) now_ns_ = NowNs();
    for (int i = 0; i < count; ++i) {
      const epoll_event& event = events[static_cast<size_t>(i)];
      Serve(connections_[event.data.u64], event.events);
    }
    if (schedule_.has_value()) SubmitDue();
    NoteCpu();
    if (GiveUp()) return;
  }
}

bool Worker::HasMore() const {
  if (open_calls_ > 0) return true;
  return ScheduleGoesOn() && !free_.empty();
}

void Worker::SubmitDue() {
  if (now_ns_ < submitted_due_ns_ + kDuePeriodNs) return;
  submitted_due_ns_ = now_ns_;
  while (ScheduleGoesOn() && schedule_->next_ns() <= now_ns_ && !free_.empty()) {
    const FreeCall free = free_.front();
    free_.pop_front();
    const OpKind kind = keys_.NextKind();
    const uint64_t due_ns = schedule_->next_ns();
    schedule_->Advance();
    Submit(*free.connection, *free.call, kind, keys_.NextKey(), due_ns);
    if (IsMeasured(*free.call)) stats_.sent_late.Record(now_ns_ - due_ns);
  }
  for (std::unique_ptr<Connection>& connection : connections_) {
    if (connection != nullptr && connection->wants_flush()) Serve(connection, EPOLLOUT);
  }
}

void Worker::CountNotSent() {
  for (; ScheduleGoesOn(); schedule_->Advance()) CountFailure(Failure::kNotSent);
}

void Worker::NoteCpu() {
  if (cpu_begin_ < 0 && now_ns_ >= window_.begin_ns) cpu_begin_ = ThreadCpuSeconds();
  if (cpu_end_ < 0 && now_ns_ >= window_.end_ns) cpu_end_ = ThreadCpuSeconds();
}

uint64_t Worker::WaitNs() const {
  const auto timeout_ns = static_cast<uint64_t>(std::min(options_.timeout_seconds, 1e6) * 1e9);
  uint64_t wait_ns = std::clamp<uint64_t>(timeout_ns, 1'000'000, kWaitNsMax);
  if (!ScheduleGoesOn() || free_.empty()) return wait_ns;
  const uint64_t due_ns = std::max(schedule_->next_ns(), submitted_due_ns_ + kDuePeriodNs);
  return due_ns <= now_ns_ ? 0 : std::min(wait_ns, due_ns - now_ns_);
}

// No answer at all for the whole timeout: what is open counts as lost.
bool Worker::GiveUp() {
  const auto timeout_ns = static_cast<uint64_t>(options_.timeout_seconds * 1e9);
  // An open loop that is behind would otherwise end only when the server has done all of it.
  const bool too_late = ScheduleGoesOn() && now_ns_ > window_.end_ns + timeout_ns;
  if (open_calls_ == 0 && !too_late) last_answer_ns_ = now_ns_;  // Nothing is due yet.
  if (now_ns_ - last_answer_ns_ < timeout_ns && !too_late) return false;
  for (const std::unique_ptr<Connection>& connection : connections_) {
    if (connection == nullptr) continue;
    for (const Call& call : connection->calls()) {
      if (call.open) CountFailure(Failure::kNoAnswer);
    }
  }
  if (stats_.first_error.empty()) {
    stats_.first_error =
        too_late ? fmt::format("{} s after its end not all calls of the schedule had been sent",
                               options_.timeout_seconds)
                 : fmt::format("{} calls without an answer for {} s", open_calls_,
                               options_.timeout_seconds);
  }
  connections_.clear();
  free_.clear();
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
  std::erase_if(free_, [&](const FreeCall& free) { return free.connection == connection.get(); });
  connection.reset();  // Closing the socket takes it out of epoll.
}

void Worker::OnRead() { now_ns_ = NowNs(); }

void Worker::OnAnswer(Connection& connection, Call& call) {
  MOKV_DCHECK(open_calls_ > 0);
  --open_calls_;
  last_answer_ns_ = now_ns_;
  Count(call);
  if (schedule_.has_value()) return free_.push_back({&connection, &call});
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
  Submit(connection, call, kind, key, now_ns_);
}

void Worker::Submit(Connection& connection, Call& call, OpKind kind, uint64_t key,
                    uint64_t started_ns) {
  const Request& request = requests_[kind == OpKind::kRead ? 0 : 1];
  call.request = &request;
  call.started_ns = started_ns;
  if (request.digits_size > 0) FormatDigits(key, request.digits_size, call.digits);
  connection.Submit(call);
  if (call.open) ++open_calls_;
}

bool Worker::IsMeasured(const Call& call) const {
  const uint64_t at_ns = schedule_.has_value() ? call.started_ns : now_ns_;
  return at_ns >= window_.begin_ns && at_ns < window_.end_ns;
}

void Worker::Count(const Call& call) {
  ++stats_.calls;
  if (call.status.grpc == kNoStatus) {
    if (call.reset) return CountFailure(Failure::kStreamReset);
    const bool http_ok = call.status.http == 200;
    return CountFailure(http_ok ? Failure::kNoGrpcStatus : Failure::kHttpStatus);
  }
  const bool measured = IsMeasured(call);
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
  stats_.last_ns = now_ns_;
}

void Worker::CountFailure(Failure failure) { ++stats_.failures[static_cast<size_t>(failure)]; }

}  // namespace mokv::load
