#include "telemetry/exposition.h"

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <map>
#include <sstream>
#include <utility>

#include "base/check.h"
#include "base/utf8.h"

namespace mokv::telemetry {
namespace {

constexpr double kNsPerSecond = 1e9;

bool IsMetricName(std::string_view name) {
  if (!name.starts_with("mokv_") && !name.starts_with("process_")) return false;
  return name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_") == std::string_view::npos;
}

bool IsLabelName(std::string_view name) {
  constexpr std::string_view kLetters = "abcdefghijklmnopqrstuvwxyz_";
  return !name.empty() && kLetters.find(name.front()) != std::string_view::npos &&
         !name.starts_with("__") && name != "le" &&
         name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_") == std::string_view::npos;
}

// Label values can come from outside, as certificate names do; one bad byte must not make
// Prometheus refuse the whole page.
std::string AsUtf8(std::string_view text) {
  constexpr std::string_view kReplacement = "\xef\xbf\xbd";
  std::string result;
  result.reserve(text.size());
  while (!text.empty()) {
    const size_t length = Utf8SequenceLength(text);
    result += length == 0 ? kReplacement : text.substr(0, length);
    text.remove_prefix(length == 0 ? 1 : length);
  }
  return result;
}

}  // namespace

class MetricsWriter::Impl {
 public:
  // A new time series; the caller fills in its value.
  prometheus::ClientMetric& Add(std::string_view name, std::string_view help,
                                prometheus::MetricType type, Labels labels) {
    MOKV_CHECK(IsMetricName(name));
    MOKV_CHECK(!help.empty());
    MOKV_CHECK(help.find('\n') == std::string_view::npos);
    const auto [position, is_new] = families_.try_emplace(std::string(name));
    prometheus::MetricFamily& family = position->second;
    if (is_new) {
      family.name = name;
      family.help = help;
      family.type = type;
    }
    MOKV_CHECK(family.type == type);
    MOKV_CHECK_EQ(family.help, help);
    prometheus::ClientMetric& metric = family.metric.emplace_back();
    metric.label.reserve(labels.size() + 1);
    for (Label& label : labels) {
      MOKV_CHECK(IsLabelName(label.name));
      metric.label.push_back({std::move(label.name), AsUtf8(label.value)});
    }
    return metric;
  }

  std::string Serialize() {
    std::vector<prometheus::MetricFamily> families;
    families.reserve(families_.size());
    for (auto& [name, family] : families_) families.push_back(std::move(family));
    std::ostringstream out;
    prometheus::TextSerializer().Serialize(out, families);
    return std::move(out).str();
  }

 private:
  std::map<std::string, prometheus::MetricFamily> families_;
};

MetricsWriter::MetricsWriter() : impl_(std::make_unique<Impl>()) {}
MetricsWriter::~MetricsWriter() = default;

void MetricsWriter::Gauge(std::string_view name, std::string_view help, double value,
                          Labels labels) {
  MOKV_CHECK(!name.ends_with("_total"));
  MOKV_CHECK(!name.ends_with("_info"));
  impl_->Add(name, help, prometheus::MetricType::Gauge, std::move(labels)).gauge.value = value;
}

void MetricsWriter::Counter(std::string_view name, std::string_view help, uint64_t value,
                            Labels labels) {
  CounterOfSeconds(name, help, static_cast<double>(value), std::move(labels));
}

void MetricsWriter::CounterOfSeconds(std::string_view name, std::string_view help, double seconds,
                                     Labels labels) {
  MOKV_CHECK(name.ends_with("_total"));
  impl_->Add(name, help, prometheus::MetricType::Counter, std::move(labels)).counter.value =
      seconds;
}

void MetricsWriter::Histogram(std::string_view name, std::string_view help,
                              const LatencySnapshot& snapshot, Labels labels) {
  MOKV_CHECK(name.ends_with("_seconds"));
  prometheus::ClientMetric::Histogram& histogram =
      impl_->Add(name, help, prometheus::MetricType::Histogram, std::move(labels)).histogram;
  uint64_t cumulative = 0;
  histogram.bucket.reserve(kLatencyBoundsNs.size());
  for (size_t i = 0; i < kLatencyBoundsNs.size(); ++i) {
    cumulative += snapshot.counts[i];
    histogram.bucket.push_back(
        {cumulative, static_cast<double>(kLatencyBoundsNs[i]) / kNsPerSecond});
  }
  // The serializer adds the bucket without bound itself, from the count.
  histogram.sample_count = snapshot.count();
  histogram.sample_sum = static_cast<double>(snapshot.sum_ns) / kNsPerSecond;
}

void MetricsWriter::Info(std::string_view name, std::string_view help, Labels labels) {
  MOKV_CHECK(name.ends_with("_info"));
  MOKV_CHECK(!labels.empty());
  // The text format knows no type "info": by convention it is a gauge of 1.
  impl_->Add(name, help, prometheus::MetricType::Gauge, std::move(labels)).gauge.value = 1;
}

void MetricsPage::Register(Callback callback) {
  MOKV_CHECK(callback != nullptr);
  MutexLock lock(mutex_);
  callbacks_.push_back(std::move(callback));
}

std::string MetricsPage::Render() const {
  // Held while the callbacks run: scrapes queue up instead of multiplying their work.
  MutexLock lock(mutex_);
  MetricsWriter writer;
  for (const Callback& callback : callbacks_) callback(writer);
  return writer.impl_->Serialize();
}

}  // namespace mokv::telemetry
