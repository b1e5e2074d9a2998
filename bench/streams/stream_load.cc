// stream_load: messages of 1 KiB on streams without end, counted; see --help. Exit status: 0; 1 a stream ended,
// or nothing came; 2 usage; 3 the server cannot be reached.
#include <fmt/format.h>
#include <poll.h>
#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>

#include "base/status.h"
#include "load/histogram.h"
#include "load/options.h"
#include "load/transport.h"
#include "streams/stream_session.h"

namespace {

using mokv::load::LoadOptions;
using mokv::load::Transport;
using mokv::streams::Direction;
using mokv::streams::StreamSession;
using Clock = std::chrono::steady_clock;

constexpr int kPollMs = 100;  // How late the end may be noticed.
constexpr size_t kReadBytes = size_t{64} << 10;

struct Options {
  LoadOptions load;
  Direction direction = Direction::kToClient;
  uint32_t in_flight = 1;
};

double CpuSeconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

class Connection final : public StreamSession::Sink {
 public:
  Connection(const Options& options, std::unique_ptr<Transport> transport)
      : transport_(std::move(transport)),
        session_({.direction = options.direction,
                  .streams = options.load.streams,
                  .in_flight = options.in_flight,
                  .scheme = options.load.tls() ? "https" : "http",
                  .authority = options.load.endpoint},
                 *this) {}

  pollfd PollFd() const {
    const short events = written_ < out_.size() ? POLLIN | POLLOUT : POLLIN;
    return {.fd = transport_->fd(), .events = events, .revents = 0};
  }

  absl::Status Serve(bool readable) {
    std::array<char, kReadBytes> buffer;
    while (readable) {
      MOKV_ASSIGN_OR_RETURN(const size_t got, transport_->Read(buffer.data(), buffer.size()));
      if (got == 0) break;
      MOKV_RETURN_IF_ERROR(session_.Receive({buffer.data(), got}));
      readable = transport_->may_have_more();
    }
    return Flush();
  }

  // A round trip begins with the message that the one before has made room for: it leaves at once.
  void OnMessageBack() override {
    const Clock::time_point now = Clock::now();
    round_trips_.Record(static_cast<uint64_t>((now - sent_at_).count()));
    sent_at_ = now;
  }
  uint64_t messages() const { return session_.messages(); }
  mokv::load::Histogram& round_trips() { return round_trips_; }

 private:
  absl::Status Flush() {
    while (true) {
      if (written_ == out_.size()) {
        out_.clear();
        written_ = 0;
        MOKV_RETURN_IF_ERROR(session_.TakeOutput(out_));
        if (out_.empty()) return absl::OkStatus();
      }
      MOKV_ASSIGN_OR_RETURN(const size_t sent,
                            transport_->Write(std::string_view(out_).substr(written_)));
      if (sent == 0) return absl::OkStatus();
      written_ += sent;
    }
  }

  std::unique_ptr<Transport> transport_;
  StreamSession session_;
  std::string out_;
  size_t written_ = 0;
  Clock::time_point sent_at_ = Clock::now();
  mokv::load::Histogram round_trips_;
};

using Connections = std::vector<std::unique_ptr<Connection>>;

// One share of all connections for each thread.
absl::StatusOr<std::vector<Connections>> Connect(const Options& options) {
  std::shared_ptr<const mokv::load::TlsContext> tls;
  if (options.load.tls()) {
    MOKV_ASSIGN_OR_RETURN(tls, mokv::load::NewTlsContext(options.load));
  }
  MOKV_ASSIGN_OR_RETURN(const mokv::load::Endpoint endpoint,
                        mokv::load::ParseEndpoint(options.load.endpoint));
  std::vector<Connections> shares(options.load.threads);
  for (uint32_t i = 0; i < options.load.connections; ++i) {
    MOKV_ASSIGN_OR_RETURN(std::unique_ptr<Transport> transport,
                          mokv::load::Connect(endpoint, tls, options.load.timeout_seconds));
    shares[i % shares.size()].push_back(
        std::make_unique<Connection>(options, std::move(transport)));
  }
  return shares;
}

absl::Status RunUntil(Clock::time_point end, Connections& connections) {
  std::vector<pollfd> fds(connections.size());
  while (Clock::now() < end) {
    for (size_t i = 0; i < fds.size(); ++i) fds[i] = connections[i]->PollFd();
    poll(fds.data(), fds.size(), kPollMs);
    for (size_t i = 0; i < fds.size(); ++i) {
      if (fds[i].revents == 0) continue;
      MOKV_RETURN_IF_ERROR(connections[i]->Serve((fds[i].revents & ~POLLOUT) != 0));
    }
  }
  return absl::OkStatus();
}

uint64_t Messages(const Connections& connections) {
  uint64_t sum = 0;
  for (const auto& connection : connections) sum += connection->messages();
  return sum;
}

Clock::time_point After(double seconds) {
  return Clock::now() +
         std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
}

// What one thread has counted.
struct Counted {
  absl::Status status;
  uint64_t messages = 0;
  double seconds = 0;
  mokv::load::Histogram round_trips;
};

absl::Status Count(const Options& options, Connections& connections, Counted& counted) {
  for (const auto& connection : connections) {
    MOKV_RETURN_IF_ERROR(connection->Serve(/*readable=*/false));
  }
  MOKV_RETURN_IF_ERROR(RunUntil(After(options.load.warmup_seconds), connections));
  for (const auto& connection : connections) connection->round_trips().Clear();
  const uint64_t before = Messages(connections);
  const Clock::time_point begin = Clock::now();
  MOKV_RETURN_IF_ERROR(RunUntil(After(options.load.duration_seconds), connections));
  counted.seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  counted.messages = Messages(connections) - before;
  for (const auto& connection : connections) counted.round_trips.Merge(connection->round_trips());
  return absl::OkStatus();
}

absl::Status Run(const Options& options, std::vector<Connections>& shares) {
  std::vector<Counted> counted(shares.size());
  const double cpu_before = CpuSeconds();
  {
    std::vector<std::jthread> threads;
    for (size_t i = 0; i < shares.size(); ++i) {
      threads.emplace_back([&, i] { counted[i].status = Count(options, shares[i], counted[i]); });
    }
  }
  double rate = 0;
  uint64_t messages = 0;
  mokv::load::Histogram round_trips;
  for (const Counted& share : counted) {
    MOKV_RETURN_IF_ERROR(share.status);
    rate += static_cast<double>(share.messages) / share.seconds;
    messages += share.messages;
    round_trips.Merge(share.round_trips);
  }
  if (messages == 0) return mokv::Unavailable("not one message");
  // The warm-up is in it; it is no dearer than the rest.
  const double cpu_seconds = (CpuSeconds() - cpu_before) * options.load.duration_seconds /
                             (options.load.duration_seconds + options.load.warmup_seconds);
  fmt::print(R"({{"messages_per_second": {:.1f}, "client_cpu_us_per_message": {:.4f}, )"
             R"("p50_us": {:.3f}, "p99_us": {:.3f}}})"
             "\n",
             rate, cpu_seconds * 1e6 / static_cast<double>(messages),
             static_cast<double>(round_trips.Percentile(0.5)) / 1e3,
             static_cast<double>(round_trips.Percentile(0.99)) / 1e3);
  return absl::OkStatus();
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Messages of 1 KiB on streams without end", "stream_load");
  Options options;
  const std::map<std::string, Direction> directions = {{"to-client", Direction::kToClient},
                                                       {"to-server", Direction::kToServer},
                                                       {"both", Direction::kBoth}};
  app.add_option("--direction", options.direction, "to-client, to-server or both (an echo)")
      ->transform(CLI::CheckedTransformer(directions));
  app.add_option("--in-flight", options.in_flight, "Of an echo: messages of a stream");
  app.add_option("--endpoint", options.load.endpoint, "HOST:PORT");
  app.add_option("-c,--connections", options.load.connections);
  app.add_option("-s,--streams", options.load.streams, "Of a connection");
  app.add_option("--threads", options.load.threads, "That share the connections")
      ->check(CLI::PositiveNumber);
  app.add_option("--warmup", options.load.warmup_seconds, "Seconds");
  app.add_option("--duration", options.load.duration_seconds, "Seconds");
  app.add_option("--cacert", options.load.ca_file, "TLS, and who may have signed the server");
  app.add_option("--cert", options.load.cert_file);
  app.add_option("--key", options.load.key_file);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  options.load.threads = std::min(options.load.threads, options.load.connections);
  absl::StatusOr<std::vector<Connections>> shares = Connect(options);
  if (!shares.ok()) {
    fmt::print(stderr, "stream_load: {}\n", mokv::MessageOf(shares.status()));
    return 3;
  }
  if (const absl::Status status = Run(options, *shares); !status.ok()) {
    fmt::print(stderr, "stream_load: {}\n", mokv::MessageOf(status));
    return 1;
  }
  return 0;
}
