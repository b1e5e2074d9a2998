// What a run found, for people and for programs.
#pragma once

#include <string>

#include "load/options.h"
#include "load/stats.h"

namespace mokv::load {

struct Report {
  LoadOptions options;
  Stats stats;

  double Seconds() const;  // Of the measured window.
  double OperationsPerSecond() const;
  // Whether every call ended as it should and something was measured.
  bool AsExpected() const;
};

std::string ReportText(const Report& report);
// One object on one line; latencies in microseconds.
std::string ReportJson(const Report& report);

}  // namespace mokv::load
