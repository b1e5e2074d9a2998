// A server for clients that are written by hand, and handlers that many tests want.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "net/testing/loopback.h"
#include "rpc/server.h"

namespace mokv::rpc {

inline void Echo(UnaryCall& call) {
  call.response() += call.request();
  call.Finish();
}

// A stream that has nothing to say.
class Silent final : public MessageSource {
 public:
  Next Produce(std::string*) override { return Next::kWait; }
};

// Takes all messages and looks at none.
class Careless final : public MessageSink {
 public:
  void Take(const ReceivedMessage&) override {}
};

// Serves /t.T/Echo, Never, Large, Fails, Silent and Drain on one I/O thread, and what `add` adds.
class RawServerTest : public testing::Test {
 protected:
  explicit RawServerTest(const ServerOptions& options = Limits(),
                         const std::function<void(Server& server)>& add = nullptr)
      : server_(pool_, options, nullptr) {
    server_.AddUnary("/t.T/Echo", Echo);
    server_.AddUnary("/t.T/Never", [this](UnaryCall& call) {
      std::lock_guard<std::mutex> lock(mutex_);
      kept_.push_back(call.Defer({"nobody was in time", "fate", "unknown"}));
    });
    server_.AddUnary("/t.T/Large", [](UnaryCall& call) {
      call.response().append(size_t{8} << 20, 'x');
      call.Finish();
    });
    server_.AddUnary("/t.T/Fails", [](UnaryCall& call) {
      call.Fail(absl::NotFoundError(std::string(100'000, 'k')));
    });
    server_.AddServerStream("/t.T/Silent",
                            [](ServerStreamCall& call) { call.Start(std::make_unique<Silent>()); });
    server_.AddClientStream("/t.T/Drain", [this](ClientStreamCall& call) {
      std::lock_guard<std::mutex> lock(mutex_);
      kept_.push_back(call.Defer());
      call.Start(std::make_unique<Careless>());
    });
    if (add != nullptr) add(server_);
    listener_ = net::BindLoopback(pool_, server_.protocol());
    pool_.Start();
    listener_->Start();
  }

  ~RawServerTest() override {
    listener_->Stop();
    pool_.Stop();
    kept_.clear();
  }

  static ServerOptions Limits() {
    ServerOptions options;
    options.message_bytes_max = 1 << 20;
    options.calls_per_connection_max = 100;
    return options;
  }

  uint16_t port() const { return listener_->port(); }

  // Calls of Never that have begun and have no answer.
  size_t kept() {
    std::lock_guard<std::mutex> lock(mutex_);
    return kept_.size();
  }
  void AnswerKept() {
    std::lock_guard<std::mutex> lock(mutex_);
    for (Responder& responder : kept_) responder.Finish("");
    kept_.clear();
  }

  net::IoPool pool_{1};
  Server server_;
  std::unique_ptr<net::Listener> listener_;

 private:
  std::mutex mutex_;
  std::vector<Responder> kept_;
};

}  // namespace mokv::rpc
