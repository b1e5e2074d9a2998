// Results of a run, and their tables in Markdown.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "bench/store/measure.h"

namespace mokv::bench {

// Contenders by their names on the command line, in the order of the tables' columns.
constexpr std::string_view kProduct = "product";
constexpr std::string_view kCowTree = "cow-tree";
constexpr std::string_view kArt = "art";
constexpr std::string_view kHashMap = "hash-map";
constexpr std::string_view kBtreeMap = "btree-map";
constexpr std::string_view kContenders[] = {kProduct, kCowTree, kArt, kHashMap, kBtreeMap};

// The size of the smaller store that taking a view is compared with.
constexpr size_t kSmallSize = 10'000;

class Results {
 public:
  void Add(size_t size, std::string_view contender, const Sample& sample);

  struct Cell {
    double median = 0;
    double least = 0;
    double most = 0;
  };
  // Null when it was not measured.
  const Cell* Find(size_t size, std::string_view contender, const std::string& metric);

 private:
  struct Series {
    std::vector<double> values;
    Cell cell;
  };
  // By size, contender, metric.
  std::map<size_t, std::map<std::string, std::map<std::string, Series>, std::less<>>> series_;
};

// One table for each size, and the targets with whether they are met.
void PrintTables(Results& results, const std::vector<size_t>& sizes,
                 const std::vector<std::string>& contenders);
void PrintTargets(Results& results, const std::vector<size_t>& sizes);

}  // namespace mokv::bench
