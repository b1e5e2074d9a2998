#include "serf/shell/agent_impl.h"

#include <algorithm>

#include "base/check.h"
#include "base/file.h"
#include "base/logging.h"
#include "base/status.h"
#include "serf/keyring_file.h"
#include "serf/shell/socket_address.h"

namespace mokv::serf {
namespace {

// A port that is free for TCP may be taken for UDP. Then another one is tried.
constexpr int kPortTries = 32;
// Between two copies for other threads, when nothing but round-trip times and counters changed.
constexpr Duration kPublishPause = std::chrono::milliseconds(250);
// Members come and go in bursts, clocks change with each event: one write for many changes.
constexpr Duration kRememberMembersAfter = std::chrono::milliseconds(500);
constexpr Duration kRememberClocksAfter = std::chrono::seconds(5);

}  // namespace

Agent::Impl::Impl(net::IoThread& thread, Agent::Options options, Callbacks callbacks)
    : thread_(thread),
      options_(std::move(options)),
      callbacks_(std::move(callbacks)),
      clock_(SystemClock()),
      published_(std::make_shared<std::vector<Member>>()) {
  timer_.emplace(thread);
  remember_timer_.emplace(thread);
  resolve_timer_.emplace(thread);
  resolver_.emplace(thread.context());
}

// ---- Opening.

absl::Status Agent::Impl::Open() {
  asio::error_code error;
  const asio::ip::address address = asio::ip::make_address(options_.bind_address.host, error);
  if (error) {
    return InvalidArgument("{} is not an address to bind to", options_.bind_address.host);
  }
  Endpoint bound{ToBytes(address), options_.bind_address.port};
  MOKV_RETURN_IF_ERROR(OpenSockets(bound));
  bound.port = streams_port_;
  MOKV_ASSIGN_OR_RETURN(const Endpoint advertised, Advertised(bound));
  protocol_options_ = serf::Options{.name = options_.node_name,
                                    .advertise = advertised,
                                    .tags = options_.tags,
                                    .timing = options_.timing,
                                    .keys = options_.encryption_keys};
  ReadRemembered(&protocol_options_);
  MOKV_ASSIGN_OR_RETURN(protocol_, Protocol::Create(protocol_options_, random_, Now()));
  Publish();
  return absl::OkStatus();
}

absl::Status Agent::Impl::OpenSockets(const Endpoint& bind) {
  const Streams::Limits limits{.inbound_max = options_.streams_max,
                               .timeout = options_.timing.stream_timeout};
  for (int attempt = 1;; ++attempt) {
    MOKV_ASSIGN_OR_RETURN(streams_, Streams::Open(thread_, bind, limits));
    auto datagrams = Datagrams::Open(thread_, {bind.addr, streams_->port()});
    if (datagrams.ok()) {
      datagrams_ = std::move(*datagrams);
      streams_port_ = streams_->port();
      return absl::OkStatus();
    }
    if (bind.port != 0 || attempt == kPortTries) return datagrams.status();
  }
}

absl::StatusOr<Endpoint> Agent::Impl::Advertised(const Endpoint& bound) {
  if (options_.advertise_address.host.empty()) {
    if (IsValidAddress(bound.addr)) return bound;
    return InvalidArgument("{} stands for all addresses; others need one that they can reach",
                           options_.bind_address.host);
  }
  net::HostPort wanted = options_.advertise_address;
  if (wanted.port == 0) wanted.port = bound.port;
  asio::error_code error;
  const asio::ip::address address = asio::ip::make_address(wanted.host, error);
  if (!error) return Endpoint{ToBytes(address), wanted.port};
  // A name: to be looked up once the agent runs, since that may take its time.
  options_.advertise_address.port = wanted.port;
  advertised_ = false;
  return Endpoint{ToBytes(asio::ip::address_v4::loopback()), wanted.port};
}

void Agent::Impl::ReadRemembered(serf::Options* options) {
  if (options_.peers_path.empty()) return;
  const auto text = PosixFileSystem().ReadFile(options_.peers_path);
  if (!text.ok()) {
    if (!absl::IsNotFound(text.status())) {
      LogWarn("the remembered peers cannot be read",
              {{"path", options_.peers_path}, {"error", MessageOf(text.status())}});
    }
    return;
  }
  remembered_ = ParseRemembered(*text);
  options->clock = remembered_.clock;
  options->event_clock = remembered_.event_clock;
  options->query_clock = remembered_.query_clock;
}

// ---- Any thread.

void Agent::Impl::Post(absl::AnyInvocable<void(Impl&)> task) {
  thread_.Post([self = shared_from_this(), task = std::move(task)]() mutable {
    if (!self->stopped_) task(*self);
  });
}

std::shared_ptr<const std::vector<Member>> Agent::Impl::members() const {
  const MutexLock lock(mutex_);
  return published_;
}

Stats Agent::Impl::stats() const {
  const MutexLock lock(mutex_);
  return published_stats_;
}

// ---- Life.

void Agent::Impl::Start() {
  MOKV_CHECK(!started_);
  if (!advertised_) return WaitForAdvertised();
  started_ = true;
  datagrams_->Start([this](const Endpoint& from,
                           std::string_view packet) { protocol_->OnPacket(Now(), from, packet); },
                    [this] { Flush(); });
  streams_->Start([this](std::string_view message) {
    auto reply = protocol_->OnStreamRequest(Now(), message);
    Flush();
    return reply;
  });
  std::vector<net::HostPort> peers;
  for (const RememberedPeer& peer : remembered_.peers) {
    auto address = net::ParseHostPort(peer.address);
    if (address.ok() && peer.name != options_.node_name) peers.push_back(std::move(*address));
  }
  if (!peers.empty()) Join(std::move(peers), /*remembered=*/true, nullptr);
  for (auto& join : std::exchange(held_joins_, {})) join();
  Flush();
}

void Agent::Impl::Leave(absl::AnyInvocable<void()> done) {
  for (const JoinTaskPtr& task : std::set(join_tasks_)) EndJoin(task);
  if (left_ || !advertised_) {  // Nobody has heard of this node, or everybody knows.
    if (done) done();
    return;
  }
  leave_done_.push_back(std::move(done));
  protocol_->Leave(Now());
  Flush();
}

void Agent::Impl::Stop() {
  if (stopped_) return;
  Remember();
  stopped_ = true;
  timer_.reset();
  remember_timer_.reset();
  resolve_timer_.reset();
  held_joins_.clear();
  resolver_.reset();
  for (const JoinTaskPtr& task : join_tasks_) task->timer.reset();
  join_tasks_.clear();
  queries_.clear();
  leave_done_.clear();
  if (datagrams_ != nullptr) datagrams_->Close();
  if (streams_ != nullptr) streams_->Close();
}

// ---- What the protocol wants.

void Agent::Impl::Flush() {
  // Callbacks may ask the protocol for more; the outer call carries that out.
  if (flushing_ || stopped_) return;
  flushing_ = true;
  for (;;) {
    Output output = protocol_->TakeOutput();
    if (output.packets.empty() && output.streams.empty() && output.events.empty()) break;
    for (const OutgoingPacket& packet : output.packets) {
      if (!datagrams_->Send(packet.to, packet.bytes)) ++unsent_;
    }
    for (OutgoingStream& stream : output.streams) OpenStream(std::move(stream));
    // The list has a change before a callback tells of it; it is made once for all changes.
    const auto is_change = [](const Event& e) { return std::holds_alternative<MemberEvent>(e); };
    if (std::any_of(output.events.begin(), output.events.end(), is_change)) Publish();
    for (Event& event : output.events) {
      Handle(event);
      if (stopped_) return;
    }
  }
  flushing_ = false;
  const MonotonicTime now = Now();
  if (now >= next_publish_) Publish();
  const MonotonicTime next = protocol_->NextDeadline();
  if (next == timer_at_) return;
  timer_at_ = next;
  timer_->Start(std::max(next - now, Duration(0)), [this] {
    timer_at_ = MonotonicTime::Max();
    protocol_->Tick(Now());
    Flush();
  });
}

void Agent::Impl::OpenStream(OutgoingStream stream) {
  const Duration timeout = std::max(stream.deadline - Now(), Duration(0));
  streams_->Exchange(stream.to, std::move(stream.bytes), timeout,
                     [this, id = stream.id](const absl::StatusOr<std::string>& message) {
                       protocol_->OnStreamReply(Now(), id, message);
                       Flush();
                     });
}

void Agent::Impl::Publish() {
  next_publish_ = Now() + kPublishPause;
  auto members = std::make_shared<const std::vector<Member>>(protocol_->Members());
  Stats stats = protocol_->stats();
  stats.packets_unsent = unsent_;
  stats.streams_refused = streams_->refused();
  const MutexLock lock(mutex_);
  published_ = std::move(members);
  published_stats_ = stats;
}

void Agent::Impl::Handle(Event& event) {
  if (const auto* member = std::get_if<MemberEvent>(&event)) return On(*member);
  if (const auto* result = std::get_if<JoinResult>(&event)) return On(*result);
  if (const auto* changed = std::get_if<KeyringChanged>(&event)) return On(*changed);
  if (const auto* user = std::get_if<UserEvent>(&event)) {
    RememberSoon(kRememberClocksAfter);
    if (callbacks_.on_user_event) callbacks_.on_user_event(*user);
  } else if (const auto* query = std::get_if<IncomingQuery>(&event)) {
    RememberSoon(kRememberClocksAfter);
    if (callbacks_.on_query) callbacks_.on_query(*query);
  } else if (const auto* ack = std::get_if<QueryAck>(&event)) {
    const auto found = queries_.find(ack->key);
    if (found != queries_.end() && found->second.on_ack) found->second.on_ack(ack->from);
  } else if (const auto* response = std::get_if<QueryResponse>(&event)) {
    const auto found = queries_.find(response->key);
    if (found != queries_.end() && found->second.on_response) {
      found->second.on_response(response->from, response->payload);
    }
  } else if (const auto* done = std::get_if<QueryDone>(&event)) {
    auto node = queries_.extract(done->key);
    if (!node.empty() && node.mapped().on_done) node.mapped().on_done(absl::OkStatus());
  } else if (const auto* conflict = std::get_if<NameConflictLost>(&event)) {
    LogError("another node has this node's name, and the cluster sides with it",
             {{"name", options_.node_name}, {"other", ToText(conflict->other)}});
    if (callbacks_.on_name_conflict) callbacks_.on_name_conflict(*conflict);
  } else if (std::holds_alternative<LeaveDone>(event)) {
    left_ = true;
    auto waiting = std::move(leave_done_);
    leave_done_.clear();
    for (auto& callback : waiting) {
      if (callback) callback();
    }
  }
}

void Agent::Impl::On(const MemberEvent& event) {
  RememberSoon(kRememberMembersAfter);
  LogDebug("member", {{"change", NameOf(event.change)},
                      {"name", event.member.name},
                      {"address", ToText(event.member.at)}});
  if (callbacks_.on_member) callbacks_.on_member(event);
}

void Agent::Impl::On(const KeyringChanged& changed) {
  LogInfo("the gossip keys were changed", {{"keys", changed.keys.size()}});
  if (!options_.keyring_path.empty()) {
    WriteFile(options_.keyring_path, FormatKeyringFile(changed.keys));
  }
}

void Agent::Impl::Query(const QueryRequest& request, QueryCallbacks callbacks) {
  const auto key = protocol_->Query(Now(), request);
  if (!key.ok()) {
    if (callbacks.on_done) callbacks.on_done(key.status());
    return;
  }
  queries_.emplace(*key, std::move(callbacks));
  Flush();
}

absl::Status Agent::Impl::SetKeys(const std::vector<std::string>& keys) {
  absl::Status status = protocol_->SetKeys(keys);
  if (status.ok()) protocol_options_.keys = keys;
  return status;
}

void Agent::Impl::SetTags(const Tags& tags) {
  protocol_options_.tags = tags;
  protocol_->SetTags(Now(), tags).IgnoreError();  // The caller has checked their size.
  Flush();
}

// ---- What is remembered.

void Agent::Impl::RememberSoon(Duration delay) {
  if (options_.peers_path.empty() || remember_pending_ || stopped_) return;
  remember_pending_ = true;
  remember_timer_->Start(delay, [this] { Remember(); });
}

void Agent::Impl::Remember() {
  remember_pending_ = false;
  if (options_.peers_path.empty() || !started_) return;
  Remembered remembered{.clock = protocol_->clock(),
                        .event_clock = protocol_->event_clock(),
                        .query_clock = protocol_->query_clock(),
                        .left = left_};
  for (const Member& member : protocol_->Members()) {
    if (member.name == options_.node_name || member.status == MemberStatus::kLeft) continue;
    // Failed ones too: when all machines lose power, each sees others fail before it goes itself.
    remembered.peers.push_back(
        {member.name, ToText(member.at), member.status != MemberStatus::kFailed});
  }
  // This node has met nobody yet: what was remembered before stays.
  if (remembered.peers.empty()) remembered.peers = remembered_.peers;
  WriteFile(options_.peers_path, FormatRemembered(remembered));
}

void Agent::Impl::WriteFile(const std::string& path, std::string text) {
  Task task = [path, text = std::move(text)] {
    const absl::Status status = PosixFileSystem().WriteFileAtomically(path, text);
    if (!status.ok()) {
      LogWarn("a file of the membership cannot be written",
              {{"path", path}, {"error", MessageOf(status)}});
    }
  };
  if (options_.file_executor != nullptr) {
    options_.file_executor->Post(std::move(task));
  } else {
    task();
  }
}

}  // namespace mokv::serf
