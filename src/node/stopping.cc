#include "node/stopping.h"

#include <fmt/format.h>

#include "base/logging.h"

namespace mokv {
namespace {

int64_t InMs(Duration duration) { return duration / std::chrono::milliseconds(1); }

}  // namespace

std::string Stopping::Run() {
  std::string took;
  for (Step& step : steps_) {
    const MonotonicTime began = clock_.Now();
    step.run();
    const Duration spent = clock_.Now() - began;
    if (spent > step.at_most) {
      LogWarn("a step of the stop took longer than it should",
              {{"step", step.name}, {"ms", InMs(spent)}, {"at_most_ms", InMs(step.at_most)}});
    }
    if (InMs(spent) == 0) continue;
    took += fmt::format("{}{} {} ms", took.empty() ? "" : ", ", step.name, InMs(spent));
  }
  steps_.clear();
  return took;
}

}  // namespace mokv
