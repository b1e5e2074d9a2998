// What the cases are made of, for the clients in C++: gRPC's sizes and words, requests, and checks whose
// failures say what was found.
//
// A case is a function that returns OK, or what was wrong.
#pragma once

#include <absl/status/status.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
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

// No call of a case that goes well takes so long, on whatever machine.
inline constexpr int kCallSecondsMax = 30;

inline std::string Zeros(int size) { return std::string(static_cast<size_t>(size), '\0'); }

inline pb::SimpleRequest LargeRequest() {
  pb::SimpleRequest request;
  request.set_response_size(kLargeResponse);
  request.mutable_payload()->set_body(Zeros(kLargeRequest));
  return request;
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
