#include "load/options.h"

#include "base/status.h"
#include "load/wire.h"

namespace mokv::load {
namespace {

// Enough for any machine of today; beyond them a typing error is likelier than an intention.
constexpr uint32_t kConnectionsMax = 10'000;
constexpr uint32_t kStreamsMax = 10'000;
constexpr uint32_t kThreadsMax = 256;
constexpr double kRateMax = 1e8;
// The receive window of a stream must hold a whole answer (session.h).
constexpr uint32_t kValueBytesMax = 8 << 20;

absl::Status ValidateKeys(const LoadOptions& options) {
  if (options.keys == 0) return InvalidArgument("--keys must be at least 1");
  if (options.key_bytes < kKeyBytesMin || options.key_bytes > kKeyBytesMax) {
    return InvalidArgument("--key-bytes {} is not between {} and {}", options.key_bytes,
                           kKeyBytesMin, kKeyBytesMax);
  }
  if (options.keys > KeyCountMax(options.key_bytes)) {
    return InvalidArgument("--keys {} do not fit into --key-bytes {}", options.keys,
                           options.key_bytes);
  }
  if (options.preload > options.keys) {
    return InvalidArgument("--preload {} is more than --keys {}", options.preload, options.keys);
  }
  if (options.value_bytes > kValueBytesMax) {
    return InvalidArgument("--value-bytes {} is more than {}", options.value_bytes, kValueBytesMax);
  }
  if (options.distribution == KeyDistribution::kZipf &&
      !(options.zipf_theta > 0 && options.zipf_theta < 1)) {
    return InvalidArgument("--zipf-theta {} is not between 0 and 1", options.zipf_theta);
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ValidateOptions(const LoadOptions& options) {
  if (options.connections == 0 || options.connections > kConnectionsMax) {
    return InvalidArgument("--connections {} is not between 1 and {}", options.connections,
                           kConnectionsMax);
  }
  if (options.streams == 0 || options.streams > kStreamsMax) {
    return InvalidArgument("--streams {} is not between 1 and {}", options.streams, kStreamsMax);
  }
  if (options.threads == 0 || options.threads > kThreadsMax) {
    return InvalidArgument("--threads {} is not between 1 and {}", options.threads, kThreadsMax);
  }
  if (options.threads > options.connections) {
    return InvalidArgument("--threads {} is more than --connections {}", options.threads,
                           options.connections);
  }
  if (options.reads_percent > 100) {
    return InvalidArgument("--reads {} is not between 0 and 100", options.reads_percent);
  }
  if (!(options.warmup_seconds >= 0)) return InvalidArgument("--warmup must not be negative");
  if (options.operations == 0 && !(options.duration_seconds > 0)) {
    return InvalidArgument("--duration must be positive");
  }
  if (!(options.timeout_seconds > 0)) return InvalidArgument("--timeout must be positive");
  if (!(options.rate >= 0 && options.rate <= kRateMax)) {
    return InvalidArgument("--rate {} is not between 0 and {}", options.rate, kRateMax);
  }
  if (options.open_loop() && (options.lockstep || options.operations > 0)) {
    return InvalidArgument(
        "--rate goes neither with --lockstep nor with --operations: calls begin when they are due, "
        "for the time of --duration");
  }
  if (options.path.empty() || options.path[0] != '/') {
    return InvalidArgument("--path '{}' does not begin with /", options.path);
  }
  if (options.cert_file.empty() != options.key_file.empty()) {
    return InvalidArgument("--cert and --key go together");
  }
  if (options.ca_file.empty() && !options.cert_file.empty()) {
    return InvalidArgument("--cert and --key need --cacert");
  }
  return options.has_keys() ? ValidateKeys(options) : absl::OkStatus();
}

}  // namespace mokv::load
