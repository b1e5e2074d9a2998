// Queries: questions to the cluster, answered directly to whoever asked.
#include <re2/re2.h>

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/status.h"
#include "serf/core.h"

namespace mokv::serf {
namespace {

constexpr std::string_view kInternalPrefix = "_serf_";
constexpr uint8_t kRelaySince = 5;  // Version of the memberlist protocol.

// Bounds on what others can make us remember and do.
constexpr size_t kQueriesPerSlotMax = 64;  // Of one Lamport time.
constexpr size_t kAskedQueriesMax = 512;   // That wait for the application's answer.
constexpr size_t kOwnQueriesMax = 256;
constexpr Duration kQueryTimeoutMax = std::chrono::minutes(10);
// Of a compiled expression; a longer one does not match, like a broken one.
constexpr int64_t kExpressionBytesMax = 64 << 10;
constexpr uint8_t kRelayFactorMax = 8;

}  // namespace

// ---- Being asked.

bool Core::RecordQuery(const QueryMessage& query) {
  QuerySlot& slot = query_ring_[static_cast<uint32_t>(query.ltime % kRingSlots)];
  if (slot.ltime != query.ltime) slot = {.ltime = query.ltime};
  if (std::find(slot.ids.begin(), slot.ids.end(), query.id) != slot.ids.end()) return false;
  if (slot.ids.size() >= kQueriesPerSlotMax) {
    Dropped(Drop::kQueueFull);
    return false;
  }
  slot.ids.push_back(query.id);
  return true;
}

bool Core::OnQuery(const QueryMessage& query) {
  const bool is_key_query = query.name == "_serf_install-key" || query.name == "_serf_use-key" ||
                            query.name == "_serf_remove-key";
  const bool has_empty_filter =
      std::any_of(query.filters.begin(), query.filters.end(), [](auto f) { return f.empty(); });
  // Either crashes agents that we would pass it on to.
  if (has_empty_filter || (is_key_query && query.payload.empty()) || query.name.empty()) {
    Dropped(Drop::kMalformed);
    return false;
  }
  if (!query_clock_.Witness(query.ltime)) {
    Dropped(Drop::kAbsurd);
    return false;
  }
  if (query.ltime < query_min_ || query.ltime + kRingSlots < query_clock_.now()) return false;
  if (!RecordQuery(query)) return false;
  ++stats_.queries_received;
  const bool pass_on = (query.flags & kQueryFlagNoBroadcast) == 0;
  if (!IsForUs(query)) return pass_on;
  const Duration timeout = std::clamp(Duration(query.timeout_ns), Duration(0), kQueryTimeoutMax);
  const AskedQuery asked{.ltime = query.ltime,
                         .id = query.id,
                         .source = {std::string(query.addr), query.port},
                         .source_node = std::string(query.source_node),
                         .relay_factor = std::min(query.relay_factor, kRelayFactorMax),
                         .deadline = now_ + timeout};
  if ((query.flags & kQueryFlagAck) != 0) {
    SendResponse(asked, kResponseFlagAck, {}).IgnoreError();
  }
  if (query.name.starts_with(kInternalPrefix)) {
    OnInternalQuery(query, asked);
  } else if (asked_.size() >= kAskedQueriesMax) {
    Dropped(Drop::kQueueFull);
  } else {
    const QueryKey key = ++last_query_;
    asked_.emplace(key, asked);
    output_.events.push_back(IncomingQuery{.key = key,
                                           .name = std::string(query.name),
                                           .payload = std::string(query.payload),
                                           .source_node = asked.source_node,
                                           .deadline = asked.deadline});
  }
  return pass_on;
}

bool Core::IsForUs(const QueryMessage& query) const {
  return std::all_of(query.filters.begin(), query.filters.end(),
                     [&](std::string_view filter) { return PassesFilter(filter); });
}

bool Core::PassesFilter(std::string_view filter) const {
  MOKV_CHECK(!filter.empty());
  const std::string_view body = filter.substr(1);
  if (filter.front() == 0) {
    std::vector<std::string_view> names;
    return DecodeNodeFilter(body, &names) &&
           std::find(names.begin(), names.end(), options_.name) != names.end();
  }
  TagFilter tag;
  if (filter.front() != 1 || !Decode(body, &tag)) return false;
  RE2::Options options;
  options.set_log_errors(false);
  options.set_max_mem(kExpressionBytesMax);
  const RE2 expression(re2::StringPiece(tag.expression.data(), tag.expression.size()), options);
  if (!expression.ok()) return false;
  const Tags tags = DecodeTags(memberlist_.self().meta);
  const auto found = tags.find(std::string(tag.tag));
  return RE2::PartialMatch(found == tags.end() ? std::string() : found->second, expression);
}

absl::Status Core::Respond(MonotonicTime now, QueryKey query, std::string_view payload) {
  now_ = now;
  const auto found = asked_.find(query);
  if (found == asked_.end()) return absl::NotFoundError("answered already, or too late");
  const AskedQuery asked = found->second;
  asked_.erase(found);
  if (now > asked.deadline) return absl::DeadlineExceededError("the query's time is up");
  return SendResponse(asked, 0, payload);
}

absl::Status Core::SendResponse(const AskedQuery& query, uint32_t flags, std::string_view payload) {
  const std::string message = Encode(QueryResponseMessage{.ltime = query.ltime,
                                                          .id = query.id,
                                                          .from = options_.name,
                                                          .flags = flags,
                                                          .payload = payload});
  if (message.size() > kQueryResponseBytesMax) {
    return InvalidArgument("an answer may have {} bytes altogether; this one has {}",
                           kQueryResponseBytesMax, message.size());
  }
  if (!IsValidAddress(query.source.addr) || query.source.port == 0) {
    return InvalidArgument("the query does not say where answers go");
  }
  SendToNode(query.source, message);
  Relay(query, message);
  return absl::OkStatus();
}

void Core::SendToNode(const Endpoint& to, std::string_view message) {
  // Our own question: no packet needed.
  if (to == options_.advertise) return OnUserMessage(message);
  memberlist_.SendUser(now_, to, message);
}

void Core::Relay(const AskedQuery& query, std::string_view message) {
  if (query.relay_factor == 0 || members_.size() < size_t{query.relay_factor} + 1) return;
  const std::string relay = EncodeRelay(
      {.addr = query.source.addr, .port = query.source.port, .node = query.source_node}, message);
  const auto helpers = memberlist_.RandomNodes(query.relay_factor, [&](const Node& node) {
    return node.state == NodeState::kAlive && node.name != options_.name &&
           node.versions[kProtocolMax] >= kRelaySince;
  });
  for (const Node* helper : helpers) memberlist_.SendUser(now_, helper->at, relay);
}

void Core::OnRelay(std::string_view body) {
  RelayHeader header;
  std::string_view message;
  if (!DecodeRelay(body, &header, &message) || !IsValidAddress(header.addr) || header.port == 0 ||
      message.empty()) {
    return Dropped(Drop::kMalformed);
  }
  const Endpoint to{std::string(header.addr), header.port};
  // A relay of a relay to ourselves would have us talk to ourselves for as long as it is nested.
  if (to == options_.advertise) {
    if (message.front() == static_cast<char>(SerfType::kQueryResponse)) OnUserMessage(message);
    return;
  }
  memberlist_.SendUser(now_, to, message);
}

// ---- Asking.

Duration Core::DefaultQueryTimeout() const {
  const double alive = static_cast<double>(OthersAlive() + 1);
  return options_.timing.gossip_interval * options_.timing.query_timeout_mult *
         static_cast<int64_t>(std::ceil(std::log10(alive + 1)));
}

absl::StatusOr<QueryKey> Core::Query(MonotonicTime now, const QueryRequest& request) {
  now_ = now;
  return StartQuery(request, /*conflict=*/false);
}

absl::StatusOr<QueryKey> Core::StartQuery(const QueryRequest& request, bool conflict) {
  if (own_queries_.size() >= kOwnQueriesMax) {
    return ResourceExhausted("{} queries are under way already", kOwnQueriesMax);
  }
  std::vector<std::string> filters;
  if (!request.nodes.empty()) filters.push_back(EncodeNodeFilter(request.nodes));
  for (const auto& [tag, expression] : request.tags) {
    filters.push_back(EncodeTagFilter(tag, expression));
  }
  const Duration timeout =
      request.timeout > Duration::zero() ? request.timeout : DefaultQueryTimeout();
  const QueryMessage query{.ltime = query_clock_.now(),
                           .id = static_cast<uint32_t>(random_.Next()),
                           .addr = options_.advertise.addr,
                           .port = options_.advertise.port,
                           .source_node = options_.name,
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
  const QueryKey key = ++last_query_;
  own_queries_.emplace(
      key,
      OwnQuery{
          .ltime = query.ltime, .id = query.id, .deadline = now_ + timeout, .conflict = conflict});
  OnQuery(query);
  queries_.Push(message);
  return key;
}

void Core::OnQueryResponse(std::string_view body) {
  QueryResponseMessage response;
  if (!Decode(body, &response) || !IsValidName(response.from)) return Dropped(Drop::kMalformed);
  const auto found = std::find_if(own_queries_.begin(), own_queries_.end(), [&](const auto& query) {
    return query.second.ltime == response.ltime && query.second.id == response.id;
  });
  if (found == own_queries_.end()) return Dropped(Drop::kStale);
  auto& [key, query] = *found;
  const bool is_ack = (response.flags & kResponseFlagAck) != 0;
  auto& heard = is_ack ? query.acked : query.answered;
  // One each; more come by relays. Strangers are bounded like members.
  if (heard.contains(response.from)) return;
  if (heard.size() >= options_.members_max) return Dropped(Drop::kTableFull);
  heard.emplace(response.from);
  if (query.conflict) {
    if (!is_ack) CountConflictVote(query, response.payload);
  } else if (is_ack) {
    output_.events.push_back(QueryAck{key, std::string(response.from)});
  } else {
    output_.events.push_back(
        QueryResponse{key, std::string(response.from), std::string(response.payload)});
  }
}

void Core::ExpireQueries() {
  for (auto it = own_queries_.begin(); it != own_queries_.end();) {
    if (now_ < it->second.deadline) {
      ++it;
      continue;
    }
    const QueryKey key = it->first;
    const OwnQuery query = std::move(it->second);
    it = own_queries_.erase(it);
    if (query.conflict) {
      FinishConflict(query);
    } else {
      output_.events.push_back(QueryDone{key});
    }
  }
  std::erase_if(asked_, [&](const auto& query) { return now_ > query.second.deadline; });
}

}  // namespace mokv::serf
