#include "serf/queries.h"

#include <re2/re2.h>

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/status.h"

namespace mokv::serf {
namespace {

constexpr uint8_t kRelaySince = 5;  // Version of the memberlist protocol.

// Bounds on what others can make us remember and do.
constexpr size_t kQueriesPerSlotMax = 64;  // Of one Lamport time.
constexpr size_t kAskedQueriesMax = 512;   // Those that wait for the application's answer.
constexpr size_t kOwnQueriesMax = 256;
constexpr Duration kQueryTimeoutMax = std::chrono::minutes(10);
// Of a compiled expression; a longer one does not match, like a broken one.
constexpr int64_t kExpressionBytesMax = 64 << 10;
constexpr uint8_t kRelayFactorMax = 8;
// Between two questions about our own name: whoever has it will go on to announce it.
constexpr Duration kConflictPause = std::chrono::seconds(30);

}  // namespace

Queries::Queries(Environment& env, GossipQueues& queues, NodeTable& nodes, const Members& members)
    : env_(env), queues_(queues), nodes_(nodes), members_(members), next_conflict_(env.now) {
  clock_.Restore(env.options.query_clock);
  // What happened before a restart was heard then.
  if (env.options.query_clock > 0) ignored_before_ = clock_.now();
}

// ---- Being asked.

bool Queries::Record(const QueryMessage& query) {
  Slot& slot = ring_[static_cast<uint32_t>(query.ltime % kRingSlots)];
  if (slot.ltime != query.ltime) slot = {.ltime = query.ltime};
  if (std::find(slot.ids.begin(), slot.ids.end(), query.id) != slot.ids.end()) return false;
  if (slot.ids.size() >= kQueriesPerSlotMax) {
    env_.Dropped(Drop::kQueueFull);
    return false;
  }
  slot.ids.push_back(query.id);
  return true;
}

bool Queries::OnQuery(const QueryMessage& query) {
  const bool has_empty_filter =
      std::any_of(query.filters.begin(), query.filters.end(), [](auto f) { return f.empty(); });
  // Each of these crashes agents that we would pass the query on to.
  if (has_empty_filter || LacksKey(query) || query.name.empty()) {
    env_.Dropped(Drop::kMalformed);
    return false;
  }
  if (!clock_.Witness(query.ltime)) {
    env_.Dropped(Drop::kAbsurd);
    return false;
  }
  if (query.ltime < ignored_before_ || query.ltime + kRingSlots < clock_.now()) return false;
  if (!Record(query)) return false;
  ++env_.stats.queries_received;
  const bool pass_on = (query.flags & kQueryFlagNoBroadcast) == 0;
  if (!IsForUs(query)) return pass_on;
  const Duration timeout = std::clamp(Duration(query.timeout_ns), Duration(0), kQueryTimeoutMax);
  const Asked asked{.ltime = query.ltime,
                    .id = query.id,
                    .source = {std::string(query.addr), query.port},
                    .source_node = std::string(query.source_node),
                    .relay_factor = std::min(query.relay_factor, kRelayFactorMax),
                    .deadline = env_.now + timeout};
  if ((query.flags & kQueryFlagAck) != 0) {
    SendResponse(asked, kResponseFlagAck, {}).IgnoreError();
  }
  if (query.name.starts_with(kInternalQueryPrefix)) {
    if (const auto answer = AnswerInternalQuery(env_, members_, query))
      SendResponse(asked, 0, *answer).IgnoreError();
  } else if (asked_.size() >= kAskedQueriesMax) {
    env_.Dropped(Drop::kQueueFull);
  } else {
    const QueryKey key = ++last_key_;
    asked_.emplace(key, asked);
    env_.output.events.push_back(IncomingQuery{.key = key,
                                               .name = std::string(query.name),
                                               .payload = std::string(query.payload),
                                               .source_node = asked.source_node,
                                               .deadline = asked.deadline});
  }
  return pass_on;
}

bool Queries::IsForUs(const QueryMessage& query) const {
  return std::all_of(query.filters.begin(), query.filters.end(),
                     [&](std::string_view filter) { return PassesFilter(filter); });
}

bool Queries::PassesFilter(std::string_view filter) const {
  MOKV_CHECK(!filter.empty());
  const std::string_view body = filter.substr(1);
  if (filter.front() == 0) {
    std::vector<std::string_view> names;
    return DecodeNodeFilter(body, &names) &&
           std::find(names.begin(), names.end(), env_.options.name) != names.end();
  }
  TagFilter tag;
  if (filter.front() != 1 || !Decode(body, &tag)) return false;
  RE2::Options options;
  options.set_log_errors(false);
  options.set_max_mem(kExpressionBytesMax);
  const RE2 expression(re2::StringPiece(tag.expression.data(), tag.expression.size()), options);
  if (!expression.ok()) return false;
  const Tags tags = DecodeTags(nodes_.self().meta);
  const auto found = tags.find(std::string(tag.tag));
  return RE2::PartialMatch(found == tags.end() ? std::string() : found->second, expression);
}

absl::Status Queries::Respond(QueryKey query, std::string_view payload) {
  const auto asked = asked_.extract(query);
  if (asked.empty()) return absl::NotFoundError("answered already, or too late");
  if (env_.now > asked.mapped().deadline) {
    return absl::DeadlineExceededError("the query's time is up");
  }
  return SendResponse(asked.mapped(), 0, payload);
}

absl::Status Queries::SendResponse(const Asked& query, uint32_t flags, std::string_view payload) {
  const std::string message = Encode(QueryResponseMessage{.ltime = query.ltime,
                                                          .id = query.id,
                                                          .from = env_.options.name,
                                                          .flags = flags,
                                                          .payload = payload});
  if (message.size() > kQueryResponseBytesMax) {
    return InvalidArgument("an answer may have {} bytes altogether; this one has {}",
                           kQueryResponseBytesMax, message.size());
  }
  if (!IsValidAddress(query.source.addr) || query.source.port == 0) {
    return InvalidArgument("the query does not say where answers go");
  }
  if (query.source == env_.options.advertise) {
    OnResponse(std::string_view(message).substr(1));  // Our own question: no packet needed.
  } else {
    env_.SendUser(query.source, message);
  }
  Relay(query, message);
  return absl::OkStatus();
}

void Queries::Relay(const Asked& query, std::string_view message) {
  if (query.relay_factor == 0 || members_.all().size() < size_t{query.relay_factor} + 1) {
    return;
  }
  const std::string relay = EncodeRelay(
      {.addr = query.source.addr, .port = query.source.port, .node = query.source_node}, message);
  const auto helpers = nodes_.Random(query.relay_factor, [&](const ListedNode& node) {
    return node.state == NodeState::kAlive && !nodes_.IsSelf(node) && node.Speaks(kRelaySince);
  });
  for (const ListedNode* helper : helpers) env_.SendUser(helper->at, relay);
}

void Queries::OnRelay(std::string_view body) {
  RelayHeader header;
  std::string_view message;
  if (!DecodeRelay(body, &header, &message) || !IsValidAddress(header.addr) || header.port == 0 ||
      message.empty()) {
    return env_.Dropped(Drop::kMalformed);
  }
  const Endpoint to{std::string(header.addr), header.port};
  // A relay of a relay to ourselves would have us talk to ourselves for as long as it is nested.
  if (to == env_.options.advertise) {
    if (message.front() == static_cast<char>(SerfType::kQueryResponse)) {
      OnResponse(message.substr(1));
    }
    return;
  }
  env_.SendUser(to, message);
}

// ---- Asking.

Duration Queries::DefaultTimeout() const {
  const Timing& timing = env_.options.timing;
  const double alive = static_cast<double>(members_.OthersAlive() + 1);
  return timing.gossip_interval * timing.query_timeout_mult *
         static_cast<int64_t>(std::ceil(std::log10(alive + 1)));
}

absl::StatusOr<QueryKey> Queries::Start(const QueryRequest& request, bool conflict) {
  if (own_.size() >= kOwnQueriesMax) {
    return ResourceExhausted("{} queries are under way already", kOwnQueriesMax);
  }
  std::vector<std::string> filters;
  if (!request.nodes.empty()) filters.push_back(EncodeNodeFilter(request.nodes));
  for (const auto& [tag, expression] : request.tags) {
    filters.push_back(EncodeTagFilter(tag, expression));
  }
  const Duration timeout = request.timeout > Duration::zero() ? request.timeout : DefaultTimeout();
  const QueryMessage query{.ltime = clock_.now(),
                           .id = static_cast<uint32_t>(env_.random.Next()),
                           .addr = env_.options.advertise.addr,
                           .port = env_.options.advertise.port,
                           .source_node = env_.options.name,
                           .filters = {filters.begin(), filters.end()},
                           .flags = request.want_acks ? kQueryFlagAck : 0,
                           .relay_factor = request.relay_factor,
                           .timeout_ns = timeout.count(),
                           .name = request.name,
                           .payload = request.payload};
  const std::string message = Encode(query);
  if (message.size() > kQueryBytesMax) {
    return InvalidArgument("a query may have {} bytes altogether; this one has {}", kQueryBytesMax,
                           message.size());
  }
  const QueryKey key = ++last_key_;
  own_.emplace(key, Own{.ltime = query.ltime,
                        .id = query.id,
                        .deadline = env_.now + timeout,
                        .conflict = conflict});
  OnQuery(query);
  queues_.queries.Push(message);
  return key;
}

void Queries::OnResponse(std::string_view body) {
  QueryResponseMessage response;
  if (!Decode(body, &response) || !IsValidName(response.from))
    return env_.Dropped(Drop::kMalformed);
  const auto found = std::find_if(own_.begin(), own_.end(), [&](const auto& query) {
    return query.second.ltime == response.ltime && query.second.id == response.id;
  });
  if (found == own_.end()) return env_.Dropped(Drop::kStale);
  auto& [key, query] = *found;
  const bool is_ack = (response.flags & kResponseFlagAck) != 0;
  auto& heard = is_ack ? query.acked : query.answered;
  // One from each node counts; relays bring more copies. Strangers are bounded like members.
  if (heard.contains(response.from)) return;
  if (heard.size() >= env_.options.members_max) return env_.Dropped(Drop::kTableFull);
  heard.emplace(response.from);
  if (query.conflict) {
    if (is_ack) return;
    const std::optional<bool> for_us = IsVoteFor(env_.options.advertise, response.payload);
    if (!for_us.has_value()) return env_.Dropped(Drop::kMalformed);
    query.votes_for_us += *for_us ? 1 : 0;
  } else if (is_ack) {
    env_.output.events.push_back(QueryAck{key, std::string(response.from)});
  } else {
    env_.output.events.push_back(
        QueryResponse{key, std::string(response.from), std::string(response.payload)});
  }
}

void Queries::Expire() {
  for (auto it = own_.begin(); it != own_.end();) {
    if (env_.now < it->second.deadline) {
      ++it;
      continue;
    }
    const QueryKey key = it->first;
    const Own query = std::move(it->second);
    it = own_.erase(it);
    if (query.conflict) {
      FinishConflict(query);
    } else {
      env_.output.events.push_back(QueryDone{key});
    }
  }
  std::erase_if(asked_, [&](const auto& query) { return env_.now > query.second.deadline; });
}

MonotonicTime Queries::NextDeadline() const {
  MonotonicTime next = MonotonicTime::Max();
  for (const auto& [key, query] : own_) next = std::min(next, query.deadline);
  return next;
}

// ---- Whose name?

void Queries::OnNameTaken(const Endpoint& other) {
  if (conflict_with_.has_value() || env_.now < next_conflict_ || members_.leaving()) return;
  const QueryRequest request{.name = std::string(kConflictQuery), .payload = env_.options.name};
  if (!Start(request, /*conflict=*/true).ok()) return;
  conflict_with_ = other;
  next_conflict_ = env_.now + kConflictPause;
}

void Queries::FinishConflict(const Own& query) {
  const Endpoint other = conflict_with_.value_or(Endpoint{});
  conflict_with_.reset();
  const size_t votes = query.answered.size();
  // Without an answer there is no verdict: a stray record must not stop a node that is alone.
  // (Agents give up in that case.)
  if (votes == 0 || query.votes_for_us >= votes / 2 + 1) return;
  env_.output.events.push_back(NameConflictLost{other});
}

}  // namespace mokv::serf
