// ClientConnection: HTTP/2 to one server over an established transport, on nghttp2. Internal to the
// engine; Channel makes and replaces it.
//
// Owner:   its Channel.
// Threads: confined to its I/O thread.
// Bounds:  answers that wait for room in their exchanges: kHeldBytesMax and one window. Beyond that
//          the server has to wait, with the answers to other calls as well. Messages that are being
//          put together: assembly_bytes_max of the channel's options. What only a busy connection needs
//          is given back when it is at rest.
#pragma once

#include <absl/container/flat_hash_map.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "net/io_pool.h"
#include "net/transport.h"
#include "rpc/client_call.h"
#include "rpc/keepalive.h"
#include "rpc/receive_window.h"
#include "rpc/session_memory.h"

struct nghttp2_session;

namespace mokv::rpc {

class ClientConnection final : private net::Transport::Handler {
 public:
  class Owner {
   public:
    virtual ~Owner() = default;
    // Calls may be submitted.
    virtual void OnConnected() = 0;
    // The server has spoken HTTP/2: established() from now on.
    virtual void OnEstablished(ClientConnection& connection) = 0;
    // HasRoom may have become true.
    virtual void OnRoom() = 0;
    // No new calls may be submitted; those that the server has begun go on. It had too many PINGs if so.
    virtual void OnGoAway(ClientConnection& connection, bool too_many_pings) = 0;
    // A call whose answer is complete, and has messages that wait for room.
    virtual void OnAnswered(std::shared_ptr<ClientCall> call) = 0;
    // Called last, when every call of the connection has ended.
    virtual void OnDisconnected(ClientConnection& connection, const absl::Status& reason) = 0;
  };

  ClientConnection(Owner& owner, net::IoThread& thread, const ChannelOptions& options,
                   Duration keepalive_idle, std::unique_ptr<net::Transport> transport);
  ~ClientConnection() override;

  void Start();
  void Submit(std::shared_ptr<ClientCall> call);
  // Ends a call of this connection at once, and tells the server. What tells it may have to wait for a
  // long time if the server does not read.
  void Fail(ClientCall& call, const absl::Status& status);
  // Its source may have more, or its sink room.
  void Wake(ClientCall& call);
  // Ends all calls with `reason` and tells nobody else.
  void Abort(const absl::Status& reason);

  bool ready() const { return transport_->ready(); }
  // No new call may be submitted: the server has said so, or there were as many as there may be.
  bool going_away() const { return going_away_; }
  bool established() const { return established_; }
  // Whether the server allows another call now (HTTP/2, 5.1.2).
  bool HasRoom() const;
  size_t session_bytes() const { return memory_.bytes(); }

 private:
  struct Callbacks;

  void OnReady() override;
  void OnBytes(std::string_view bytes) override;
  void OnReadEnd() override { Flush(); }
  void OnWritable() override { Flush(); }
  void OnClosed(const absl::Status& reason) override;

  void OnGoAway(uint32_t error, std::string_view debug_data);
  void OnData(ClientCall& call, std::string_view bytes);
  void OnAnswerEnd(ClientCall& call);
  void OnStreamClose(ClientCall* call, uint32_t http2_error);
  int64_t ReadRequest(ClientCall& call, char* buffer, size_t size_bytes, uint32_t* flags);
  void Deliver(ClientCall& call, std::string_view bytes);
  void Release(ClientCall& call, size_t bytes);
  std::shared_ptr<ClientCall> Remove(ClientCall& call);
  void WatchSilence();
  // Something has come or left: the connection is not at rest.
  void OnBusy();
  // Rests once nothing has come or left for a while.
  void WatchRest();
  void Rest();
  void EndAll(const absl::Status& reason);
  void ScheduleFlush();
  void Flush();
  void TellRoom();
  void SendOutput();
  void Break(const absl::Status& reason);

  Owner& owner_;
  net::IoThread& thread_;
  const ChannelOptions& options_;
  std::unique_ptr<net::Transport> transport_;
  SessionMemory memory_;
  nghttp2_session* session_ = nullptr;
  std::string authority_;
  std::string output_;
  std::string goaway_text_;  // What the server said with it, if it was an error.
  bool established_ = false;
  bool going_away_ = false;
  bool ended_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  bool flush_scheduled_ = false;
  bool told_room_ = true;
  // By stream. Calls that have ended are not there; their streams may still be open.
  absl::flat_hash_map<int32_t, std::shared_ptr<ClientCall>> calls_;
  size_t open_streams_ = 0;
  size_t calls_begun_ = 0;
  uint64_t assembly_bytes_ = 0;  // Of messages of `calls_` that are being put together.
  ReceiveWindow window_;
  // Whose sources were asked while their sinks had no room: those may have some now.
  std::vector<std::weak_ptr<ClientCall>> to_deliver_;
  const Duration keepalive_idle_;  // 0: never.
  Keepalive keepalive_;
  net::Timer keepalive_timer_;
  net::Timer rest_timer_;  // Runs unless it is at rest.
  bool at_rest_ = true;
  bool quiet_ = true;  // Since the timer was started.
};

}  // namespace mokv::rpc
