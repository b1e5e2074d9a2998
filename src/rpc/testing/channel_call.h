// Calls through a Channel whose results a test waits for.
#pragma once

#include <chrono>
#include <future>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "rpc/channel.h"

namespace mokv::rpc {

struct CallResult {
  absl::Status status;
  std::string message;                // Of a unary call.
  std::vector<std::string> messages;  // Of a stream.
  Metadata trailers;
  Reached reached = Reached::kNo;
};

inline std::future<CallResult> BeginCall(Channel& channel, std::string method, std::string request,
                                         Duration timeout = std::chrono::seconds(20)) {
  auto promise = std::make_shared<std::promise<CallResult>>();
  channel.Call(
      std::move(method), std::move(request), timeout,
      [promise](const CallEnd& end, std::string_view message) {
        promise->set_value({end.status, std::string(message), {}, end.trailers, end.reached});
      });
  return promise->get_future();
}

inline std::future<CallResult> BeginStreamCall(Channel& channel, std::string method,
                                               std::string request,
                                               Duration timeout = std::chrono::seconds(20)) {
  auto promise = std::make_shared<std::promise<CallResult>>();
  auto result = std::make_shared<CallResult>();
  channel.CallStream(
      std::move(method), std::move(request), timeout,
      [result](std::string_view message) { result->messages.emplace_back(message); },
      [result, promise](const CallEnd& end) {
        result->status = end.status;
        result->trailers = end.trailers;
        result->reached = end.reached;
        promise->set_value(std::move(*result));
      });
  return promise->get_future();
}

}  // namespace mokv::rpc
