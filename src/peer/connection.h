// Connection: frames over one transport, in both directions. Knows nothing of what they mean.
//
// Owner:   a Dial or the Greeter until the handshake is over, the PeerNetwork or its
//          SnapshotConnections from then on.
// Threads: confined to the replica thread.
// Bounds:  what waits to be sent is for the owner to watch (waiting_bytes).
#pragma once

#include <absl/status/status.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "net/transport.h"
#include "peer/context.h"
#include "peer/frame.h"
#include "peer/silence.h"
#include "replica/peers.h"

namespace mokv::peer {

class Connection final : private net::Transport::Handler {
 public:
  class Owner {
   public:
    virtual ~Owner() = default;
    // TLS, if any, is established. Only after Start.
    virtual void OnReady(Connection& connection) = 0;
    // UNIMPLEMENTED: a kind that is not known, which is counted and ignored. Any other error: the
    // frame is malformed, and the connection closes. The owner may close the connection inside this
    // call, or give it to another owner, but must not delete it.
    virtual absl::Status OnFrame(Connection& connection, const proto::Frame& frame,
                                 std::string_view attachment) = 0;
    // The last call: the other side has closed it (OK), or it broke, or a frame was malformed. The
    // owner deletes it with DeleteSoon.
    virtual void OnClosed(Connection& connection, const absl::Status& reason) = 0;
  };

  Connection(Context& context, std::unique_ptr<net::Transport> transport, Owner& owner);
  ~Connection() override;

  // Begins with a transport that was just connected.
  void Start() { transport_->Start(this); }
  // Begins with one that was accepted elsewhere, where `first_bytes` had been read.
  void Resume(std::string_view first_bytes);
  void SetOwner(Owner& owner) { owner_ = &owner; }
  // The handshake is over: what comes now may be as large as `limits` allow.
  void SetEstablished(replica::ConnectionId id, FrameLimits limits);

  // Appends a frame to what Flush will send. False: too large. Its attachment must be sealed.
  bool Write(const proto::Frame& frame, const Attachment* attachment = nullptr);
  void Flush();
  // Closes at once and tells nobody. The owner then deletes it with DeleteSoon.
  void Close();
  bool closed() const { return transport_->closed(); }

  // Bytes that the socket has not taken yet.
  size_t waiting_bytes() const { return out_.size() + transport_->pending_bytes(); }
  // To be called once an interval. Returns for how many of them in a row the other side has shown
  // no sign of life.
  int CountSilence();

  // Null in clear.
  const std::string* certificate_name() const {
    return is_tls_ ? &transport_->peer_name() : nullptr;
  }
  // Whether a certificate by which the other side was believed has ended by then. CheckTrust says whether
  // there is another one.
  bool CertificateEndsBy(int64_t unix_s) const {
    return transport_->peer_valid_until_unix_s().value_or(INT64_MAX) <= unix_s;
  }
  // Whether the other side is believed, and may speak Raft, by what is in force now. Says why not.
  absl::Status CheckTrust(bool is_outgoing) const;
  const std::string& address() const { return transport_->peer_address(); }
  bool refused_by_tls() const { return transport_->refused_by_tls(); }
  // Whether what the other side sent was of this protocol.
  bool magic_seen() const { return reader_.magic_seen(); }
  uint64_t bytes_in() const { return bytes_in_; }
  uint64_t bytes_out() const { return bytes_out_; }

  // 0 before SetEstablished.
  replica::ConnectionId id() const { return id_; }

 private:
  // Larger attachments are sent from where they are, instead of being copied behind the frame: for
  // them one more system call costs less than the copy.
  static constexpr size_t kGatheredBytesMax = size_t{128} << 10;
  // A buffer that had to grow beyond this is given back once it is empty.
  static constexpr size_t kBufferKeptBytesMax = size_t{1} << 20;

  void OnReady() override { owner_->OnReady(*this); }
  void OnBytes(std::string_view bytes) override;
  void OnReadEnd() override {}
  void OnWritable() override {}
  void OnClosed(const absl::Status& reason) override;
  absl::Status Take(std::string_view message, std::string_view attachment);
  void FailMalformed(const absl::Status& reason);

  Context& context_;
  const std::unique_ptr<net::Transport> transport_;
  Owner* owner_;
  const bool is_tls_;
  replica::ConnectionId id_;
  FrameReader reader_{kGreetingLimits};
  std::string out_;
  uint64_t bytes_in_ = 0;
  uint64_t bytes_out_ = 0;
  Silence silence_;
};

}  // namespace mokv::peer
