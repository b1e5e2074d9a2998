#include "sim/shrink.h"

#include <algorithm>

#include "base/check.h"
#include "sim/plan.h"

namespace mokv::sim {

Shrunk Shrink(Runner& runner, const Outcome& failed,
              const std::function<void(const Outcome&)>& progress) {
  MOKV_CHECK(!failed.violation.empty());
  const std::string check = CheckName(failed.violation);
  Shrunk best{.outcome = failed};
  const auto try_job = [&](const Job& job) {
    ++best.runs;
    Outcome outcome = runner.RunOne(job);
    if (CheckName(outcome.violation) != check) return false;
    best.outcome = std::move(outcome);
    progress(best.outcome);
    return true;
  };

  // Faults: whole runs of them first, then fewer at a time.
  std::vector<size_t> left;
  for (const Fault& fault : DrawPlan(failed.job.seed, failed.job.nodes).faults) {
    if (!failed.job.without.contains(fault.number)) left.push_back(fault.number);
  }
  for (size_t size = std::max<size_t>(left.size() / 2, 1);;) {
    bool any = false;
    for (size_t begin = 0; begin < left.size();) {
      const size_t end = std::min(begin + size, left.size());
      Job job = best.outcome.job;
      job.without.insert(left.begin() + static_cast<ptrdiff_t>(begin),
                         left.begin() + static_cast<ptrdiff_t>(end));
      if (try_job(job)) {
        left.erase(left.begin() + static_cast<ptrdiff_t>(begin),
                   left.begin() + static_cast<ptrdiff_t>(end));
        any = true;
      } else {
        begin = end;
      }
    }
    if (size == 1 && !any) break;
    size = std::max<size_t>(size / 2, 1);
  }

  // Operations: halves, then smaller steps.
  Job job = best.outcome.job;
  uint64_t operations = std::min(job.operations_max, std::max<uint64_t>(failed.operations, 1));
  for (uint64_t step = operations / 2; step > 0;) {
    job.operations_max = operations - std::min(step, operations);
    if (try_job(job)) {
      operations = job.operations_max;
    } else {
      step /= 2;
    }
    if (operations == 0) break;
  }
  return best;
}

}  // namespace mokv::sim
