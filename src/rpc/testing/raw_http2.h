// HTTP/2 and gRPC by hand, for tests in which one side does what no library would.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "net/testing/raw_socket.h"

struct nghttp2_hd_inflater;

namespace mokv::rpc {

using Headers = std::vector<std::pair<std::string, std::string>>;

inline constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

// `type` and `flags` as RFC 9113, 6 numbers them.
std::string Frame(uint8_t type, uint8_t flags, uint32_t stream, std::string_view payload);
// HPACK: literals that are not indexed, of up to 126 bytes each.
std::string HeaderBlock(const Headers& headers);
std::string HeadersFrame(uint32_t stream, const Headers& headers, bool end = false);
std::string DataFrame(uint32_t stream, std::string_view data, bool end = true);
// Four bytes, big endian.
std::string Number(uint32_t number);

// Of a call to `path`, as a client that obeys sends them.
Headers GrpcHeaders(const std::string& path);
// A gRPC message with its prefix.
std::string Message(std::string_view text, bool compressed = false);

struct RawFrame {
  uint32_t type = 0;
  uint32_t flags = 0;
  uint32_t stream = 0;
  std::string payload;

  // Four bytes of the payload, big endian.
  uint32_t NumberAt(size_t offset) const;
};

// Takes the frames out of what one socket receives.
class FrameReader {
 public:
  explicit FrameReader(net::RawSocket& socket) : socket_(socket) {}
  // Reads past `size` bytes that are no frame; false when they do not come.
  bool Skip(size_t size);
  // Nothing when the connection has ended, or no frame came for 10 seconds.
  std::optional<RawFrame> Read();

 private:
  net::RawSocket& socket_;
  std::string input_;
};

// What a client has received on one stream.
struct RawAnswer {
  std::map<std::string, std::string> headers;  // And trailers.
  std::string data;
  std::optional<uint32_t> reset;  // Error code of RST_STREAM.
  bool ended = false;
  uint64_t window_grown_bytes = 0;  // By WINDOW_UPDATE; stream 0 is the connection.

  // "none" without one.
  std::string grpc_status() const;
};

struct RawGoAway {
  uint32_t last_stream = 0;
  uint32_t error = 0;
  std::string debug;
};

// A client that sends what it is told, and answers nothing by itself.
class RawClient {
 public:
  explicit RawClient(uint16_t port);
  ~RawClient();
  RawClient(const RawClient&) = delete;
  RawClient& operator=(const RawClient&) = delete;

  bool Send(std::string_view bytes) { return socket_.Send(bytes); }
  net::RawSocket& socket() { return socket_; }

  bool SendHeaders(uint32_t stream, const Headers& headers, bool end = false) {
    return Send(HeadersFrame(stream, headers, end));
  }
  bool SendData(uint32_t stream, std::string_view data, bool end = true) {
    return Send(DataFrame(stream, data, end));
  }
  bool SendReset(uint32_t stream);
  // A unary call with one message, and its answer.
  RawAnswer Call(uint32_t stream, const std::string& path, std::string_view message);

  // Reads until the stream's end.
  RawAnswer Wait(uint32_t stream);
  // Reads until `size` bytes of DATA have come, or the stream has ended.
  RawAnswer WaitForData(uint32_t stream, size_t size);
  // Reads until the stream's window has grown by `bytes`, or the stream has ended.
  uint64_t WaitForWindow(uint32_t stream, uint64_t bytes);
  // What has been read of a stream so far.
  const RawAnswer& answer(uint32_t stream) { return answers_[stream]; }
  // Reads until there have been `count` of them, or the connection has ended.
  const std::vector<RawGoAway>& WaitForGoAways(size_t count);
  // Reads until a PING, and returns the bytes of its answer; empty when none came.
  std::string WaitForPing();
  // Reads until the answer to a PING of its own; false when none came.
  bool WaitForPingAnswer();

 private:
  bool ReadFrame();
  void Inflate(const std::string& block, RawAnswer& answer);

  net::RawSocket socket_;
  FrameReader reader_{socket_};
  nghttp2_hd_inflater* inflater_ = nullptr;
  std::map<uint32_t, RawAnswer> answers_;
  std::vector<RawGoAway> goaways_;
  std::vector<std::string> pings_;  // Not returned yet.
  size_t ping_answers_ = 0;         // Not waited for yet.
};

}  // namespace mokv::rpc
