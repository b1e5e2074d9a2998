// StreamSession: HTTP/2 of one client connection whose streams carry messages without end, on nghttp2. Bytes
// in, bytes out; no socket, no clock, no thread of its own.
//
// Threads: confined to one. Errors: a status means that the connection is of no more use.
#pragma once

#include <absl/status/status.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

struct nghttp2_session;

namespace mokv::streams {

// What the messages do: they come, they go, or they go and come back.
enum class Direction { kToClient, kToServer, kBoth };

inline constexpr size_t kMessageBytes = 1024;
inline constexpr size_t kFramedBytes = 5 + kMessageBytes;  // With gRPC's prefix.

class StreamSession {
 public:
  struct Options {
    Direction direction = Direction::kToClient;
    uint32_t streams = 1;
    uint32_t in_flight = 1;  // Of kBoth: messages of a stream that have not come back.
    std::string scheme;
    std::string authority;
  };

  // Called for each message of kBoth that has come back.
  class Sink {
   public:
    virtual ~Sink() = default;
    virtual void OnMessageBack() = 0;
  };

  StreamSession(Options options, Sink& sink);
  ~StreamSession();
  StreamSession(const StreamSession&) = delete;
  StreamSession& operator=(const StreamSession&) = delete;

  absl::Status Receive(std::string_view bytes);
  // Appends frames that are due to `out`, until it has some tens of KiB.
  absl::Status TakeOutput(std::string& out);

  // Messages that have come, or of kToServer those that have gone.
  uint64_t messages() const { return messages_; }

 private:
  struct Stream {
    int32_t id = 0;
    uint64_t received_bytes = 0;
    uint64_t sent_bytes = 0;
    uint64_t may_send_bytes = 0;
  };
  struct Callbacks;

  void Open();
  std::string_view path() const;

  const Options options_;
  Sink& sink_;
  std::vector<Stream> streams_;  // They stay where they are.
  uint64_t messages_ = 0;
  absl::Status status_;
  bool closing_ = false;
  std::string* out_ = nullptr;  // Of the TakeOutput in progress.
  nghttp2_session* session_ = nullptr;
};

}  // namespace mokv::streams
