#include "serf/testing/sim_cluster.h"

#include <algorithm>

#include "base/check.h"
#include "base/status.h"

namespace mokv::serf {
namespace {

constexpr uint16_t kPort = 7946;
// As Linux: a lost SYN is sent again after a second, a lost segment after 200 ms.
constexpr Duration kConnectRetry = std::chrono::seconds(1);
constexpr Duration kSegmentRetry = std::chrono::milliseconds(200);

Endpoint AddressOf(size_t index) {
  std::string addr = {10, static_cast<char>(index >> 16), static_cast<char>(index >> 8),
                      static_cast<char>(index)};
  return {addr, kPort};
}

}  // namespace

SimCluster::SimCluster(uint64_t seed, NetworkOptions network)
    : random_(seed), seed_(seed), network_(network) {}

size_t SimCluster::AddNode(Options options) {
  const size_t index = nodes_.size();
  SimNode& node = nodes_.emplace_back();
  if (options.name.empty()) options.name = fmt::format("node-{:04}", index);
  if (options.advertise.port == 0) options.advertise = AddressOf(index);
  node.options = options;
  node.random = std::make_unique<SeededRandom>(seed_ * 1'000'003 + index);
  auto protocol = Protocol::Create(std::move(options), *node.random, now_);
  MOKV_CHECK(protocol.ok());
  node.protocol = std::move(*protocol);
  Flush(index);
  return index;
}

void SimCluster::SeedEverybody() {
  std::vector<const Protocol*> all;
  for (const SimNode& node : nodes_) all.push_back(node.protocol.get());
  for (size_t i = 0; i < nodes_.size(); ++i) {
    nodes_[i].protocol->SeedForTest(now_, all);
    nodes_[i].protocol->TakeOutput();  // A thousand joins of which everybody knows.
  }
}

void SimCluster::Kill(size_t index) {
  nodes_[index].running = false;
  ++nodes_[index].life;
}

void SimCluster::Restart(size_t index) {
  MOKV_CHECK(!nodes_[index].running);
  SimNode& node = nodes_[index];
  node.random = std::make_unique<SeededRandom>(seed_ * 1'000'003 + index + ++order_);
  auto protocol = Protocol::Create(node.options, *node.random, now_);
  MOKV_CHECK(protocol.ok());
  node.protocol = std::move(*protocol);
  node.running = true;
  node.wake = MonotonicTime::Max();
  Flush(index);
}

void SimCluster::Join(size_t index, size_t seed) {
  node(index).Join(now_, node(seed).advertise());
  Flush(index);
}

void SimCluster::Inject(size_t to, std::string bytes) {
  node(to).OnPacket(now_, AddressOf(0xffff), bytes);
  Flush(to);
}

std::optional<std::string> SimCluster::InjectStream(size_t to, std::string_view bytes) {
  auto reply = node(to).OnStreamRequest(now_, bytes);
  Flush(to);
  return reply;
}

void SimCluster::RunUntil(MonotonicTime until) {
  while (!heap_.empty() && heap_.front().at <= until) {
    std::pop_heap(heap_.begin(), heap_.end());
    Happening happening = std::move(heap_.back());
    heap_.pop_back();
    now_ = std::max(now_, happening.at);
    Handle(happening);
  }
  now_ = std::max(now_, until);
}

bool SimCluster::RunUntilTrue(const std::function<bool()>& condition, Duration limit,
                              Duration step) {
  const MonotonicTime until = now_ + limit;
  while (!condition()) {
    if (now_ >= until) return false;
    RunFor(std::min(step, until - now_));
  }
  return true;
}

void SimCluster::Push(Happening happening) {
  happening.order = ++order_;
  heap_.push_back(std::move(happening));
  std::push_heap(heap_.begin(), heap_.end());
}

void SimCluster::Handle(Happening& happening) {
  SimNode& node = nodes_[happening.node];
  if (happening.kind == Kind::kStreamRequest) {
    std::optional<std::string> reply;
    if (node.running && node.life == happening.life) {
      reply = node.protocol->OnStreamRequest(now_, happening.bytes);
      Flush(happening.node);
    }
    return Answer(happening, std::move(reply));
  }
  if (!node.running || node.life != happening.life) return;
  switch (happening.kind) {
    case Kind::kWake:
      if (happening.at != node.wake) return;  // An earlier one came in between.
      node.wake = MonotonicTime::Max();
      node.protocol->Tick(now_);
      break;
    case Kind::kPacket:
      node.protocol->OnPacket(now_, AddressOf(happening.from), happening.bytes);
      break;
    case Kind::kStreamReply:
      if (!happening.failure.ok()) {
        node.protocol->OnStreamReply(now_, happening.stream, happening.failure);
      } else {
        node.protocol->OnStreamReply(now_, happening.stream, happening.bytes);
      }
      break;
    case Kind::kStreamRequest:
      break;
  }
  Flush(happening.node);
}

void SimCluster::Flush(size_t index) {
  Output output = nodes_[index].protocol->TakeOutput();
  for (OutgoingPacket& packet : output.packets) {
    if (on_packet) on_packet(index, packet);
    Send(index, std::move(packet));
  }
  for (OutgoingStream& stream : output.streams) Open(index, std::move(stream));
  for (const Event& event : output.events) {
    if (const auto* member = std::get_if<MemberEvent>(&event)) {
      if (on_member) on_member(index, *member);
    } else if (on_event) {
      on_event(index, event);
    }
  }
  SimNode& node = nodes_[index];
  const MonotonicTime wake = std::max(node.protocol->NextDeadline(), now_);
  if (wake < node.wake) {
    node.wake = wake;
    Push({.at = wake, .kind = Kind::kWake, .node = index, .life = node.life});
  }
}

void SimCluster::Send(size_t from, OutgoingPacket packet) {
  ++packets_;
  const size_t to = IndexOf(packet.to);
  if (to == SIZE_MAX || !Reaches(from, to) || Chance(network_.loss)) return;
  if (blocked_ == std::pair{from, to} || blocked_ == std::pair{to, from}) return;
  Push({.at = now_ + Latency(),
        .kind = Kind::kPacket,
        .node = to,
        .life = nodes_[to].life,
        .from = from,
        .bytes = std::move(packet.bytes)});
}

void SimCluster::Open(size_t from, OutgoingStream stream) {
  const size_t to = IndexOf(stream.to);
  Happening reply{.kind = Kind::kStreamReply,
                  .node = from,
                  .life = nodes_[from].life,
                  .stream = stream.id,
                  .failure = absl::DeadlineExceededError("no answer")};
  const Duration connected = Reliable(kConnectRetry);
  if (to == SIZE_MAX || !Reaches(from, to) || !nodes_[to].running) {
    // A machine without the process refuses; without the machine there is no answer at all.
    const bool refused = to != SIZE_MAX && Reaches(from, to);
    reply.at = stream.deadline;
    if (refused && now_ + connected < stream.deadline) {
      reply.at = now_ + connected;
      reply.failure = FailedPrecondition("refused");
    }
    return Push(std::move(reply));
  }
  const MonotonicTime arrives = now_ + connected + Reliable(kSegmentRetry);
  if (arrives >= stream.deadline) {
    reply.at = stream.deadline;
    return Push(std::move(reply));
  }
  Push({.at = arrives,
        .kind = Kind::kStreamRequest,
        .node = to,
        .life = nodes_[to].life,
        .from = from,
        .stream = stream.id,
        .bytes = std::move(stream.bytes),
        .deadline = stream.deadline});
}

void SimCluster::Answer(const Happening& request, std::optional<std::string> reply) {
  Happening answer{.at = now_ + Reliable(kSegmentRetry),
                   .kind = Kind::kStreamReply,
                   .node = request.from,
                   .life = nodes_[request.from].life,
                   .stream = request.stream,
                   .failure = Unavailable("closed without an answer")};
  if (answer.at > request.deadline || !Reaches(request.node, request.from)) {
    answer.at = request.deadline;
  } else if (reply.has_value()) {
    answer.failure = absl::OkStatus();
    answer.bytes = std::move(*reply);
  }
  Push(std::move(answer));
}

Duration SimCluster::Latency() {
  const auto spread = static_cast<uint64_t>((network_.latency_max - network_.latency_min).count());
  return network_.latency_min + Duration(static_cast<int64_t>(random_.Next() % (spread + 1)));
}

Duration SimCluster::Reliable(Duration timeout) {
  Duration total = Latency() + Latency();
  for (; Chance(1 - (1 - network_.loss) * (1 - network_.loss)); timeout *= 2) total += timeout;
  return total;
}

bool SimCluster::Chance(double probability) {
  return probability > 0 && static_cast<double>(random_.Next() >> 11) * 0x1p-53 < probability;
}

size_t SimCluster::IndexOf(const Endpoint& at) const {
  if (at.addr.size() != 4 || at.port != kPort || at.addr[0] != 10) return SIZE_MAX;
  const auto byte = [&](size_t i) { return size_t{static_cast<uint8_t>(at.addr[i])}; };
  const size_t index = byte(1) << 16 | byte(2) << 8 | byte(3);
  return index < nodes_.size() ? index : SIZE_MAX;
}

bool SimCluster::Reaches(size_t from, size_t to) const {
  return nodes_[from].group == nodes_[to].group;
}

}  // namespace mokv::serf
