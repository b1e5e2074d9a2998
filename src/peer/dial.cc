#include "peer/dial.h"

#include <utility>

#include "base/check.h"
#include "base/status.h"

namespace mokv::peer {

Dial::Dial(Context& context, net::HostPort target, Expected expected, Purpose purpose, Done done)
    : context_(context),
      target_(std::move(target)),
      expected_(std::move(expected)),
      purpose_(purpose),
      done_(std::move(done)),
      connector_(context.thread),
      timer_(context.thread) {}

Dial::~Dial() = default;

void Dial::Start() {
  timer_.Start(context_.options.handshake_timeout, [this] {
    Fail(Unavailable("no answer from {} within {} ms", target_.ToString(),
                     context_.options.handshake_timeout / std::chrono::milliseconds(1)));
  });
  connector_.Start(target_, context_.tls.outgoing,
                   [this](absl::StatusOr<std::unique_ptr<net::Transport>> transport) {
                     if (!transport.ok()) {
                       nobody_listened_ = connector_.resolved();
                       Fail(transport.status());
                       return;
                     }
                     (*transport)->ExpectServerName(target_.host);
                     Connection::Owner& owner = *this;
                     connection_ =
                         std::make_unique<Connection>(context_, *std::move(transport), owner);
                     connection_->Start();
                   });
}

// The server certificate has proved that whoever answers may serve at this address: the CA has
// signed it, for this host, as a server. Its common name is not looked at: servers are named
// otherwise than peers, and each host may have its own name. Only those that connect need an
// allowed name.
void Dial::OnReady(Connection& connection) {
  proto::Frame frame;
  frame.set_group(kGroup);
  *frame.mutable_hello() = MakeHello(context_.local, expected_, purpose_);
  MOKV_CHECK(connection.Write(frame));
  connection.Flush();
}

absl::Status Dial::OnFrame(Connection& connection, const proto::Frame& frame,
                           std::string_view attachment) {
  if (!frame.has_hello_reply() || !attachment.empty()) {
    return absl::InvalidArgumentError("the first frame is not the answer to a greeting");
  }
  const absl::Status status = CheckReply(context_.local, expected_, purpose_, frame.hello_reply());
  if (!status.ok()) {
    refused_as_duplicate_ = frame.hello_reply().refusal() == proto::HelloReply::DUPLICATE;
    Fail(FailedPrecondition("{}: {}", target_.ToString(), MessageOf(status)));
    return absl::OkStatus();
  }
  // Others may be believed since this dial began.
  if (const absl::Status trusted = connection.CheckTrust(/*is_outgoing=*/true); !trusted.ok()) {
    Fail(FailedPrecondition("{}: its certificate is not accepted: {}", target_.ToString(),
                            MessageOf(trusted)));
    return absl::OkStatus();
  }
  Finish(Reached{std::move(connection_), RemoteOf(frame.hello_reply())});
  return absl::OkStatus();
}

void Dial::OnClosed(Connection& connection, const absl::Status& reason) {
  if (reason.ok()) {
    Fail(Unavailable("{} hung up without an answer", target_.ToString()));
  } else if (connection.refused_by_tls() || reason.code() == absl::StatusCode::kInvalidArgument ||
             reason.code() == absl::StatusCode::kDataLoss) {
    Fail(FailedPrecondition("{}: {}", target_.ToString(), MessageOf(reason)));
  } else {
    Fail(Unavailable("{}: {}", target_.ToString(), MessageOf(reason)));
  }
}

void Dial::Cancel() {
  done_ = nullptr;
  timer_.Cancel();
  connector_.Cancel();
  if (connection_ == nullptr) return;
  connection_->Close();
  context_.thread.DeleteSoon(std::move(connection_));
}

void Dial::Fail(absl::Status reason) {
  Done done = std::exchange(done_, nullptr);
  Cancel();
  done_ = std::move(done);
  Finish(std::move(reason));
}

void Dial::Finish(absl::StatusOr<Reached> reached) {
  timer_.Cancel();
  Done done = std::exchange(done_, nullptr);
  MOKV_CHECK(done != nullptr);
  done(std::move(reached));
}

}  // namespace mokv::peer
