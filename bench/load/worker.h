// One thread's share of a run: its connections, its epoll, its keys, its counts.
//
// Threads: each method blocks; they are called one after the other, though by different threads.
// Errors:  Connect fails as a whole. Later, a lost connection is a count and a first_error, and the
//          others go on.
#pragma once

#include <absl/status/status.h>

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "load/connection.h"
#include "load/keys.h"
#include "load/options.h"
#include "load/schedule.h"
#include "load/stats.h"

namespace mokv::load {

// Answers in [begin, end) are measured, in an open loop those to calls that were due in it;
// nanoseconds of the monotonic clock.
struct Window {
  uint64_t begin_ns = 0;
  uint64_t end_ns = UINT64_MAX;
  uint64_t operations = 0;  // If not 0: the window ends after so many answers.
};

uint64_t NowNs();

class Worker final : public ConnectionOwner {
 public:
  // `requests` are a read and, for targets with keys, a write. `options` and `requests` outlive it.
  Worker(const LoadOptions& options, std::span<const Request> requests, KeyChooser keys);
  ~Worker() override;

  absl::Status Connect(uint32_t connections, const std::shared_ptr<const TlsContext>& tls);
  // Sets keys number `begin` to `end` - 1.
  void Preload(uint64_t begin, uint64_t end);
  // Warm-up and measurement: calls run from now to the end of the window, then the open ones
  // finish. With a schedule an open loop: each call is made when it is due, or as soon as a call in
  // flight ends; what was due before the end of the window is still made, for at most the timeout.
  void Run(const Window& window, std::optional<Schedule> schedule);

  Stats& stats() { return stats_; }

  void OnRead() override;
  void OnAnswer(Connection& connection, Call& call) override;

 private:
  struct FreeCall {
    Connection* connection;
    Call* call;
  };

  void Loop();
  bool HasMore() const;
  // One more call, if there is one to make.
  void Continue(Connection& connection, Call& call);
  void Submit(Connection& connection, Call& call, OpKind kind, uint64_t key, uint64_t started_ns);
  // Open loop: makes the calls that are due, as far as there are free ones.
  void SubmitDue();
  bool ScheduleGoesOn() const {
    return schedule_.has_value() && schedule_->next_ns() < window_.end_ns;
  }
  // Open loop: counts what was due and has not been sent.
  void CountNotSent();
  bool IsMeasured(const Call& call) const;
  void Count(const Call& call);
  void CountFailure(Failure failure);
  void Drop(std::unique_ptr<Connection>& connection, const absl::Status& status);
  void Serve(std::unique_ptr<Connection>& connection, uint32_t events);
  bool GiveUp();
  // How long to wait for the sockets.
  uint64_t WaitNs() const;
  // Notes the thread's CPU time when the clock has passed an end of the window.
  void NoteCpu();

  const LoadOptions& options_;
  std::span<const Request> requests_;
  KeyChooser keys_;
  int epoll_fd_;
  std::vector<std::unique_ptr<Connection>> connections_;  // Null once lost.
  std::vector<bool> waits_for_room_;                      // Registered for EPOLLOUT, by connection.

  std::optional<Schedule> schedule_;  // Of an open loop.
  std::deque<FreeCall> free_;         // Of an open loop: the one that has waited longest first.
  uint64_t submitted_due_ns_ = 0;     // When SubmitDue last looked.

  bool preloading_ = false;
  uint64_t preload_next_ = 0;
  uint64_t preload_end_ = 0;
  Window window_;
  uint64_t now_ns_ = 0;  // As of the last read; one clock call serves all answers in it.
  uint64_t last_answer_ns_ = 0;
  uint64_t open_calls_ = 0;
  double cpu_begin_ = -1;  // Negative: not noted yet.
  double cpu_end_ = -1;
  Stats stats_;
};

}  // namespace mokv::load
