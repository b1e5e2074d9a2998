// A server that sends back what comes, and tells what it has seen of its connections. No turn of its
// threads may leave anything in OpenSSL's queue of errors, where another connection would find it.
#pragma once

#include <absl/status/status.h>

#include <map>
#include <memory>
#include <string>
#include <utility>

#include "base/mutex.h"
#include "base/testing/run_on.h"
#include "net/listener.h"
#include "net/testing/loopback.h"
#include "net/testing/openssl_errors.h"
#include "net/testing/raw_socket.h"

namespace mokv::net {

class EchoServer {
 public:
  static constexpr const char* kAlpn = "echo";
  static constexpr const char* kClearPrefix = "echo\n";

  explicit EchoServer(Listener::Options options, size_t threads = 1) : pool_(threads) {
    Protocol protocol{.alpn = kAlpn, .clear_prefix = kClearPrefix, .accept = nullptr};
    protocol.accept = [this](std::unique_ptr<Transport> transport, std::string_view first_bytes) {
      Take(std::move(transport), first_bytes);
    };
    listener_ = BindLoopback(pool_, std::move(protocol), std::move(options));
    for (size_t i = 0; i < threads; ++i) pool_.thread(i).AtTurnEnd(ExpectNoOpenSslErrors);
    pool_.Start();
    listener_->Start();
  }
  ~EchoServer() {
    listener_->Stop();
    pool_.Stop();
  }
  EchoServer(const EchoServer&) = delete;
  EchoServer& operator=(const EchoServer&) = delete;

  RawSocket Connect() const { return RawSocket(listener_->port()); }
  Listener& listener() { return *listener_; }
  const ListenerStats& stats() const { return listener_->stats(); }
  IoPool& pool() { return pool_; }

  // Runs `look` with the connections that are open, whose thread must be the only one.
  template <typename Look>
  void WithTransports(Look look) {
    RunOn(pool_.thread(0), [&] {
      MOKV_CHECK_EQ(pool_.size(), size_t{1});
      const MutexLock lock(mutex_);
      for (auto& [key, connection] : connections_) look(*connection->transport);
    });
  }

  size_t open() const {
    const MutexLock lock(mutex_);
    return connections_.size();
  }
  size_t open_on(size_t thread) const {
    const MutexLock lock(mutex_);
    size_t count = 0;
    for (const auto& [key, connection] : connections_) count += connection->thread == thread;
    return count;
  }
  // Of the connection that ended last.
  absl::Status last_end() const {
    const MutexLock lock(mutex_);
    return last_end_;
  }

 private:
  struct Connection final : Transport::Handler {
    explicit Connection(EchoServer& owner) : server(owner) {}
    void OnReady() override {}
    void OnBytes(std::string_view bytes) override { echo += bytes; }
    void OnReadEnd() override { transport->Send(std::exchange(echo, "")); }
    void OnWritable() override {}
    void OnClosed(const absl::Status& reason) override { server.Drop(this, reason); }

    EchoServer& server;
    size_t thread = 0;
    std::unique_ptr<Transport> transport;
    std::string echo;
  };

  void Take(std::unique_ptr<Transport> transport, std::string_view first_bytes) {
    auto connection = std::make_unique<Connection>(*this);
    Connection* added = connection.get();
    added->transport = std::move(transport);
    added->thread = added->transport->thread().index();
    {
      const MutexLock lock(mutex_);
      connections_.emplace(added, std::move(connection));
    }
    added->transport->SetHandler(added);
    added->transport->Send(first_bytes);
  }

  void Drop(Connection* connection, const absl::Status& reason) {
    const MutexLock lock(mutex_);
    last_end_ = reason;
    const auto found = connections_.find(connection);
    connection->transport->thread().DeleteSoon(std::move(found->second));
    connections_.erase(found);
  }

  IoPool pool_;
  std::unique_ptr<Listener> listener_;
  mutable Mutex mutex_;
  std::map<Connection*, std::unique_ptr<Connection>> connections_ ABSL_GUARDED_BY(mutex_);
  absl::Status last_end_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace mokv::net
