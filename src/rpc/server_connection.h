// ServerConnection: HTTP/2 of one client, on nghttp2. Internal to the engine.
//
// Owner:   its ServerThread, as Owner, which deletes it at the end of the turn in which it closed.
// Threads: confined to its I/O thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "net/transport.h"
#include "rpc/answer_budget.h"
#include "rpc/completion.h"
#include "rpc/connection_life.h"
#include "rpc/deadlines.h"
#include "rpc/flood_watch.h"
#include "rpc/frame_counter.h"
#include "rpc/keepalive.h"
#include "rpc/opened_streams.h"
#include "rpc/ping_policy.h"
#include "rpc/read_pace.h"
#include "rpc/receive_window.h"
#include "rpc/server_call.h"
#include "rpc/server_calls.h"
#include "rpc/server_receiver.h"
#include "rpc/server_shared.h"
#include "rpc/session_memory.h"

struct nghttp2_session;

namespace mokv::rpc {

class ServerConnection final : private net::Transport::Handler {
 public:
  // Who holds the connection, and its only way up.
  class Owner {
   public:
    virtual ~Owner() = default;
    // Calls Flush once the current turn is over.
    virtual void FlushAtTurnEnd(ServerConnection& connection) = 0;
    // Calls Flush after others have had their turn.
    virtual void FlushLater(ServerConnection& connection) = 0;
    // It has closed. To be deleted, but not before the current turn is over.
    virtual void Remove(ServerConnection& connection) = 0;
  };

  // What all connections of one I/O thread use together; outlives them.
  struct Parts {
    ServerShared& shared;
    Deadlines& deadlines;
    CompletionSink& completions;
  };

  // No other connection of the owner has, had or will have this `id`.
  ServerConnection(Owner& owner, const Parts& parts, uint64_t id,
                   std::unique_ptr<net::Transport> transport);
  ~ServerConnection() override;

  void Start(std::string_view first_bytes);

  uint64_t id() const { return origin_.connection; }
  const net::Transport& transport() const { return *transport_; }
  size_t session_bytes() const { return memory_.bytes(); }

  // The answer, or news, of a handler that deferred.
  void Complete(Completion completion);
  void ExpireDeadline(int32_t stream);
  // Ends calls that stall, and a connection whose client gives no sign of life.
  void Watch(MonotonicTime now);
  // A graceful end takes two GOAWAYs (RFC 9113, 6.8). The first only announces it: calls that the
  // client sent before it knew are served. The second follows when the client has answered the PING
  // behind the first, or with GoAway, and names the last call that is served.
  void AnnounceGoAway();
  void GoAway();
  void Flush();
  void Close();

 private:
  struct Callbacks;  // nghttp2's, which are plain functions: server_callbacks.cc.

  // Bytes handed to the socket at a time, and in one turn.
  static constexpr size_t kWriteBytes = size_t{64} << 10;
  static constexpr size_t kWriteBytesPerTurnMax = size_t{512} << 10;

  void OnReady() override {}
  void OnBytes(std::string_view bytes) override;
  void OnReadEnd() override { MarkDirty(); }
  void OnWritable() override { Flush(); }
  void OnClosed(const absl::Status& reason) override;

  nghttp2_session* NewSession();
  void CloseCall(ServerCall& call);
  void Proceed(ServerCall& call, ServerReceiver::Next next);
  void AddDeadline(ServerCall& call);
  // Gives the call's answer to HTTP/2.
  void Submit(ServerCall& call);
  // Bytes of a stream of requests, on their way to its sink: those that have come and, last, `bytes`.
  void HandOver(ServerCall& call, std::string_view bytes);
  // The client has broken the stream's rules, or its time is over.
  void FailStream(ServerCall& call, absl::Status status);
  // The deadline of an answer in progress has passed.
  void ExpireAnswer(ServerCall& call);
  // Asks a source that waits once more.
  void ResumeSource(ServerCall& call);
  void AskSinks();
  // A unary answer for which there is no room becomes a failure.
  void RefuseLargeAnswer(ServerCall& call);
  // Asks sources again that had to wait for other answers to leave.
  void ReleaseSources();
  // `bytes` of the call's stream are not held any more.
  void Release(ServerCall& call, size_t bytes);
  void GrowConnectionWindow(size_t bytes);
  void ResetStream(int32_t stream, uint32_t http2_error);
  void CountBroken(std::string_view reason);
  // Whether what waits for a window, of the connection for stream 0, gets next to no room.
  bool IsSmallWindow(int32_t stream, int32_t increment);
  // A client that does too much of what gives it nothing: it hears GOAWAY, ENHANCE_YOUR_CALM and
  // `reason`, and is left.
  void EndForFlood(std::string_view reason);
  // Ends a connection that is idle or old.
  void WatchLife(MonotonicTime now);
  void EndStalledCalls(MonotonicTime no_progress_since);
  // Gives back what only a busy connection needs.
  void Rest();
  void MarkDirty();
  ServerCall* Find(int32_t stream);

  Owner& owner_;
  ServerShared& shared_;
  Deadlines& deadlines_;
  std::unique_ptr<net::Transport> transport_;
  std::vector<int32_t> sinks_to_ask_;
  AnswerBudget answers_;
  const CallOrigin origin_;
  Keepalive keepalive_;
  PingPolicy ping_policy_;
  ConnectionLife life_;
  OpenedStreams opened_;
  FrameCounter frame_counter_;
  FrameCounter::Frames frames_begun_;  // Of those in progress, by nghttp2.
  ReadPace read_pace_;
  UncompressedCost uncompressed_;  // Of messages of streams, that is in no turn's cost yet.
  FloodWatch flood_watch_;         // nghttp2's callback that finds a flood returns an error.
  ServerReceiver receiver_;
  ReceiveWindow receive_window_;
  uint64_t assembly_bytes_ = 0;  // Of messages of streams that are being put together.
  ServerCalls calls_;
  SessionMemory memory_;
  nghttp2_session* const session_;
  MonotonicTime turn_time_;      // When the bytes in progress were read.
  MonotonicTime blocked_since_;  // While the transport is blocked.
  std::string output_;
  int32_t last_served_ = INT32_MAX;  // Stream that the last GOAWAY named.
  bool at_rest_ = false;
  bool dirty_ = false;
  bool flushing_ = false;
  bool announced_ = false;
  bool going_away_ = false;
};

}  // namespace mokv::rpc
