#include "peer/greeter.h"

#include <utility>

#include "base/check.h"
#include "base/logging.h"
#include "base/status.h"

namespace mokv::peer {

Greeter::Greeter(Context& context, Callbacks callbacks)
    : context_(context), callbacks_(std::move(callbacks)) {}

Greeter::~Greeter() = default;

void Greeter::Accept(std::unique_ptr<net::Transport> transport, std::string_view first_bytes) {
  if (guests_.size() >= context_.options.greeting_max) {
    Counters::Add(context_.counters.refused[proto::HelloReply::FULL]);
    return;  // Closes it.
  }
  Connection::Owner& owner = *this;
  auto connection = std::make_unique<Connection>(context_, std::move(transport), owner);
  Connection& added = *connection;
  Guest& guest = guests_.try_emplace(&added, context_.thread).first->second;
  guest.connection = std::move(connection);
  guest.timer.Start(context_.options.handshake_timeout, [this, &added] {
    Counters::Add(context_.counters.greetings_failed);
    End(added);
  });
  added.Resume(first_bytes);
}

proto::HelloReply Greeter::Answer(const Connection& connection, const proto::Frame& frame) {
  proto::HelloReply reply =
      AnswerHello(context_.local, frame.hello(), frame.group(), connection.certificate_name());
  if (reply.refusal() == proto::HelloReply::NONE) {
    const absl::Status trusted = connection.CheckTrust(/*is_outgoing=*/false);
    if (!trusted.ok())
      return Refuse(proto::HelloReply::CERTIFICATE, std::string(MessageOf(trusted)));
  }
  const bool stays = reply.refusal() == proto::HelloReply::NONE && !frame.hello().identify();
  if (!stays) return reply;
  const Remote remote = RemoteOf(frame.hello());
  if (!callbacks_.has_room(remote, PurposeOf(frame.hello()))) {
    return Refuse(proto::HelloReply::FULL, "too many connections of nodes already");
  }
  if (callbacks_.is_duplicate(remote)) return RefuseDuplicate(context_.local, frame.hello());
  return reply;
}

absl::Status Greeter::OnFrame(Connection& connection, const proto::Frame& frame,
                              std::string_view attachment) {
  if (!frame.has_hello() || !attachment.empty()) {
    return absl::InvalidArgumentError("the first frame is not a greeting");
  }
  const proto::Hello& hello = frame.hello();
  proto::Frame answer;
  answer.set_group(frame.group());
  *answer.mutable_hello_reply() = Answer(connection, frame);
  const proto::HelloReply& reply = answer.hello_reply();
  const bool refused = reply.refusal() != proto::HelloReply::NONE;
  // Before the other side can know of it.
  if (refused) {
    Counters::Add(context_.counters.refused[static_cast<size_t>(reply.refusal())]);
    LogRefusal(connection, hello, reply);
  } else if (hello.identify()) {
    Counters::Add(context_.counters.identified);
  }
  MOKV_CHECK(connection.Write(answer));
  connection.Flush();
  if (refused || hello.identify()) {
    End(connection);
  } else {
    told_.erase(hello.from_name());
    callbacks_.welcome(Release(connection), RemoteOf(hello), PurposeOf(hello));
  }
  return absl::OkStatus();
}

void Greeter::LogRefusal(const Connection& connection, const proto::Hello& hello,
                         const proto::HelloReply& reply) {
  // A refusal that repeats is logged once.
  const auto told = told_.find(hello.from_name());
  if (told != told_.end() && told->second == reply.refusal_text()) return;
  if (!context_.log_limit.Allows(context_.clock.Now())) return;
  if (told_.size() >= kToldMax) told_.clear();
  told_[hello.from_name()] = reply.refusal_text();
  LogWarn("refused a connection of a node",
          {{"address", connection.address()},
           {"name", std::string_view(hello.from_name()).substr(0, kTextBytesMax)},
           {"reason", std::string_view(reply.refusal_text())}});
}

void Greeter::OnClosed(Connection& connection, const absl::Status&) {
  Counters::Add(context_.counters.greetings_failed);
  End(connection);
}

std::unique_ptr<Connection> Greeter::Release(Connection& connection) {
  const auto guest = guests_.find(&connection);
  MOKV_CHECK(guest != guests_.end());
  std::unique_ptr<Connection> released = std::move(guest->second.connection);
  guests_.erase(guest);
  return released;
}

void Greeter::End(Connection& connection) {
  connection.Close();
  context_.thread.DeleteSoon(Release(connection));
}

void Greeter::Stop() {
  while (!guests_.empty()) End(*guests_.begin()->first);
}

}  // namespace mokv::peer
