// What the cases are made of, for the clients in C++: gRPC's sizes and words, requests, and checks whose
// failures say what was found.
//
// A case is a function that returns OK, or what was wrong.
#pragma once

#include <absl/status/status.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "grpc/testing/messages.pb.h"

namespace mokv::interop {

namespace pb = ::grpc::testing;

inline constexpr int kLargeRequest = 271828;
inline constexpr int kLargeResponse = 314159;
inline constexpr std::array<int, 4> kRequestSizes = {27182, 8, 1828, 45904};
inline constexpr std::array<int, 4> kResponseSizes = {31415, 9, 2653, 58979};
inline constexpr int kRequestSizesSum = 27182 + 8 + 1828 + 45904;
inline constexpr std::array<int, 2> kCompressedRequestSizes = {27182, 45904};
inline constexpr std::array<int, 2> kCompressedResponseSizes = {31415, 92653};

inline constexpr std::string_view kInitialName = "x-grpc-test-echo-initial";
inline constexpr std::string_view kInitialValue = "test_initial_metadata_value";
inline constexpr std::string_view kTrailingName = "x-grpc-test-echo-trailing-bin";
inline constexpr std::string_view kTrailingValue = "\xab\xab\xab";

inline constexpr int kUnknown = 2;  // Of gRPC's statuses.
inline constexpr std::string_view kStatusMessage = "test status message";
inline constexpr std::string_view kSpecialStatusMessage =
    "\t\ntest with whitespace\r\nand Unicode BMP \u263a and non-BMP \U0001f608\t\n";

// Before each answer of a stream.
inline constexpr std::chrono::milliseconds kInterval{20};
inline constexpr std::string_view kCacheControl = "max-age=60";

// No call of a case that goes well takes so long, on whatever machine.
inline constexpr int kCallSecondsMax = 30;

inline std::string Zeros(int size) { return std::string(static_cast<size_t>(size), '\0'); }

inline pb::SimpleRequest LargeRequest() {
  pb::SimpleRequest request;
  request.set_response_size(kLargeResponse);
  request.mutable_payload()->set_body(Zeros(kLargeRequest));
  return request;
}

// An answer of each size, an interval before each.
inline pb::StreamingOutputCallRequest IntervalRequest() {
  pb::StreamingOutputCallRequest request;
  for (const int size : kResponseSizes) {
    pb::ResponseParameters* parameters = request.add_response_parameters();
    parameters->set_size(size);
    parameters->set_interval_us(static_cast<int32_t>(std::chrono::microseconds(kInterval).count()));
  }
  return request;
}

// Since then intervals before so many answers have passed. Never less; how much more is the machine's.
inline absl::Status ExpectIntervals(std::chrono::steady_clock::time_point since, size_t answers) {
  if (std::chrono::steady_clock::now() - since >= answers * kInterval) return absl::OkStatus();
  return FailedPrecondition("answer {} came too early", answers);
}

inline pb::StreamingInputCallRequest InputRequest(int size) {
  pb::StreamingInputCallRequest request;
  request.mutable_payload()->set_body(Zeros(size));
  return request;
}

inline pb::StreamingOutputCallRequest OutputRequest(int request_size, int response_size) {
  pb::StreamingOutputCallRequest request;
  request.mutable_payload()->set_body(Zeros(request_size));
  request.add_response_parameters()->set_size(response_size);
  return request;
}

template <typename Request>
Request StatusRequest(std::string_view message) {
  Request request;
  request.mutable_response_status()->set_code(kUnknown);
  request.mutable_response_status()->set_message(std::string(message));
  return request;
}

template <typename Found, typename Wanted>
absl::Status Expect(std::string_view what, const Found& found, const Wanted& wanted) {
  if (found == wanted) return absl::OkStatus();
  return FailedPrecondition("{}: {}, not {}", what, found, wanted);
}

inline absl::Status ExpectZeros(const pb::Payload& payload, int size) {
  MOKV_RETURN_IF_ERROR(
      Expect("size of a payload", payload.body().size(), static_cast<size_t>(size)));
  const auto other = std::count_if(payload.body().begin(), payload.body().end(),
                                   [](char byte) { return byte != '\0'; });
  return Expect("bytes that are not zero", other, 0);
}

// The payload of CacheableUnaryCall, in nanoseconds; whose headers allow to keep it.
inline absl::Status ExpectTimestamp(const pb::Payload& payload, std::string_view cache_control) {
  MOKV_RETURN_IF_ERROR(Expect("leave to keep the answer",
                              cache_control.find(kCacheControl) != std::string_view::npos, true));
  const std::string& body = payload.body();
  return Expect("a number", !body.empty() && body.find_first_not_of("0123456789") == body.npos,
                true);
}

// Runs those that are named, and prints a line for each.
inline int RunCases(const std::map<std::string, std::function<absl::Status()>>& cases,
                    const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    const auto found = cases.find(name);
    if (found == cases.end()) {
      fmt::print(stderr, "there is no case {}\n", name);
      return 2;
    }
    const absl::Status status = found->second();
    std::string reason(MessageOf(status));
    std::replace(reason.begin(), reason.end(), '\n', ' ');
    fmt::print("{} {}\n", name, status.ok() ? "ok" : "failed " + reason);
    std::fflush(stdout);
  }
  return 0;
}

}  // namespace mokv::interop
