#include "peer/connection.h"

#include <utility>

#include "base/check.h"
#include "base/give_back.h"
#include "base/logging.h"
#include "base/status.h"

namespace mokv::peer {

Connection::Connection(Context& context, std::unique_ptr<net::Transport> transport, Owner& owner)
    : context_(context),
      transport_(std::move(transport)),
      owner_(&owner),
      is_tls_(transport_->is_tls()),
      out_(kMagic) {}

Connection::~Connection() = default;

void Connection::Resume(std::string_view first_bytes) {
  transport_->Resume(this);
  if (!first_bytes.empty()) OnBytes(first_bytes);
}

absl::Status Connection::CheckTrust(bool is_outgoing) const {
  const PeerTls& tls = context_.tls;
  const net::TlsContext* verifier = (is_outgoing ? tls.outgoing : tls.incoming).get();
  if (!is_tls_ || closed()) return absl::OkStatus();
  if (verifier != nullptr) MOKV_RETURN_IF_ERROR(transport_->VerifyAgain(*verifier));
  if (is_outgoing || context_.local.Allows(transport_->peer_name())) return absl::OkStatus();
  return MakeStatus(absl::StatusCode::kPermissionDenied,
                    "the certificate of {} may not speak for a node", transport_->peer_name());
}

void Connection::SetEstablished(replica::ConnectionId id, FrameLimits limits) {
  id_ = id;
  reader_.SetLimits(limits);
}

bool Connection::Write(const proto::Frame& frame, const Attachment* attachment) {
  if (closed()) return true;  // As if it had closed a moment later.
  const size_t before = out_.size();
  FrameBuilder builder(out_);
  frame.AppendToString(&out_);
  if (!builder.EndFrame(attachment)) return false;
  uint64_t bytes = out_.size() - before;
  if (attachment != nullptr) {
    bytes += attachment->bytes.size();
    if (attachment->bytes.size() <= kGatheredBytesMax) {
      out_ += attachment->bytes;
    } else {
      Flush();
      transport_->Send(attachment->bytes);
    }
  }
  bytes_out_ += bytes;
  Counters::Add(context_.counters.bytes_out, bytes);
  Counters::Add(context_.counters.frames_out);
  return true;
}

void Connection::Flush() {
  if (out_.empty() || closed()) return;
  transport_->Send(out_);
  out_.clear();
  if (out_.capacity() > kBufferKeptBytesMax) GiveBack(out_);
}

void Connection::Close() { transport_->Close(); }

int Connection::CountSilence() {
  return silence_.Count(bytes_in_, transport_->sent_bytes(), transport_->blocked());
}

void Connection::OnBytes(std::string_view bytes) {
  bytes_in_ += bytes.size();
  Counters::Add(context_.counters.bytes_in, bytes.size());
  const absl::Status status =
      reader_.Read(bytes, [this](std::string_view message, std::string_view attachment) {
        return Take(message, attachment);
      });
  if (!status.ok() && !closed()) FailMalformed(status);
}

absl::Status Connection::Take(std::string_view message, std::string_view attachment) {
  Counters::Add(context_.counters.frames_in);
  proto::Frame frame;
  if (!frame.ParseFromArray(message.data(), static_cast<int>(message.size()))) {
    return absl::InvalidArgumentError("a message does not parse");
  }
  absl::Status status = owner_->OnFrame(*this, frame, attachment);
  if (closed()) return absl::CancelledError("closed");
  if (status.code() == absl::StatusCode::kUnimplemented) {
    Counters::Add(context_.counters.unknown);
    return absl::OkStatus();
  }
  return status;
}

void Connection::FailMalformed(const absl::Status& reason) {
  Counters::Add(context_.counters.malformed);
  if (context_.log_limit.Allows(context_.clock.Now())) {
    LogWarn("malformed bytes of a peer, closing its connection",
            {{"address", address()}, {"reason", MessageOf(reason)}});
  }
  Close();
  owner_->OnClosed(*this, reason);
}

void Connection::OnClosed(const absl::Status& reason) { owner_->OnClosed(*this, reason); }

}  // namespace mokv::peer
