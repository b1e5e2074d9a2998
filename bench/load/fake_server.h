// A gRPC server for the tests: nghttp2's server side with answers as a function of the request.
//
// FakeSession is one connection in memory; FakeServer listens on a free loopback port in clear with
// a thread of its own, which the destructor ends.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace mokv::load {

struct FakeReply {
  std::string http_status = "200";
  std::string grpc_status = "0";  // Empty: no trailers.
  std::string message;            // Without gRPC's prefix. Not sent when trailers_only.
  bool trailers_only = false;
  bool reset = false;
  bool never = false;  // No answer at all.
};

using FakeHandler = std::function<FakeReply(std::string_view path, std::string_view message)>;
using FakeSettings = std::vector<std::pair<int32_t, uint32_t>>;

class FakeSession {
 public:
  FakeSession(FakeHandler handler, const FakeSettings& settings);
  ~FakeSession();

  // False when the client broke the protocol.
  bool Receive(std::string_view bytes);
  std::string TakeOutput();
  void Ping();
  void GoAway();
  // Widens what a client may send, connection and streams.
  void OpenWindows(int32_t bytes);

  uint64_t calls() const { return calls_; }
  uint64_t pings_answered() const { return pings_answered_; }

 private:
  friend struct FakeCallbacks;
  struct Stream {
    std::string path;
    std::string request;
    FakeReply reply;
    std::string body;
    size_t sent = 0;
  };
  struct Native;

  void Answer(int32_t stream_id, Stream& stream);

  FakeHandler handler_;
  std::map<int32_t, Stream> streams_;
  std::unique_ptr<Native> native_;
  uint64_t calls_ = 0;
  uint64_t pings_answered_ = 0;
};

class FakeServer {
 public:
  explicit FakeServer(FakeHandler handler, FakeSettings settings = {});
  ~FakeServer();

  std::string endpoint() const;
  // Closes every connection without a word, once this many calls have been answered.
  void HangUpAfter(uint64_t calls) { hang_up_after_ = calls; }

 private:
  void Loop();

  FakeHandler handler_;
  FakeSettings settings_;
  int listen_fd_;
  int stop_fds_[2];
  uint16_t port_ = 0;
  uint64_t hang_up_after_ = UINT64_MAX;  // Set before the first connection.
  std::thread thread_;
};

}  // namespace mokv::load
