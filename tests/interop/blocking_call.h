// BlockingCall: a call of our channel for code that waits: what it sends is queued, what it receives is
// waited for. Programs of one call at a time have no use for callbacks.
//
// Threads: for one thread, which must not be an I/O thread.
// Bounds:  every wait ends with the call's timeout.
#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "rpc/channel.h"

namespace mokv::interop {

class BlockingCall {
 public:
  struct Response {
    std::string bytes;
    bool was_compressed = false;
  };

  BlockingCall(rpc::Channel& channel, const std::string& method, rpc::CallOptions options)
      : talk_(std::make_shared<Talk>()),
        handle_(channel.Open(method, std::move(options), std::make_unique<Exchange>(talk_))) {}
  // One that is not over is cancelled.
  ~BlockingCall() { handle_.Cancel(); }
  BlockingCall(const BlockingCall&) = delete;
  BlockingCall& operator=(const BlockingCall&) = delete;

  void Send(std::string request,
            rpc::MessageCompression compression = rpc::MessageCompression::kNever) {
    {
      const std::lock_guard<std::mutex> lock(talk_->mutex);
      talk_->requests.push_back({std::move(request), compression});
    }
    handle_.Wake();
  }

  void HalfClose() {
    {
      const std::lock_guard<std::mutex> lock(talk_->mutex);
      talk_->half_closed = true;
    }
    handle_.Wake();
  }

  // Nothing: the call has ended.
  std::optional<Response> Receive() {
    std::unique_lock<std::mutex> lock(talk_->mutex);
    talk_->changed.wait(lock,
                        [this] { return !talk_->responses.empty() || talk_->end.has_value(); });
    if (talk_->responses.empty()) return std::nullopt;
    Response response = std::move(talk_->responses.front());
    talk_->responses.pop_front();
    return response;
  }

  void Cancel() { handle_.Cancel(); }

  // Waits for it.
  rpc::CallEnd End() {
    std::unique_lock<std::mutex> lock(talk_->mutex);
    talk_->changed.wait(lock, [this] { return talk_->end.has_value(); });
    return *talk_->end;
  }

  // After End.
  rpc::Metadata leading() const {
    const std::lock_guard<std::mutex> lock(talk_->mutex);
    return talk_->leading;
  }

 private:
  struct Request {
    std::string bytes;
    rpc::MessageCompression compression;
  };
  // Between this and the channel's thread.
  struct Talk {
    std::mutex mutex;
    std::condition_variable changed;
    std::deque<Request> requests;
    bool half_closed = false;
    std::deque<Response> responses;
    rpc::Metadata leading;
    std::optional<rpc::CallEnd> end;
  };

  class Exchange final : public rpc::ClientExchange {
   public:
    explicit Exchange(std::shared_ptr<Talk> talk) : talk_(std::move(talk)) {}

    Next Produce(std::string* message) override {
      const std::lock_guard<std::mutex> lock(talk_->mutex);
      if (talk_->requests.empty()) return talk_->half_closed ? Next::kEnd : Next::kWait;
      *message += talk_->requests.front().bytes;
      compression_ = talk_->requests.front().compression;
      talk_->requests.pop_front();
      return Next::kMessage;
    }
    rpc::MessageCompression compression() const override { return compression_; }

    void OnLeading(const rpc::Metadata& leading) override {
      const std::lock_guard<std::mutex> lock(talk_->mutex);
      talk_->leading = leading;
    }
    void Take(const rpc::ReceivedMessage& message) override {
      const std::lock_guard<std::mutex> lock(talk_->mutex);
      talk_->responses.push_back({std::string(message.bytes), message.was_compressed});
      talk_->changed.notify_one();
    }
    void OnEnd(const rpc::CallEnd& end) override {
      const std::lock_guard<std::mutex> lock(talk_->mutex);
      talk_->end = end;
      talk_->changed.notify_one();
    }

   private:
    std::shared_ptr<Talk> talk_;
    rpc::MessageCompression compression_ = rpc::MessageCompression::kNever;
  };

  std::shared_ptr<Talk> talk_;
  rpc::CallHandle handle_;
};

}  // namespace mokv::interop
