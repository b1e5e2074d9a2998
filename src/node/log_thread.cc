#include "node/log_thread.h"

#include <pthread.h>

#include <thread>

#include "base/logging.h"

namespace mokv {
namespace {

// How often the log says how many lines were left out.
constexpr Duration kTellInterval = std::chrono::seconds(1);
// A reader that is slow gets this long; one that stands still must not keep the process.
constexpr Duration kLastLinesMax = std::chrono::seconds(1);

}  // namespace

LogThread::LogThread() {
  StartQueuedLog();
  std::promise<void> ended;
  ended_ = ended.get_future();
  std::thread thread([ended = std::move(ended)]() mutable {
    pthread_setname_np(pthread_self(), "process-log");
    while (WriteQueuedLog(kTellInterval)) {
    }
    ended.set_value();
  });
  thread.detach();
}

LogThread::~LogThread() {
  CloseQueuedLog();
  ended_.wait_for(kLastLinesMax);
}

void FlushLogBeforeExit() { FlushLog(kLastLinesMax); }

}  // namespace mokv
