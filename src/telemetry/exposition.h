// MetricsPage: what /metrics says. Components register callbacks; each scrape calls them, and they
// write what their counters hold.
//
// Threads: Register and Render are thread-safe; callbacks run one at a time on the thread that
//          renders (an HTTP thread), so they read atomics or take short locks, and must not call
//          Register.
// Owner:   a callback and what it reads must live until nothing renders any more: the HTTP server
//          is stopped before the components are.
// Units:   seconds and bytes, as Prometheus has them; names say which.
// Errors:  a name against the rules, or one name with two meanings, is our own bug: MOKV_CHECK.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/mutex.h"
#include "telemetry/metrics.h"

namespace mokv::telemetry {

struct Label {
  std::string name;
  std::string value;  // Any bytes; those that are not UTF-8 are shown as U+FFFD.
};
using Labels = std::vector<Label>;

// Collects one scrape. One name is one metric: calls that repeat a name with other labels add time
// series to it and must repeat its kind and help. The same name and labels twice is a bug.
//
// Names are of [a-z0-9_] and begin with `mokv_` (or `process_`, which Prometheus' own rules keep
// for a few figures). Counters end in `_total`, histograms in `_seconds`, infos in `_info`, and
// gauges neither in `_total` nor in `_info`.
class MetricsWriter {
 public:
  MetricsWriter();
  ~MetricsWriter();
  MetricsWriter(const MetricsWriter&) = delete;
  MetricsWriter& operator=(const MetricsWriter&) = delete;

  void Gauge(std::string_view name, std::string_view help, double value, Labels labels = {});
  void Counter(std::string_view name, std::string_view help, uint64_t value, Labels labels = {});
  // For counters of seconds, which are not whole.
  void CounterOfSeconds(std::string_view name, std::string_view help, double seconds,
                        Labels labels = {});
  void Histogram(std::string_view name, std::string_view help, const LatencySnapshot& snapshot,
                 Labels labels = {});
  // Facts in labels, as the version; the value is always 1.
  void Info(std::string_view name, std::string_view help, Labels labels);

 private:
  friend class MetricsPage;
  class Impl;
  std::unique_ptr<Impl> impl_;
};

class MetricsPage {
 public:
  using Callback = std::function<void(MetricsWriter&)>;

  // HTTP Content-Type of what Render returns.
  static constexpr std::string_view kContentType = "text/plain; version=0.0.4; charset=utf-8";

  void Register(Callback callback);
  // The page in Prometheus' text format, metrics sorted by name.
  std::string Render() const;

 private:
  mutable Mutex mutex_;
  std::vector<Callback> callbacks_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace mokv::telemetry
