// The load generator's command line. Exit status: 0 all as expected; 1 some calls were not; 2
// usage; 3 the server cannot be reached.
#include <fmt/format.h>

#include <cstdio>
#include <map>
#include <string>

#include <CLI/CLI.hpp>

#include "base/status.h"
#include "load/run.h"

namespace {

using mokv::load::Arrivals;
using mokv::load::Engine;
using mokv::load::KeyDistribution;
using mokv::load::LoadOptions;
using mokv::load::Target;

void AddOptions(CLI::App& app, LoadOptions& options, bool& json) {
  const std::map<std::string, Target> targets = {{"mokv", Target::kMokv},
                                                 {"etcd", Target::kEtcd},
                                                 {"empty", Target::kEmpty},
                                                 {"grpc", Target::kGrpc}};
  const std::map<std::string, Engine> engines = {{"lean", Engine::kLean},
                                                 {"nghttp2", Engine::kNghttp2}};
  const std::map<std::string, Arrivals> arrivals = {{"even", Arrivals::kEven},
                                                    {"random", Arrivals::kRandom}};
  const std::map<std::string, KeyDistribution> distributions = {
      {"uniform", KeyDistribution::kUniform}, {"zipf", KeyDistribution::kZipf}};
  app.add_option("--target", options.target, "mokv, etcd, empty (answer must be empty) or grpc")
      ->transform(CLI::CheckedTransformer(targets));
  app.add_option("--path", options.path, "Method for the targets empty and grpc");
  app.add_option("--endpoint", options.endpoint, "HOST:PORT");
  app.add_option("--engine", options.engine, "HTTP/2 by lean or nghttp2")
      ->transform(CLI::CheckedTransformer(engines));
  app.add_option("-c,--connections", options.connections);
  app.add_option("-s,--streams", options.streams, "Open calls a connection");
  app.add_option("-t,--threads", options.threads);
  app.add_flag("--lockstep", options.lockstep, "Ask again when a connection has all its answers");
  app.add_option(
      "--rate", options.rate,
      "Open loop: so many calls a second in all, each due at a time of its own. A latency "
      "begins when the call was due, also where it had to wait for one of the -c x -s "
      "calls in flight to end. 0: closed loop");
  app.add_option("--arrivals", options.arrivals, "With --rate: even, or random (exponential gaps)")
      ->transform(CLI::CheckedTransformer(arrivals));
  app.add_option("--warmup", options.warmup_seconds, "Seconds");
  app.add_option("--duration", options.duration_seconds, "Seconds");
  app.add_option("--operations", options.operations, "Stop after so many instead");
  app.add_option("--timeout", options.timeout_seconds, "Seconds without any answer");
  app.add_option("--reads", options.reads_percent, "Share of reads, 0 to 100");
  app.add_flag("--stale", options.stale, "mokv: stale reads; etcd: serializable");
  app.add_flag("--allow-not-found", options.allow_not_found, "Missing keys are no error");
  app.add_option("--keys", options.keys, "Size of the key space");
  app.add_option("--distribution", options.distribution, "uniform or zipf")
      ->transform(CLI::CheckedTransformer(distributions));
  app.add_option("--zipf-theta", options.zipf_theta);
  app.add_option("--key-bytes", options.key_bytes);
  app.add_option("--value-bytes", options.value_bytes);
  app.add_option("--preload", options.preload, "Set so many keys first");
  app.add_option("--seed", options.seed, "Of keys, kinds of calls and random arrivals");
  app.add_option("--cacert", options.ca_file, "TLS, and who may have signed the server");
  app.add_option("--cert", options.cert_file);
  app.add_option("--key", options.key_file);
  app.add_flag("--json", json, "One JSON object");
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Closed-loop or open-loop (--rate) load for mokv, etcd and other gRPC servers",
               "load");
  app.option_defaults()->always_capture_default();
  LoadOptions options;
  bool json = false;
  AddOptions(app, options, json);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  const absl::StatusOr<mokv::load::Report> report = mokv::load::RunLoad(options);
  if (!report.ok()) {
    fmt::print(stderr, "load: {}\n", mokv::MessageOf(report.status()));
    return report.status().code() == absl::StatusCode::kInvalidArgument ? 2 : 3;
  }
  fmt::print("{}", json ? ReportJson(*report) + "\n" : ReportText(*report));
  return report->AsExpected() ? 0 : 1;
}
