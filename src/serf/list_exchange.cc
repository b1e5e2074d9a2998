#include "serf/list_exchange.h"

#include <absl/container/flat_hash_set.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "base/status.h"

namespace mokv::serf {
namespace {

// Up to this many nodes, exchanges keep their interval. Each doubling beyond it adds one interval,
// so that the load of whole lists stays bearable.
constexpr size_t kPeriodScaleFrom = 32;
// After a failed member has answered: when to exchange lists with it again, in gossip intervals.
constexpr std::array<int, 2> kFollowUps = {5, 20};
// After a failed member came back: when to catch up, at the earliest, in gossip intervals.
constexpr uint64_t kCatchUpAfter = 25;

}  // namespace

ListExchange::ListExchange(Environment& env, NodeTable& nodes, Members& members, UserEvents& events,
                           Queries& queries)
    : env_(env),
      nodes_(nodes),
      members_(members),
      events_(events),
      queries_(queries),
      // Each node tries at a moment of its own: when a partition heals, one of them is the first.
      next_reconnect_(env.now +
                      env.options.timing.reconnect_interval * (env.random.Next() % 1024) / 1024) {}

// ---- When, and with whom.

void ListExchange::Start() {
  const Duration interval = env_.options.timing.push_pull_interval;
  next_refresh_ = env_.now + interval + env_.RandomBelow(interval);
}

void ListExchange::RefreshIfDue() {
  if (env_.now < next_refresh_) return;
  next_refresh_ = env_.now + RefreshPeriod();
  RefreshWithAnybody();
}

Duration ListExchange::RefreshPeriod() const {
  const Duration interval = env_.options.timing.push_pull_interval;
  if (nodes_.size() <= kPeriodScaleFrom) return interval;
  const double doublings = std::ceil(std::log2(static_cast<double>(nodes_.size())) -
                                     std::log2(static_cast<double>(kPeriodScaleFrom)));
  return interval * (static_cast<int64_t>(doublings) + 1);
}

void ListExchange::RefreshWithAnybody() {
  const auto partner = nodes_.Random(1, [&](const ListedNode& node) {
    return node.state == NodeState::kAlive && !nodes_.IsSelf(node);
  });
  if (!partner.empty()) Begin({.with = partner.front()->at}, /*join=*/false);
}

void ListExchange::Join(const Endpoint& with) {
  if (members_.leaving()) {
    env_.output.events.push_back(JoinResult{with, FailedPrecondition("this node is leaving")});
    return;
  }
  Begin({.purpose = Purpose::kJoin, .with = with}, /*join=*/true);
}

void ListExchange::ReconnectIfDue() {
  if (env_.now >= next_reconnect_) {
    next_reconnect_ = env_.now + env_.options.timing.reconnect_interval;
    ReconnectWithAnybody();
  }
  // Two nodes that take each other for dead do not gossip with each other. After one exchange both
  // refute, but each only on its own side. The next exchange brings these refutations across;
  // without it they would wait for somebody's next reconnection.
  while (!follow_ups_.empty() && follow_ups_.begin()->first <= env_.now) {
    Pending next = follow_ups_.extract(follow_ups_.begin()).mapped();
    if (!members_.leaving()) Begin(std::move(next), /*join=*/false);
  }
  // After a partition thousands of pieces of news spread at once, and gossip reaches nearly
  // everybody: a node that still misses some compares lists, rather than wait for its turn.
  if (env_.now >= next_catch_up_) {
    next_catch_up_ = MonotonicTime::Max();
    const bool misses_some = members_.CountOf(MemberStatus::kFailed) > 0;
    if (misses_some && !members_.leaving()) RefreshWithAnybody();
  }
}

void ListExchange::ReconnectWithAnybody() {
  if (members_.leaving() || members_.CountOf(MemberStatus::kFailed) == 0) return;
  std::vector<const ListedNode*> failed;
  for (const auto& [name, info] : members_.all()) {
    if (info.status == MemberStatus::kFailed) failed.push_back(info.node.get());
  }
  // All nodes together try each failed member about once an interval, however many they are.
  const size_t alive = std::max<size_t>(1, members_.all().size() - failed.size());
  if (env_.random.Next() % alive >= failed.size()) return;
  const ListedNode* chosen = failed[env_.random.Next() % failed.size()];
  Begin({.purpose = Purpose::kReconnect, .with = chosen->at}, /*join=*/true);
}

void ListExchange::OnReturn() {
  // Not before it is calm again: by then gossip has told all that it will.
  next_catch_up_ = env_.now + env_.options.timing.gossip_interval *
                                  (kCatchUpAfter + env_.random.Next() % kCatchUpAfter);
}

MonotonicTime ListExchange::NextDeadline() const {
  const MonotonicTime next = std::min({next_refresh_, next_reconnect_, next_catch_up_});
  return follow_ups_.empty() ? next : std::min(next, follow_ups_.begin()->first);
}

// ---- One exchange.

void ListExchange::Begin(Pending exchange, bool join) {
  ++env_.stats.push_pulls_begun;
  exchange.started = env_.now;
  const StreamId stream = env_.BeginStream(exchange.with, OwnLists(join),
                                           env_.now + env_.options.timing.stream_timeout);
  pending_.emplace(stream, std::move(exchange));
}

std::string ListExchange::OwnLists(bool join) const {
  PushPullState state{.ltime = members_.clock().now(),
                      .event_ltime = events_.clock().now(),
                      .query_ltime = queries_.clock().now()};
  state.status_ltimes.reserve(members_.all().size());
  for (const auto& [name, info] : members_.all()) {
    state.status_ltimes.emplace_back(name, info.status_ltime);
    if (info.status == MemberStatus::kLeft) state.left_members.push_back(name);
  }
  state.events = events_.Remembered();
  return Encode(join, nodes_.Records(), Encode(state));
}

bool ListExchange::Read(std::string_view body, PushPull* lists) const {
  return Decode(body, 2 * env_.options.members_max, lists);
}

void ListExchange::MergeSerfState(std::string_view bytes, bool is_join) {
  PushPullState state;
  if (bytes.empty()) return;
  if (bytes.front() != static_cast<char>(SerfType::kPushPull) || !Decode(bytes.substr(1), &state)) {
    return env_.Dropped(Drop::kMalformed);
  }
  if (!members_.clock().WitnessNext(state.ltime)) env_.Dropped(Drop::kAbsurd);
  if (!events_.clock().WitnessNext(state.event_ltime)) env_.Dropped(Drop::kAbsurd);
  if (!queries_.clock().WitnessNext(state.query_ltime)) env_.Dropped(Drop::kAbsurd);

  // Nothing of this is passed on: everybody exchanges lists.
  const absl::flat_hash_set<std::string_view> left(state.left_members.begin(),
                                                   state.left_members.end());
  for (const auto& [name, ltime] : state.status_ltimes) {
    if (left.contains(name)) {
      members_.OnLeaveIntent({.ltime = ltime + 1, .node = name});
    } else {
      members_.OnJoinIntent({.ltime = ltime, .node = name});
    }
  }
  if (is_join) events_.IgnoreBefore(state.event_ltime);
  for (const auto& [place, slot] : state.events) {
    for (const auto& [name, payload] : slot.events) {
      events_.OnEvent({.ltime = slot.ltime, .name = name, .payload = payload});
    }
  }
}

std::optional<ListExchange::Pending> ListExchange::Take(StreamId stream) {
  auto found = pending_.extract(stream);
  if (found.empty()) return std::nullopt;
  return std::move(found.mapped());
}

absl::Status ListExchange::ReadAnswer(std::string_view plain, PushPull* lists) const {
  const auto type = static_cast<MessageType>(plain.front());
  std::string_view error;
  if (type == MessageType::kPushPull && Read(plain.substr(1), lists)) return absl::OkStatus();
  if (type == MessageType::kError && DecodeError(plain.substr(1), &error)) {
    return FailedPrecondition("the other node refuses: {}", error.substr(0, 256));
  }
  env_.Dropped(Drop::kMalformed);
  return InvalidArgument("the other node's answer cannot be read");
}

void ListExchange::OnDone(const Pending& exchange, const absl::Status& status) {
  if (status.ok()) {
    const auto taken = static_cast<uint64_t>((env_.now - exchange.started).count());
    env_.stats.push_pull_time_ns += taken;
    env_.stats.push_pull_time_ns_max = std::max(env_.stats.push_pull_time_ns_max, taken);
  } else {
    ++env_.stats.push_pulls_failed;
  }
  if (exchange.purpose == Purpose::kJoin) {
    env_.output.events.push_back(JoinResult{exchange.with, status});
    if (status.ok() && !members_.leaving()) members_.AnnounceJoin();
  } else if (exchange.purpose == Purpose::kReconnect && status.ok() &&
             exchange.round < kFollowUps.size()) {
    Pending next = exchange;
    const int pause = kFollowUps[next.round++];
    follow_ups_.emplace(env_.now + env_.options.timing.gossip_interval * pause, std::move(next));
  }
}

}  // namespace mokv::serf
