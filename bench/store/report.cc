#include "bench/store/report.h"

#include <fmt/format.h>

#include <algorithm>

namespace mokv::bench {
namespace {

struct Metric {
  const char* id;
  const char* title;
  double scale;                // What one unit of the table is in the metric's own.
  std::string_view reference;  // The contender that ratios are to; empty: no ratios.
};

constexpr Metric kMetrics[] = {
    {"hit", "look-up, found, ns", 1, kHashMap},
    {"miss", "look-up, missing, ns", 1, kHashMap},
    {"insert", "insert, shuffled, ns", 1, kBtreeMap},
    {"insert_sorted", "insert, ascending, ns", 1, kBtreeMap},
    {"bulk", "bulk load, ns a key", 1, kBtreeMap},
    {"overwrite", "overwrite, ns", 1, kBtreeMap},
    {"scan", "scan of a view, ns an item", 1, kBtreeMap},
    {"range", "prefix range, ns an item", 1, kBtreeMap},
    {"bytes", "process memory, bytes a key", 1, kBtreeMap},
    {"bulk_bytes", "the same after a bulk load", 1, kBtreeMap},
    {"view", "take and drop a view, ns", 1, kProduct},
    {"fresh_view", "write, publish, take and drop, ns", 1, kProduct},
    {"crowded_publish", "write, publish, beside 10k views, ns", 1, kProduct},
    {"free_write", "10k overwrites, no view, ns each", 1, kProduct},
    {"held_write", "10k overwrites under a view, ns each", 1, kProduct},
    {"held_bytes", "what the view holds then, bytes a write", 1, kProduct},
    {"drop_view", "dropping it, ns a write", 1, ""},
    {"after_write", "10k overwrites after that, ns each", 1, kProduct},
    {"left_bytes", "still held then, bytes a write", 1, ""},
    {"one_reader", "1 reader, million look-ups/s", 1e6, kHashMap},
    {"two_readers", "2 readers, million look-ups/s", 1e6, kHashMap},
    {"reader_beside_writer", "1 reader beside a writer, million/s", 1e6, kProduct},
    {"writer_beside_reader", "that writer, million writes/s", 1e6, kProduct},
};

std::string Number(double value) {
  return fmt::format("{:.{}f}", value, value < 10 ? 2 : value < 100 ? 1 : 0);
}

std::string CellText(const Results::Cell& cell, const Metric& metric, const Results::Cell* base) {
  std::string text =
      fmt::format("{} ({}-{})", Number(cell.median / metric.scale),
                  Number(cell.least / metric.scale), Number(cell.most / metric.scale));
  if (base != nullptr && base->median > 0) {
    text += fmt::format(" {:.2f}x", cell.median / base->median);
  }
  return text;
}

// One target: the product's `metric` divided by another figure.
struct Target {
  const char* title;
  const char* metric;
  std::string_view other_contender;
  const char* other_metric;
  bool at_most;
  double limit;
  size_t least_size = 0;  // At which it is asked for.
};

constexpr Target kTargets[] = {
    {"look-up, of flat_hash_map's time", "hit", kHashMap, "hit", true, 1.5, 1'000'000},
    {"insert, of btree_map's time", "insert", kBtreeMap, "insert", true, 1.2},
    {"scan of a view, of btree_map's time", "scan", kBtreeMap, "scan", true, 1.5},
    {"bulk load, of shuffled inserts' time", "bulk", kProduct, "insert", true, 0.3},
    {"bulk load, of ascending inserts' time", "bulk", kProduct, "insert_sorted", true, 0.3},
    {"reader beside a writer, of one alone", "reader_beside_writer", kProduct, "one_reader", false,
     0.8},
    {"two readers, of one", "two_readers", kProduct, "one_reader", false, 1.8},
    {"(two readers of flat_hash_map: what the machine gives)", "two_readers", kHashMap,
     "one_reader", false, 1.8},
};

void PrintTarget(const std::string& title, const std::string& limit, double ratio, bool met) {
  fmt::print("| {} | {} | {:.2f}x | {} |\n", title, limit, ratio, met ? "yes" : "**no**");
}

// The yardstick's own row is measured at that contender.
void PrintTarget(Results& results, const Target& target, size_t size) {
  if (size < target.least_size) return;
  const bool is_yardstick = *target.title == '(';
  const auto* own =
      results.Find(size, is_yardstick ? target.other_contender : kProduct, target.metric);
  const auto* other = results.Find(size, target.other_contender, target.other_metric);
  if (own == nullptr || other == nullptr) return;
  const double ratio = own->median / other->median;
  PrintTarget(fmt::format("{}, {} keys", target.title, size),
              fmt::format("{} {}x", target.at_most ? "at most" : "at least", target.limit), ratio,
              target.at_most ? ratio <= target.limit : ratio >= target.limit);
}

}  // namespace

void Results::Add(size_t size, std::string_view contender, const Sample& sample) {
  for (const auto& [metric, value] : sample) {
    series_[size][std::string(contender)][metric].values.push_back(value);
  }
}

const Results::Cell* Results::Find(size_t size, std::string_view contender,
                                   const std::string& metric) {
  auto& of_size = series_[size];
  const auto of_contender = of_size.find(contender);
  if (of_contender == of_size.end()) return nullptr;
  const auto found = of_contender->second.find(metric);
  if (found == of_contender->second.end()) return nullptr;
  Series& series = found->second;
  std::sort(series.values.begin(), series.values.end());
  const size_t middle = series.values.size() / 2;
  const double median = series.values.size() % 2 == 1
                            ? series.values[middle]
                            : (series.values[middle - 1] + series.values[middle]) / 2;
  series.cell = Cell{median, series.values.front(), series.values.back()};
  return &series.cell;
}

void PrintTables(Results& results, const std::vector<size_t>& sizes,
                 const std::vector<std::string>& contenders) {
  for (const size_t size : sizes) {
    fmt::print("\n### {} keys\n\n| |", size);
    for (const std::string& contender : contenders) fmt::print(" {} |", contender);
    fmt::print("\n| --- |");
    for (size_t i = 0; i < contenders.size(); ++i) fmt::print(" ---: |");
    fmt::print("\n");
    for (const Metric& metric : kMetrics) {
      const Results::Cell* base = results.Find(size, metric.reference, metric.id);
      std::string row = fmt::format("| {} |", metric.title);
      bool any = false;
      for (const std::string& contender : contenders) {
        const Results::Cell* cell = results.Find(size, contender, metric.id);
        any = any || cell != nullptr;
        row += cell == nullptr ? " |" : fmt::format(" {} |", CellText(*cell, metric, base));
      }
      if (any) fmt::print("{}\n", row);
    }
  }
}

void PrintTargets(Results& results, const std::vector<size_t>& sizes) {
  fmt::print("\n### Targets\n\n| target | | measured | met |\n| --- | --- | ---: | --- |\n");
  for (const Target& target : kTargets) {
    for (const size_t size : sizes) PrintTarget(results, target, size);
  }
  // "The same time", on a clock and a machine that differ by so much from run to run.
  constexpr double kSame = 1.25;
  for (const size_t size : sizes) {
    const auto* small = results.Find(kSmallSize, kProduct, "view");
    const auto* large = results.Find(size, kProduct, "view");
    if (small == nullptr || large == nullptr) continue;
    const double ratio = large->median / small->median;
    PrintTarget(fmt::format("taking a view, {} keys, of the time at {}", size, kSmallSize),
                fmt::format("the same (at most {}x)", kSame), ratio, ratio <= kSame);
  }
  fmt::print("\nMemory beside Redis: bench/store/redis_memory.py.\n");
}

}  // namespace mokv::bench
