#include "peer/link.h"

#include <algorithm>
#include <utility>

#include "base/logging.h"
#include "base/status.h"
#include "net/address.h"

namespace mokv::peer {

Link::Link(Context& context, const raft::Member& member, Purpose purpose, Owner& owner)
    : context_(context),
      owner_(owner),
      expected_{.id = member.id, .name = member.name, .instance_id = member.instance_id},
      purpose_(purpose),
      address_(member.rpc_address),
      timer_(context.thread),
      delay_max_(context.options.redial_max) {
  WaitAndDial(Duration(0));
}

Link::~Link() { DropDial(); }

void Link::SetAddress(const std::string& address) {
  address_ = address;
  Restart();
}

void Link::SetHints(std::vector<std::string> hints) {
  if (hints == hints_) return;
  const std::vector<std::string> before = Addresses();
  hints_ = std::move(hints);
  const std::vector<std::string> after = Addresses();
  const bool has_new = std::any_of(after.begin(), after.end(), [&](const std::string& address) {
    return std::find(before.begin(), before.end(), address) == before.end();
  });
  // Addresses that were known before are being tried.
  if (has_new) Restart();
}

void Link::Restart() {
  attempts_ = 0;
  tried_ = 0;
  if (state_ == State::kConnected) return;
  DropDial();
  WaitAndDial(Duration(0));
}

void Link::OnDisconnected() {
  if (context_.clock.Now() - connected_at_ >= context_.options.redial_reset_after) attempts_ = 0;
  delay_max_ = context_.options.redial_max;
  WaitAndDial(NextDelay());
}

void Link::Hurry() {
  if (state_ == State::kWaiting) WaitAndDial(Duration(0));
}

void Link::WaitAndDial(Duration delay) {
  state_ = State::kWaiting;
  timer_.Start(delay, [this] { DialNow(); });
}

// Hints first: they are newer, and a member that has moved is seldom where the configuration has
// it.
std::vector<std::string> Link::Addresses() const {
  std::vector<std::string> addresses;
  const auto add = [&](const std::string& address) {
    const bool known = std::find(addresses.begin(), addresses.end(), address) != addresses.end();
    if (!known && !address.empty()) addresses.push_back(address);
  };
  for (const std::string& hint : hints_) add(hint);
  add(address_);
  return addresses;
}

void Link::DialNow() {
  const std::vector<std::string> addresses = Addresses();
  dialing_ = addresses.empty() ? address_ : addresses[tried_ % addresses.size()];
  const absl::StatusOr<net::HostPort> target = net::ParseHostPort(dialing_);
  if (!target.ok()) {
    Fail(target.status());
    return;
  }
  state_ = State::kDialing;
  dial_ = std::make_unique<peer::Dial>(
      context_, *target, expected_, purpose_,
      [this](absl::StatusOr<Dial::Reached> reached) { OnDialed(std::move(reached)); });
  dial_->Start();
}

void Link::OnDialed(absl::StatusOr<Dial::Reached> reached) {
  const bool is_duplicate = dial_->refused_as_duplicate();
  delay_max_ = dial_->nobody_listened() ? context_.options.redial_refused_connection_max
                                        : context_.options.redial_max;
  DropDial();
  if (!reached.ok()) {
    Fail(reached.status());
    if (is_duplicate) owner_.OnRefusedAsDuplicate(expected_.id, reached.status());
    return;
  }
  state_ = State::kConnected;
  tried_ = 0;
  connected_address_ = dialing_;
  connected_at_ = context_.clock.Now();
  last_error_.clear();
  told_.clear();
  owner_.OnLinked(expected_.id, std::move(reached->connection), std::move(reached->remote));
}

void Link::Fail(const absl::Status& reason) {
  Counters::Add(context_.counters.dials_failed);
  // Each address is tried before there is a wait.
  const bool tried_all = ++tried_ >= std::max<size_t>(Addresses().size(), 1);
  if (tried_all) tried_ = 0;
  WaitAndDial(tried_all ? NextDelay() : Duration(0));
  const auto told = told_.find(dialing_);
  if (told != told_.end() && told->second == MessageOf(reason)) return;
  if (told_.size() > kToldMax) told_.clear();
  told_[dialing_] = std::string(MessageOf(reason));
  last_error_ = std::string(MessageOf(reason));
  LogWarn("cannot reach a node",
          {{"name", expected_.name}, {"address", dialing_}, {"reason", last_error_}});
  owner_.OnLinkTrouble(expected_.id);
}

Duration Link::NextDelay() {
  Duration delay = context_.options.redial_min;
  for (int i = 0; i < attempts_ && delay < delay_max_; ++i) delay *= 2;
  ++attempts_;
  delay = std::max(std::min(delay, delay_max_), Duration(2));
  const auto half = static_cast<uint64_t>(delay.count()) / 2;
  return Duration(static_cast<int64_t>(half + context_.random.Next() % half));
}

void Link::DropDial() {
  if (dial_ == nullptr) return;
  dial_->Cancel();
  context_.thread.DeleteSoon(std::move(dial_));
}

}  // namespace mokv::peer
