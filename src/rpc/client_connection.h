// ClientConnection: HTTP/2 to one server over an established transport, on nghttp2. Internal to the
// engine; Channel makes and replaces it.
//
// Owner:   its Channel.
// Threads: confined to its I/O thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "net/io_pool.h"
#include "net/transport.h"
#include "rpc/client_call.h"

struct nghttp2_session;

namespace mokv::rpc {

class ClientConnection final : private net::Transport::Handler {
 public:
  class Owner {
   public:
    virtual ~Owner() = default;
    virtual void OnConnected() = 0;
    // Called last, when every call of the connection has ended.
    virtual void OnDisconnected(ClientConnection& connection, const absl::Status& reason) = 0;
  };

  ClientConnection(Owner& owner, net::IoThread& thread, const ChannelOptions& options,
                   std::unique_ptr<net::Transport> transport);
  ~ClientConnection() override;

  void Start();
  void Submit(std::unique_ptr<ClientCall> call);
  // Ends all calls with `reason` and tells nobody else.
  void Abort(const absl::Status& reason);

  // After GOAWAY: no new call may be submitted.
  bool going_away() const { return going_away_; }
  // Calls that wait for the server to allow more (HTTP/2, 5.1.2).
  size_t waiting_calls() const;

 private:
  struct Callbacks;

  void OnReady() override;
  void OnBytes(std::string_view bytes) override;
  void OnReadEnd() override { Flush(); }
  void OnWritable() override { Flush(); }
  void OnClosed(const absl::Status& reason) override;

  void OnStreamClose(ClientCall& call, uint32_t http2_error);
  void FailCall(ClientCall& call, absl::Status status);
  void ExpireCall(int32_t stream);
  void EndAll(const absl::Status& reason);
  void ScheduleFlush();
  void Flush();
  void Break(const absl::Status& reason);

  Owner& owner_;
  net::IoThread& thread_;
  const ChannelOptions& options_;
  std::unique_ptr<net::Transport> transport_;
  nghttp2_session* session_ = nullptr;
  std::string authority_;
  std::string output_;
  bool going_away_ = false;
  bool ended_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  bool flush_scheduled_ = false;
  // Open calls, by stream, so that an end of the connection ends them in order.
  std::unique_ptr<class ClientCalls> calls_;
};

}  // namespace mokv::rpc
