// A transport and a session, and the calls that may be open on them: each call that ends is handed to
// the owner, who may submit it again.
//
// Threads: confined to its worker. Errors: a status means that the connection is of no more use.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "load/options.h"
#include "load/session.h"
#include "load/transport.h"

namespace mokv::load {

class Connection;

class ConnectionOwner {
 public:
  virtual ~ConnectionOwner() = default;
  // Bytes have been read from the socket; answers in them follow.
  virtual void OnRead() = 0;
  // May Submit to the same connection.
  virtual void OnAnswer(Connection& connection, Call& call) = 0;
};

class Connection final : public AnswerSink {
 public:
  // Connects and waits, bounded by the options' timeout, until the server has sent its settings.
  // Fails when the server allows fewer streams than the options ask for.
  static absl::StatusOr<std::unique_ptr<Connection>> Open(
      const LoadOptions& options, const std::shared_ptr<const TlsContext>& tls,
      std::span<const Request> requests, ConnectionOwner& owner);

  int fd() const { return transport_->fd(); }
  std::vector<Call>& calls() { return calls_; }
  uint32_t open_calls() const { return open_calls_; }

  void Submit(Call& call);
  absl::Status OnReadable();
  // Writes what is due, as far as the socket takes it.
  absl::Status Flush();
  // Whether there are calls that no Flush has seen.
  bool wants_flush() const { return wants_flush_; }
  // Whether Flush left something, so that the owner should wait for room.
  bool wants_write() const { return written_ < out_.size(); }

  void OnAnswer(Call& call) override {
    --open_calls_;
    owner_.OnAnswer(*this, call);
  }

 private:
  Connection(std::unique_ptr<Transport> transport, uint32_t streams, ConnectionOwner& owner);
  absl::Status AwaitSettings(const LoadOptions& options);

  ConnectionOwner& owner_;
  std::unique_ptr<Transport> transport_;
  std::unique_ptr<Session> session_;
  std::vector<Call> calls_;
  uint32_t open_calls_ = 0;
  bool wants_flush_ = false;
  std::string out_;
  size_t written_ = 0;
  absl::Status submit_status_;  // The first Submit that failed, until OnReadable or Flush tell.
};

}  // namespace mokv::load
