#include "load/run.h"

#include <functional>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "base/status.h"
#include "load/schedule.h"
#include "load/worker.h"

namespace mokv::load {
namespace {

using Workers = std::vector<std::unique_ptr<Worker>>;

// Share number `index` of `total` in `parts`; the first shares take what does not divide.
uint64_t ShareBegin(uint64_t total, uint64_t parts, uint64_t index) {
  return total / parts * index + std::min(index, total % parts);
}

uint64_t ShareOf(uint64_t total, uint64_t parts, uint64_t index) {
  return ShareBegin(total, parts, index + 1) - ShareBegin(total, parts, index);
}

void OnEach(Workers& workers, const std::function<void(Worker&, uint64_t)>& task) {
  std::vector<std::jthread> threads;
  for (uint64_t i = 1; i < workers.size(); ++i) {
    threads.emplace_back([&, i] { task(*workers[i], i); });
  }
  task(*workers[0], 0);
}

Window MakeWindow(const LoadOptions& options, uint64_t now_ns) {
  Window window;
  window.begin_ns = now_ns + static_cast<uint64_t>(options.warmup_seconds * 1e9);
  window.operations = options.operations;
  if (options.operations == 0) {
    window.end_ns = window.begin_ns + static_cast<uint64_t>(options.duration_seconds * 1e9);
  }
  return window;
}

// Seeds far apart: neighbouring ones would make threads walk the same numbers.
uint64_t SeedOf(const LoadOptions& options, uint64_t stream) {
  return SeededRandom(options.seed + stream).Next();
}

std::optional<Schedule> MakeSchedule(const LoadOptions& options, uint64_t begin_ns,
                                     uint32_t thread) {
  if (!options.open_loop()) return std::nullopt;
  // The first streams are those of the keys.
  return Schedule(options.arrivals, options.rate, begin_ns, thread, options.threads,
                  SeedOf(options, options.threads + thread));
}

}  // namespace

absl::StatusOr<Report> RunLoad(const LoadOptions& options) {
  MOKV_RETURN_IF_ERROR(ValidateOptions(options));
  std::shared_ptr<const TlsContext> tls;
  if (options.tls()) {
    MOKV_ASSIGN_OR_RETURN(tls, NewTlsContext(options));
  }
  std::vector<Request> requests = {MakeRead(options)};
  if (options.has_keys()) requests.push_back(MakeWrite(options));
  std::shared_ptr<const ZipfTable> zipf;
  if (options.has_keys() && options.distribution == KeyDistribution::kZipf) {
    zipf = std::make_shared<ZipfTable>(options.keys, options.zipf_theta);
  }

  Workers workers;
  for (uint32_t i = 0; i < options.threads; ++i) {
    workers.push_back(
        std::make_unique<Worker>(options, requests, KeyChooser(options, zipf, SeedOf(options, i))));
    MOKV_RETURN_IF_ERROR(workers.back()->Connect(
        static_cast<uint32_t>(ShareOf(options.connections, options.threads, i)), tls));
  }
  if (options.has_keys() && options.preload > 0) {
    OnEach(workers, [&](Worker& worker, uint64_t i) {
      worker.Preload(ShareBegin(options.preload, options.threads, i),
                     ShareBegin(options.preload, options.threads, i + 1));
    });
  }
  const uint64_t now_ns = NowNs();
  const Window window = MakeWindow(options, now_ns);
  OnEach(workers, [&](Worker& worker, uint64_t i) {
    Window share = window;
    share.operations = ShareOf(window.operations, options.threads, i);
    // A thread whose share is nothing must not take it for "no limit".
    if (window.operations > 0 && share.operations == 0) return;
    worker.Run(share, MakeSchedule(options, now_ns, static_cast<uint32_t>(i)));
  });

  Report report = {.options = options, .stats = {}};
  for (const std::unique_ptr<Worker>& worker : workers) report.stats.Merge(worker->stats());
  return report;
}

}  // namespace mokv::load
