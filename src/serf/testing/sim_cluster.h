// SimCluster: many nodes in one virtual network and one virtual time.
//
// Packets are delayed, lost and cut off as told; streams behave like TCP's: what is lost is sent
// again, and costs time. The same seed gives the same run.
//
// Threads: confined to the caller's.
// Units:   virtual time; loss is a probability for each datagram or segment.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/random.h"
#include "serf/protocol.h"

namespace mokv::serf {

struct NetworkOptions {
  double loss = 0;
  Duration latency_min = std::chrono::microseconds(200);
  Duration latency_max = std::chrono::milliseconds(2);
};

class SimCluster {
 public:
  explicit SimCluster(uint64_t seed, NetworkOptions network = {});

  // Adds a running node; its index. Names are node-0000 and so on unless `options` has one.
  size_t AddNode(Options options = {});
  // All know all from the beginning, and nobody talks about it.
  void SeedEverybody();

  size_t size() const { return nodes_.size(); }
  Protocol& node(size_t index) { return *nodes_[index].protocol; }
  MonotonicTime now() const { return now_; }
  NetworkOptions& network() { return network_; }
  uint64_t packets() const { return packets_; }
  const std::string& name(size_t index) const { return nodes_[index].protocol->name(); }
  bool running(size_t index) const { return nodes_[index].running; }

  // The process is gone: packets vanish, connections are refused.
  void Kill(size_t index);
  // The machine is gone or cut off, and nothing answers: groups hear only themselves.
  void Partition(size_t index, int group) { nodes_[index].group = group; }
  // Neither hears the other's datagrams; streams work.
  void BlockDatagrams(size_t a, size_t b) { blocked_ = {a, b}; }
  // A new process in the place of a killed one, with the same name and address.
  void Restart(size_t index);
  void Join(size_t index, size_t seed);
  // Delivers bytes of anybody's making.
  void Inject(size_t to, std::string bytes);
  std::optional<std::string> InjectStream(size_t to, std::string_view bytes);

  void RunFor(Duration duration) { RunUntil(now_ + duration); }
  void RunUntil(MonotonicTime until);
  // False if `condition` did not come true within `limit`. Looked at every `step`.
  bool RunUntilTrue(const std::function<bool()>& condition, Duration limit,
                    Duration step = std::chrono::milliseconds(50));
  // After something was asked of a node directly.
  void Flush(size_t index);

  // Called with the index of the node that heard it.
  std::function<void(size_t, const MemberEvent&)> on_member;
  std::function<void(size_t, const Event&)> on_event;  // All others.
  // Bytes sent, before the network has its way with them; by sender.
  std::function<void(size_t, const OutgoingPacket&)> on_packet;

 private:
  struct SimNode {
    Options options;
    std::unique_ptr<SeededRandom> random;
    std::unique_ptr<Protocol> protocol;
    bool running = true;
    int group = 0;
    uint64_t life = 0;  // Of the process; what was meant for an earlier one is lost.
    MonotonicTime wake = MonotonicTime::Max();
  };
  enum class Kind { kWake, kPacket, kStreamRequest, kStreamReply };
  struct Happening {
    MonotonicTime at;
    uint64_t order = 0;
    Kind kind = Kind::kWake;
    size_t node = 0;
    uint64_t life = 0;
    size_t from = 0;
    StreamId stream = 0;
    std::string bytes;
    absl::Status failure;
    MonotonicTime deadline;

    bool operator<(const Happening& other) const {  // For a heap with the earliest on top.
      return at != other.at ? at > other.at : order > other.order;
    }
  };

  void Push(Happening happening);
  void Handle(Happening& happening);
  void Send(size_t from, OutgoingPacket packet);
  void Open(size_t from, OutgoingStream stream);
  void Answer(const Happening& request, std::optional<std::string> reply);
  Duration Latency();
  // Until a segment and its acknowledgement got through; first resent after `timeout`.
  Duration Reliable(Duration timeout);
  bool Chance(double probability);
  size_t IndexOf(const Endpoint& at) const;
  bool Reaches(size_t from, size_t to) const;

  SeededRandom random_;
  const uint64_t seed_;
  NetworkOptions network_;
  MonotonicTime now_{std::chrono::hours(1)};
  std::vector<SimNode> nodes_;
  std::vector<Happening> heap_;
  std::pair<size_t, size_t> blocked_{SIZE_MAX, SIZE_MAX};
  uint64_t order_ = 0;
  uint64_t packets_ = 0;
};

}  // namespace mokv::serf
