#include "load/options.h"

#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "base/status.h"

namespace mokv::load {
namespace {

TEST(LoadOptions, DefaultsAreValid) { EXPECT_TRUE(ValidateOptions(LoadOptions()).ok()); }

struct BadOption {
  const char* named;
  std::function<void(LoadOptions&)> spoil;
};

TEST(LoadOptions, BadOnesAreRefusedByName) {
  const BadOption bad[] = {
      {"--connections", [](LoadOptions& o) { o.connections = 0; }},
      {"--streams", [](LoadOptions& o) { o.streams = 0; }},
      {"--threads", [](LoadOptions& o) { o.threads = 0; }},
      {"--threads", [](LoadOptions& o) { o.threads = o.connections + 1; }},
      {"--warmup", [](LoadOptions& o) { o.warmup_seconds = -1; }},
      {"--duration", [](LoadOptions& o) { o.duration_seconds = 0; }},
      {"--timeout", [](LoadOptions& o) { o.timeout_seconds = 0; }},
      {"--rate", [](LoadOptions& o) { o.rate = -1; }},
      {"--rate", [](LoadOptions& o) { o.rate = 1e9; }},
      {"--lockstep", [](LoadOptions& o) { o.rate = 100, o.lockstep = true; }},
      {"--operations", [](LoadOptions& o) { o.rate = 100, o.operations = 5; }},
      {"--reads", [](LoadOptions& o) { o.reads_percent = 101; }},
      {"--path", [](LoadOptions& o) { o.path = "bench.Echo/Empty"; }},
      {"--keys", [](LoadOptions& o) { o.keys = 0; }},
      {"--key-bytes", [](LoadOptions& o) { o.key_bytes = 4; }},
      {"--keys", [](LoadOptions& o) { o.keys = 10'001, o.key_bytes = 8; }},
      {"--preload", [](LoadOptions& o) { o.preload = o.keys + 1; }},
      {"--value-bytes", [](LoadOptions& o) { o.value_bytes = 100 << 20; }},
      {"--zipf-theta",
       [](LoadOptions& o) { o.distribution = KeyDistribution::kZipf, o.zipf_theta = 1; }},
      {"--cert", [](LoadOptions& o) { o.ca_file = o.cert_file = "x"; }},
      {"--cacert", [](LoadOptions& o) { o.cert_file = o.key_file = "x"; }},
  };
  for (const BadOption& option : bad) {
    LoadOptions options;
    option.spoil(options);
    const absl::Status status = ValidateOptions(options);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << option.named;
    EXPECT_NE(MessageOf(status).find(option.named), std::string_view::npos) << status;
  }
}

}  // namespace
}  // namespace mokv::load
