// What one run of the load generator does. Plain data: filled from flags by main.cc, checked by
// ValidateOptions, read by everything else. Durations are seconds because people type them.
#pragma once

#include <absl/status/status.h>

#include <cstdint>
#include <string>

namespace mokv::load {

enum class Target {
  kMokv,   // api.KV Get and Set.
  kEtcd,   // etcdserverpb.KV Range and Put.
  kEmpty,  // An empty message to `path`; the answer must be empty too.
  kGrpc,   // An empty message to `path`; any answer will do.
};

// Which HTTP/2 client makes and reads the frames; README.md compares their cost.
enum class Engine { kNghttp2, kLean };

// Of an open loop: at even distances, or by chance (exponential gaps).
enum class Arrivals { kEven, kRandom };

enum class KeyDistribution { kUniform, kZipf };

struct LoadOptions {
  Target target = Target::kMokv;
  std::string path = "/bench.Echo/Empty";
  std::string endpoint = "127.0.0.1:8400";  // host:port, [v6]:port
  Engine engine = Engine::kLean;

  uint32_t connections = 8;
  uint32_t streams = 16;  // A connection.
  uint32_t threads = 1;
  // A connection asks again when all of its calls have been answered, as redis-benchmark -P does;
  // otherwise each answer makes room for the next call at once.
  bool lockstep = false;
  // Calls a second in all, due on a schedule of their own (an open loop); 0: a closed loop.
  double rate = 0;
  Arrivals arrivals = Arrivals::kEven;

  double warmup_seconds = 1;
  double duration_seconds = 5;
  uint64_t operations = 0;      // If not 0: stop after so many instead of after the duration.
  double timeout_seconds = 10;  // Without any answer for so long, a thread gives up.

  uint32_t reads_percent = 100;
  bool stale = false;            // mökv: STALE; etcd: serializable.
  bool allow_not_found = false;  // A read of a missing key is then an expected answer.
  uint64_t keys = 100000;
  KeyDistribution distribution = KeyDistribution::kUniform;
  double zipf_theta = 0.99;
  uint32_t key_bytes = 16;
  uint32_t value_bytes = 64;
  uint64_t preload = 0;  // Keys to set before the warm-up.
  uint64_t seed = 1;     // Of keys, of reads among writes, and of random arrivals.

  // All three empty: clear text. Without cert and key no client certificate is shown.
  std::string ca_file;
  std::string cert_file;
  std::string key_file;

  bool tls() const { return !ca_file.empty(); }
  bool open_loop() const { return rate > 0; }
  bool has_keys() const { return target == Target::kMokv || target == Target::kEtcd; }
};

// INVALID_ARGUMENT naming the option that cannot work.
absl::Status ValidateOptions(const LoadOptions& options);

}  // namespace mokv::load
