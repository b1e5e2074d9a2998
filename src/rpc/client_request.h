// ClientRequest: the bytes that a client sends in a call: one message that is there from the
// beginning, or those of a source. Internal to the engine.
//
// Owner:   its ClientCall.
// Threads: as its ClientCall. Pure.
// Bounds:  it holds one message at a time.
#pragma once

#include <absl/status/status.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

#include "rpc/grpc_wire.h"
#include "rpc/message_source.h"

namespace mokv::rpc {

class ClientRequest {
 public:
  // What Read has done. Not OK: the request cannot go on.
  struct Result {
    absl::Status status;
    size_t size_bytes = 0;  // Written. 0 without an end: the source had nothing.
    bool ended = false;     // These are the last.
  };

  // Before the first Read, either of them. `source` must outlive the request.
  absl::Status SetMessage(std::string message, uint64_t message_bytes_max);
  void SetSource(MessageSource& source, bool compress, uint64_t message_bytes_max);

  // Fills `buffer` with what comes next, as far as there is any.
  Result Read(char* buffer, size_t size_bytes);

  // The source may have more. Whether it had said kWait.
  bool Wake() { return std::exchange(waits_, false); }
  // No further Read.
  void Drop();

 private:
  // False: nothing more for now, or ever, as `result` says.
  bool NextMessage(Result& result);
  absl::Status SetPrefix();
  size_t message_left() const { return kMessagePrefixBytes + message_.size() - sent_; }

  MessageSource* source_ = nullptr;
  bool compress_ = false;
  uint64_t message_bytes_max_ = 0;
  bool has_message_ = false;
  std::array<char, kMessagePrefixBytes> prefix_{};
  std::string message_;
  size_t sent_ = 0;     // Of prefix and message.
  bool waits_ = false;  // The source has said kWait.
};

}  // namespace mokv::rpc
