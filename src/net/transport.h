// Transport: one connected byte stream, TLS or clear, on one I/O thread.
//
// Owner:   the handler that it reports to, or the listener while a connection has no protocol yet.
// Threads: confined to its I/O thread; MoveTo takes it to another one.
// Bounds:  reads at most SetReadBytesPerTurn in one turn, so that one busy connection does not
//          starve the others. Send takes everything; a caller checks `blocked()` and waits for
//          OnWritable, so at most one of its own batches is buffered. What TLS itself may have to
//          say is bounded by kTlsMessagesMax.
#pragma once

#include <absl/functional/any_invocable.h>
#include <absl/status/status.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "net/handshake_budget.h"
#include "net/io_pool.h"
#include "net/poller.h"
#include "net/tls.h"

namespace mokv::net {

class Transport final : private Poller::Target, private HandshakeBudget::Waiter {
 public:
  // More than a thousand small requests: what others can wait for.
  static constexpr size_t kReadBytesPerTurnMax = size_t{64} << 10;

  class Handler {
   public:
    virtual ~Handler() = default;
    // TLS is established (at once in clear). Nothing else is called before.
    virtual void OnReady() = 0;
    // `bytes` are valid during the call.
    virtual void OnBytes(std::string_view bytes) = 0;
    // After all OnBytes of this turn: the moment to send what they caused.
    virtual void OnReadEnd() = 0;
    // Everything that was pending has been sent.
    virtual void OnWritable() = 0;
    // The other side closed (OK) or the connection broke. The last call; the handler may retire
    // itself and the transport with IoThread::DeleteSoon.
    virtual void OnClosed(const absl::Status& reason) = 0;
  };

  // Takes the connected, non-blocking socket `fd`. `tls` null: clear text.
  Transport(IoThread& thread, int fd, std::shared_ptr<const TlsContext> tls);
  ~Transport() override;
  Transport(const Transport&) = delete;
  Transport& operator=(const Transport&) = delete;

  // For a TLS client: the name that the server's certificate must carry, a DNS name or an address.
  void ExpectServerName(const std::string& host);

  // Holds `token` for as long as it lives.
  void Keep(std::shared_ptr<void> token) { kept_ = std::move(token); }
  // Holds `token` for as long as it is open on this thread.
  void KeepHere(std::shared_ptr<void> token) { kept_here_ = std::move(token); }

  // Begins. `handler` must stay until OnClosed, Close or SetHandler.
  void Start(Handler* handler);
  // Hands the stream over to another handler. OnReady is not called again.
  void SetHandler(Handler* handler) { handler_ = handler; }

  // Moves an established stream to another I/O thread and calls `arrived` there; the next call on
  // the stream must be Resume or Close. May be called from inside a callback of its handler, which
  // is not called again. No byte is lost: what has not been read waits in the socket and in
  // OpenSSL.
  static void MoveTo(std::unique_ptr<Transport> transport, IoThread& thread,
                     absl::AnyInvocable<void(std::unique_ptr<Transport> transport)> arrived);
  // Reports to `handler` from now on. OnReady is not called again, and nothing is called before
  // this returns.
  void Resume(Handler* handler);

  // Sends now what the socket takes and keeps the rest. A failure is reported by OnClosed later.
  void Send(std::string_view bytes);
  bool blocked() const { return pending_sent_ < pending_.size(); }
  // What Send took and the socket has not taken yet.
  size_t pending_bytes() const { return pending_.size() - pending_sent_; }
  // What the socket has taken since the beginning.
  uint64_t sent_bytes() const { return sent_bytes_; }

  // How much is read in one turn from now on, at most; at first, kReadBytesPerTurnMax. A handler that
  // finds that its bytes are much work asks for fewer.
  void SetReadBytesPerTurn(size_t bytes);

  // Gives back buffers that a connection at rest does not need; they come again with the next bytes.
  void ReleaseBuffers();

  // Closes at once; nothing is reported any more. What is pending is lost.
  void Close();
  bool closed() const { return fd_ < 0; }

  IoThread& thread() { return *thread_; }
  // Host and port of the other side.
  const std::string& peer_address() const { return peer_address_; }
  // Common name of its certificate; empty in clear.
  const std::string& peer_name() const { return peer_name_; }
  // ALPN's result; empty in clear or when the other side has no ALPN.
  std::string_view protocol() const { return protocol_; }
  bool is_tls() const { return tls_ != nullptr; }
  // When the first certificate of the chain ends by which the other side was believed last: its own,
  // that of the authority, or one between. Seconds of the wall clock since 1970. It is up to the owner
  // to look then (VerifyAgain) whether there is another chain. Nothing in clear.
  std::optional<int64_t> peer_valid_until_unix_s() const { return peer_valid_until_unix_s_; }
  // Whether the other side is believed by `context` as well, which may be newer than the one that the
  // connection was made with, and whether it still is by the same one. OK in clear. The transport must
  // be established.
  absl::Status VerifyAgain(const TlsContext& context) const;
  // Whether the TLS handshake, if any, is over.
  bool ready() const { return ready_; }
  // Whether it broke because the two sides do not agree on TLS, or one does not believe the other's
  // certificate. Another attempt would end the same way.
  bool refused_by_tls() const { return refused_by_tls_; }
  // Whether the other side has sent an alert that only its handshake can cause. Then it has looked
  // at nothing that was sent to it. Other errors, such as a record that was damaged on its way, do
  // not tell what it has looked at.
  bool handshake_was_refused() const { return handshake_was_refused_; }

 private:
  // A buffer that had to grow beyond this is given back once it is empty.
  static constexpr size_t kPendingKeptBytesMax = size_t{1} << 20;
  // Messages of TLS itself that the other side may send within a minute once the handshake is over:
  // tickets, new keys. Others do so a few times in a connection's life, or once for millions of
  // records; each costs us as much as many calls, and the sender next to nothing.
  static constexpr int kTlsMessagesMax = 32;

  void OnReady(uint32_t events) override;
  // OpenSSL calls it for each message of a protocol.
  static void OnTlsMessage(int is_sent, int version, int type, const void* bytes, size_t size,
                           ssl_st* ssl, void* transport);
  void CountTlsMessage();
  // From inside OpenSSL: it finds nothing more to read.
  void StopReading(std::string_view why);
  // In this turn, if there is a step left.
  void ContinueHandshake();
  void Step() override;
  void DoHandshake();
  void FinishHandshake();
  void ReadAvailable();
  // Bytes read into `buffer`; 0: nothing there now; negative: closed or broken, already reported.
  ssize_t ReadSome(char* buffer, size_t size_bytes);
  // Bytes taken; 0: the socket is full; negative: broken, `failure_` is set.
  ssize_t WriteSome(std::string_view bytes);
  void WritePending();
  void ReportFailureSoon();
  // Removes it from the poller, and from tasks of its thread.
  void Detach();
  void WatchWrites(bool watch);
  void Fail(absl::Status reason);
  absl::Status TlsError(int ssl_error, std::string_view doing);

  IoThread* thread_;
  int fd_;
  std::shared_ptr<const TlsContext> tls_;
  ssl_st* ssl_ = nullptr;
  Handler* handler_ = nullptr;
  std::string pending_;
  size_t pending_sent_ = 0;  // Of `pending_`, from its beginning.
  uint64_t sent_bytes_ = 0;
  size_t read_bytes_per_turn_ = kReadBytesPerTurnMax;
  std::string peer_address_;
  std::string peer_name_;
  std::string protocol_;
  mutable std::optional<int64_t> peer_valid_until_unix_s_;  // What the last verification found.
  absl::Status failure_;
  bool ready_ = false;
  bool waits_for_step_ = false;  // The poller does not know it meanwhile.
  bool watching_writes_ = false;
  bool refused_by_tls_ = false;
  bool handshake_was_refused_ = false;
  bool read_wants_write_ = false;  // TLS cannot go on reading until the socket takes bytes again.
  // Messages of TLS itself in the minute that began then.
  int tls_messages_ = 0;
  std::chrono::steady_clock::time_point tls_messages_since_;
  std::string_view abuse_;  // Why reading has stopped; empty: it has not.
  std::shared_ptr<void> kept_;
  std::shared_ptr<void> kept_here_;
  // Posted tasks share it, so that they do not touch a transport that is gone.
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace mokv::net
