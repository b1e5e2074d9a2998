// The two doors (service/doors.h) in a test's hands: what comes to them is written down, and
// answered as the test says, at once or later.
//
// Threads: the test's, but for the doors' own functions, which say it themselves.
// Owner:   the test. They go after the server's threads have ended, and before the server.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/mutex.h"
#include "machine/command.h"
#include "machine/machine.h"
#include "net/io_pool.h"
#include "net/testing/wait.h"
#include "service/doors.h"

namespace mokv::service::testing {

// What a log of these commands would make of the machine, for all to see. The test is its writer.
inline machine::Result Apply(machine::Machine& machine, const machine::Command& command) {
  const Entry entry{
      .type = EntryType::kCommand,
      .payload = std::make_shared<const std::string>(machine::EncodeCommand(command))};
  std::vector<machine::Result> results;
  const absl::Status applied = machine.Apply({&entry, 1}, results);
  MOKV_CHECK(applied.ok());
  machine.Publish();
  return results.front();
}

class FakeReadDoor final : public ReadDoor {
 public:
  // A read that wanted to look at once.
  struct Asked {
    replica::ReadRequirement requirement;
    size_t io_thread = 0;
  };
  // A read that may not look yet.
  struct Waiting {
    replica::ReadRequirement requirement;
    MonotonicTime give_up_at;
    size_t io_thread = 0;
  };

  // Before the pool starts.
  FakeReadDoor(net::IoPool& pool, const machine::Machine& machine)
      : pool_(pool), machine_(machine), reader_(machine.store()) {
    MOKV_CHECK_EQ(pool.size(), size_t{1});
    pool.thread(0).AtTurnEnd([this] { reader_.Leave(); });
  }

  // From now on.
  void SayNotNow() {
    const MutexLock lock(mutex_);
    now_ = false;
  }
  // What all reads that wait are told, each on its thread.
  void Answer(const absl::Status& status) {
    std::vector<Look> looks;
    {
      const MutexLock lock(mutex_);
      looks.swap(looks_);
    }
    for (Look& look : looks) {
      pool_.thread(0).Post([this, status, look = std::move(look)]() mutable {
        store::Reader reader(machine_.store());
        look(status, reader);
      });
    }
  }

  std::vector<Asked> asked() const {
    const MutexLock lock(mutex_);
    return asked_;
  }
  // All that have had to wait, once there are so many.
  std::vector<Waiting> WaitForWaiting(size_t count) const {
    EXPECT_TRUE(net::Until([&] { return waiting().size() >= count; }));
    return waiting();
  }
  std::vector<Waiting> waiting() const {
    const MutexLock lock(mutex_);
    return waiting_;
  }

  store::Reader* Now(const replica::ReadRequirement& requirement, size_t io_thread) override {
    MOKV_CHECK(pool_.thread(io_thread).IsCurrent());
    const MutexLock lock(mutex_);
    asked_.push_back({requirement, io_thread});
    return now_ ? &reader_ : nullptr;
  }
  void Wait(const replica::ReadRequirement& requirement, MonotonicTime give_up_at, size_t io_thread,
            Look look) override {
    MOKV_CHECK(pool_.thread(io_thread).IsCurrent());
    const MutexLock lock(mutex_);
    waiting_.push_back({requirement, give_up_at, io_thread});
    looks_.push_back(std::move(look));
  }
  std::shared_ptr<const machine::View> TakeView() override { return machine_.TakeView(); }

 private:
  net::IoPool& pool_;
  const machine::Machine& machine_;
  store::Reader reader_;  // The I/O thread's.
  mutable Mutex mutex_;
  bool now_ ABSL_GUARDED_BY(mutex_) = true;
  std::vector<Asked> asked_ ABSL_GUARDED_BY(mutex_);
  std::vector<Waiting> waiting_ ABSL_GUARDED_BY(mutex_);
  std::vector<Look> looks_ ABSL_GUARDED_BY(mutex_);  // Of those that still wait.
};

inline replica::WriteResult Applied(machine::Result result) {
  return {.fate = replica::WriteResult::Fate::kApplied, .applied = result};
}
inline replica::WriteResult NotDone(absl::Status reason) {
  return {.fate = replica::WriteResult::Fate::kNotDone, .reason = std::move(reason)};
}
inline replica::WriteResult UnknownFate(absl::Status reason) {
  return {.fate = replica::WriteResult::Fate::kUnknown, .reason = std::move(reason)};
}

class FakeWriteDoor final : public WriteDoor {
 public:
  struct Asked {
    machine::Command command;
    std::string subject;
    MonotonicTime give_up_at;
  };

  // From now on, on the thread that asks. Until then writes wait for Answer.
  void AnswerAtOnce(replica::WriteResult result) {
    const MutexLock lock(mutex_);
    at_once_ = std::move(result);
  }
  // What all writes that wait are told, on this thread.
  void Answer(const replica::WriteResult& result) {
    std::vector<replica::WriteDone> dones;
    {
      const MutexLock lock(mutex_);
      dones.swap(dones_);
    }
    for (replica::WriteDone& done : dones) done(result);
  }

  // All that have come, once there are so many.
  std::vector<Asked> WaitForAsked(size_t count) const {
    EXPECT_TRUE(net::Until([&] { return asked().size() >= count; }));
    return asked();
  }
  std::vector<Asked> asked() const {
    const MutexLock lock(mutex_);
    return asked_;
  }

  void Write(machine::Command command, std::string subject, MonotonicTime give_up_at,
             replica::WriteDone done) override {
    MOKV_CHECK(machine::CheckCommand(command).ok());
    std::optional<replica::WriteResult> at_once;
    {
      const MutexLock lock(mutex_);
      asked_.push_back({std::move(command), std::move(subject), give_up_at});
      at_once = at_once_;
      if (!at_once.has_value()) dones_.push_back(std::move(done));
    }
    if (at_once.has_value()) done(*at_once);
  }

 private:
  mutable Mutex mutex_;
  std::optional<replica::WriteResult> at_once_ ABSL_GUARDED_BY(mutex_);
  std::vector<Asked> asked_ ABSL_GUARDED_BY(mutex_);
  std::vector<replica::WriteDone> dones_ ABSL_GUARDED_BY(mutex_);  // Of those that wait.
};

}  // namespace mokv::service::testing
