// interop_client: drives an interoperability server with our client channel.
//   interop_client --port P [--tls-ca-file F [--tls-cert-file F --tls-key-file F]] CASE...
// One line for each case: `CASE ok` or `CASE failed WHY`.
#include <chrono>
#include <cstdio>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "arguments.h"
#include "base/status.h"
#include "blocking_call.h"
#include "cases.h"
#include "net/io_pool.h"
#include "rpc/channel.h"

namespace mokv::interop {
namespace {

using absl::StatusCode;
using rpc::MessageCompression;

constexpr std::string_view kTestService = "TestService";

std::string PathOf(std::string_view service, std::string_view method) {
  return fmt::format("/grpc.testing.{}/{}", service, method);
}

rpc::CallOptions Options() { return {.timeout = std::chrono::seconds(kCallSecondsMax)}; }

// With leave to compress, which is said before the first message.
rpc::CallOptions CompressingOptions() {
  rpc::CallOptions options = Options();
  options.compress = true;
  return options;
}

struct Call : BlockingCall {
  Call(rpc::Channel& channel, std::string_view method, rpc::CallOptions options = Options())
      : BlockingCall(channel, PathOf(kTestService, method), std::move(options)) {}
};

absl::Status ExpectStatus(const absl::Status& status, StatusCode code) {
  if (status.code() == code) return absl::OkStatus();
  return FailedPrecondition("status: {}, not {}", status.ToString(), static_cast<int>(code));
}

absl::Status ExpectStatus(const absl::Status& status, StatusCode code, std::string_view message) {
  MOKV_RETURN_IF_ERROR(ExpectStatus(status, code));
  return Expect("message", MessageOf(status), message);
}

// The next response, which must be one. An end instead must be another than OK, and says why.
template <typename Message>
absl::Status Receive(BlockingCall& call, Message* response, bool* was_compressed = nullptr) {
  const auto received = call.Receive();
  if (!received.has_value()) {
    MOKV_RETURN_IF_ERROR(call.End().status);
    return FailedPrecondition("the call ended without a response");
  }
  if (!response->ParseFromString(received->bytes)) {
    return DataLoss("a response is not a {}", response->GetTypeName());
  }
  if (was_compressed != nullptr) *was_compressed = received->was_compressed;
  return absl::OkStatus();
}

absl::Status ExpectEnd(BlockingCall& call, StatusCode code) {
  MOKV_RETURN_IF_ERROR(Expect("a further response", call.Receive().has_value(), false));
  return ExpectStatus(call.End().status, code);
}

absl::Status ExpectEnd(BlockingCall& call, StatusCode code, std::string_view message) {
  MOKV_RETURN_IF_ERROR(ExpectEnd(call, code));
  return ExpectStatus(call.End().status, code, message);
}

// Of a call with one request.
template <typename Request>
void SendOnly(BlockingCall& call, const Request& request,
              MessageCompression compression = MessageCompression::kNever) {
  call.Send(request.SerializeAsString(), compression);
  call.HalfClose();
}

MessageCompression CompressedIf(bool compressed) {
  return compressed ? MessageCompression::kAlways : MessageCompression::kNever;
}

absl::Status EmptyUnary(rpc::Channel& channel) {
  Call call(channel, "EmptyCall");
  call.Send("");
  call.HalfClose();
  const auto response = call.Receive();
  if (!response.has_value()) return ExpectStatus(call.End().status, StatusCode::kOk);
  MOKV_RETURN_IF_ERROR(Expect("size of the response", response->bytes.size(), size_t{0}));
  return ExpectEnd(call, StatusCode::kOk);
}

// A call whose answer is a large response and OK.
absl::Status ExpectLargeResponse(BlockingCall& call, bool* was_compressed = nullptr) {
  pb::SimpleResponse response;
  MOKV_RETURN_IF_ERROR(Receive(call, &response, was_compressed));
  MOKV_RETURN_IF_ERROR(ExpectZeros(response.payload(), kLargeResponse));
  return ExpectEnd(call, StatusCode::kOk);
}

absl::Status LargeUnary(rpc::Channel& channel) {
  Call call(channel, "UnaryCall");
  SendOnly(call, LargeRequest());
  return ExpectLargeResponse(call);
}

absl::Status ClientCompressedUnaryNoProbe(rpc::Channel& channel) {
  for (const bool compressed : {true, false}) {
    Call call(channel, "UnaryCall", CompressingOptions());
    pb::SimpleRequest request = LargeRequest();
    request.mutable_expect_compressed()->set_value(compressed);
    SendOnly(call, request, CompressedIf(compressed));
    MOKV_RETURN_IF_ERROR(ExpectLargeResponse(call));
  }
  return absl::OkStatus();
}

absl::Status ClientCompressedUnary(rpc::Channel& channel) {
  Call probe(channel, "UnaryCall");
  pb::SimpleRequest request = LargeRequest();
  request.mutable_expect_compressed()->set_value(true);
  SendOnly(probe, request);
  MOKV_RETURN_IF_ERROR(ExpectEnd(probe, StatusCode::kInvalidArgument));
  return ClientCompressedUnaryNoProbe(channel);
}

absl::Status ServerCompressedUnary(rpc::Channel& channel) {
  for (const bool compressed : {true, false}) {
    Call call(channel, "UnaryCall");
    pb::SimpleRequest request = LargeRequest();
    request.mutable_response_compressed()->set_value(compressed);
    SendOnly(call, request);
    bool was_compressed = false;
    MOKV_RETURN_IF_ERROR(ExpectLargeResponse(call, &was_compressed));
    MOKV_RETURN_IF_ERROR(Expect("the response came compressed", was_compressed, compressed));
  }
  return absl::OkStatus();
}

absl::Status ExpectSum(BlockingCall& call, int sum) {
  pb::StreamingInputCallResponse response;
  MOKV_RETURN_IF_ERROR(Receive(call, &response));
  MOKV_RETURN_IF_ERROR(Expect("sum", response.aggregated_payload_size(), sum));
  return ExpectEnd(call, StatusCode::kOk);
}

absl::Status ClientStreaming(rpc::Channel& channel) {
  Call call(channel, "StreamingInputCall");
  for (const int size : kRequestSizes) call.Send(InputRequest(size).SerializeAsString());
  call.HalfClose();
  return ExpectSum(call, kRequestSizesSum);
}

absl::Status ClientCompressedStreamingNoProbe(rpc::Channel& channel) {
  Call call(channel, "StreamingInputCall", CompressingOptions());
  for (const bool compressed : {true, false}) {
    pb::StreamingInputCallRequest request =
        InputRequest(kCompressedRequestSizes[compressed ? 0 : 1]);
    request.mutable_expect_compressed()->set_value(compressed);
    call.Send(request.SerializeAsString(), CompressedIf(compressed));
  }
  call.HalfClose();
  return ExpectSum(call, kCompressedRequestSizes[0] + kCompressedRequestSizes[1]);
}

absl::Status ClientCompressedStreaming(rpc::Channel& channel) {
  Call probe(channel, "StreamingInputCall", CompressingOptions());
  pb::StreamingInputCallRequest request = InputRequest(kCompressedRequestSizes[0]);
  request.mutable_expect_compressed()->set_value(true);
  SendOnly(probe, request);
  MOKV_RETURN_IF_ERROR(ExpectEnd(probe, StatusCode::kInvalidArgument));
  return ClientCompressedStreamingNoProbe(channel);
}

absl::Status ServerStreaming(rpc::Channel& channel) {
  Call call(channel, "StreamingOutputCall");
  pb::StreamingOutputCallRequest request;
  for (const int size : kResponseSizes) request.add_response_parameters()->set_size(size);
  SendOnly(call, request);
  for (const int size : kResponseSizes) {
    pb::StreamingOutputCallResponse response;
    MOKV_RETURN_IF_ERROR(Receive(call, &response));
    MOKV_RETURN_IF_ERROR(ExpectZeros(response.payload(), size));
  }
  return ExpectEnd(call, StatusCode::kOk);
}

// Each answer of either kind of stream waits its interval, behind the one before.
absl::Status Intervals(rpc::Channel& channel) {
  for (const std::string_view method : {"StreamingOutputCall", "FullDuplexCall"}) {
    const auto since = std::chrono::steady_clock::now();
    Call call(channel, method);
    SendOnly(call, IntervalRequest());
    for (size_t i = 0; i < kResponseSizes.size(); ++i) {
      pb::StreamingOutputCallResponse response;
      MOKV_RETURN_IF_ERROR(Receive(call, &response));
      MOKV_RETURN_IF_ERROR(ExpectIntervals(since, i + 1));
      MOKV_RETURN_IF_ERROR(ExpectZeros(response.payload(), kResponseSizes[i]));
    }
    MOKV_RETURN_IF_ERROR(ExpectEnd(call, StatusCode::kOk));
  }
  return absl::OkStatus();
}

absl::Status ServerCompressedStreaming(rpc::Channel& channel) {
  Call call(channel, "StreamingOutputCall");
  pb::StreamingOutputCallRequest request;
  for (const bool compressed : {true, false}) {
    pb::ResponseParameters* parameters = request.add_response_parameters();
    parameters->set_size(kCompressedResponseSizes[compressed ? 0 : 1]);
    parameters->mutable_compressed()->set_value(compressed);
  }
  SendOnly(call, request);
  for (const bool compressed : {true, false}) {
    pb::StreamingOutputCallResponse response;
    bool was_compressed = false;
    MOKV_RETURN_IF_ERROR(Receive(call, &response, &was_compressed));
    MOKV_RETURN_IF_ERROR(
        ExpectZeros(response.payload(), kCompressedResponseSizes[compressed ? 0 : 1]));
    MOKV_RETURN_IF_ERROR(Expect("the response came compressed", was_compressed, compressed));
  }
  return ExpectEnd(call, StatusCode::kOk);
}

absl::Status PingPong(rpc::Channel& channel) {
  Call call(channel, "FullDuplexCall");
  for (size_t i = 0; i < kRequestSizes.size(); ++i) {
    call.Send(OutputRequest(kRequestSizes[i], kResponseSizes[i]).SerializeAsString());
    pb::StreamingOutputCallResponse response;
    MOKV_RETURN_IF_ERROR(Receive(call, &response));
    MOKV_RETURN_IF_ERROR(ExpectZeros(response.payload(), kResponseSizes[i]));
  }
  call.HalfClose();
  return ExpectEnd(call, StatusCode::kOk);
}

// All answers follow the last request.
absl::Status HalfDuplex(rpc::Channel& channel) {
  Call call(channel, "HalfDuplexCall");
  for (size_t i = 0; i < kRequestSizes.size(); ++i) {
    call.Send(OutputRequest(kRequestSizes[i], kResponseSizes[i]).SerializeAsString());
  }
  call.HalfClose();
  for (const int size : kResponseSizes) {
    pb::StreamingOutputCallResponse response;
    MOKV_RETURN_IF_ERROR(Receive(call, &response));
    MOKV_RETURN_IF_ERROR(ExpectZeros(response.payload(), size));
  }
  return ExpectEnd(call, StatusCode::kOk);
}

absl::Status EmptyStream(rpc::Channel& channel) {
  Call call(channel, "FullDuplexCall");
  call.HalfClose();
  return ExpectEnd(call, StatusCode::kOk);
}

absl::Status CancelAfterBegin(rpc::Channel& channel) {
  Call call(channel, "StreamingInputCall");
  call.Cancel();
  return ExpectEnd(call, StatusCode::kCancelled);
}

absl::Status CancelAfterFirstResponse(rpc::Channel& channel) {
  Call call(channel, "FullDuplexCall");
  call.Send(OutputRequest(kRequestSizes[0], kResponseSizes[0]).SerializeAsString());
  pb::StreamingOutputCallResponse response;
  MOKV_RETURN_IF_ERROR(Receive(call, &response));
  MOKV_RETURN_IF_ERROR(ExpectZeros(response.payload(), kResponseSizes[0]));
  call.Cancel();
  return ExpectEnd(call, StatusCode::kCancelled);
}

absl::Status TimeoutOnSleepingServer(rpc::Channel& channel) {
  Call call(channel, "FullDuplexCall", {.timeout = std::chrono::milliseconds(1)});
  pb::StreamingOutputCallRequest request;
  request.mutable_payload()->set_body(Zeros(kRequestSizes[0]));
  call.Send(request.SerializeAsString());
  return ExpectEnd(call, StatusCode::kDeadlineExceeded);
}

absl::Status ExpectEntry(const rpc::Metadata& metadata, std::string_view name,
                         std::string_view value) {
  for (const rpc::MetadataEntry& entry : metadata) {
    if (entry.name == name) return Expect(name, std::string_view(entry.value), value);
  }
  return FailedPrecondition("there is no {}", name);
}

absl::Status ExpectMetadata(BlockingCall& call) {
  MOKV_RETURN_IF_ERROR(ExpectEntry(call.End().trailers, kTrailingName, kTrailingValue));
  return ExpectEntry(call.leading(), kInitialName, kInitialValue);
}

absl::Status CustomMetadata(rpc::Channel& channel) {
  rpc::CallOptions options = Options();
  options.metadata = {{std::string(kInitialName), std::string(kInitialValue)},
                      {std::string(kTrailingName), std::string(kTrailingValue)}};
  Call unary(channel, "UnaryCall", options);
  SendOnly(unary, LargeRequest());
  MOKV_RETURN_IF_ERROR(ExpectLargeResponse(unary));
  MOKV_RETURN_IF_ERROR(ExpectMetadata(unary));

  Call stream(channel, "FullDuplexCall", options);
  SendOnly(stream, OutputRequest(kLargeRequest, kLargeResponse));
  pb::StreamingOutputCallResponse response;
  MOKV_RETURN_IF_ERROR(Receive(stream, &response));
  MOKV_RETURN_IF_ERROR(ExpectZeros(response.payload(), kLargeResponse));
  MOKV_RETURN_IF_ERROR(ExpectEnd(stream, StatusCode::kOk));
  return ExpectMetadata(stream);
}

// Without a proxy: what one would go by.
absl::Status CacheableUnary(rpc::Channel& channel) {
  Call call(channel, "CacheableUnaryCall");
  SendOnly(call, pb::SimpleRequest());
  pb::SimpleResponse response;
  MOKV_RETURN_IF_ERROR(Receive(call, &response));
  MOKV_RETURN_IF_ERROR(ExpectEnd(call, StatusCode::kOk));
  std::string cache_control;
  for (const rpc::MetadataEntry& entry : call.leading()) {
    if (entry.name == "cache-control") cache_control = entry.value;
  }
  return ExpectTimestamp(response.payload(), cache_control);
}

absl::Status StatusCodeAndMessage(rpc::Channel& channel) {
  Call unary(channel, "UnaryCall");
  SendOnly(unary, StatusRequest<pb::SimpleRequest>(kStatusMessage));
  MOKV_RETURN_IF_ERROR(ExpectEnd(unary, StatusCode::kUnknown, kStatusMessage));
  Call stream(channel, "FullDuplexCall");
  SendOnly(stream, StatusRequest<pb::StreamingOutputCallRequest>(kStatusMessage));
  return ExpectEnd(stream, StatusCode::kUnknown, kStatusMessage);
}

absl::Status SpecialStatusMessage(rpc::Channel& channel) {
  Call call(channel, "UnaryCall");
  SendOnly(call, StatusRequest<pb::SimpleRequest>(kSpecialStatusMessage));
  return ExpectEnd(call, StatusCode::kUnknown, kSpecialStatusMessage);
}

absl::Status Unimplemented(rpc::Channel& channel, std::string_view service) {
  BlockingCall call(channel, PathOf(service, "UnimplementedCall"), Options());
  call.Send("");
  call.HalfClose();
  return ExpectEnd(call, StatusCode::kUnimplemented);
}

absl::StatusOr<std::shared_ptr<const net::TlsContext>> TlsOf(const Arguments& arguments) {
  if (arguments.ca_file.empty()) return nullptr;
  return net::TlsContext::ForClient({.certificate_file = arguments.certificate_file,
                                     .key_file = arguments.key_file,
                                     .ca_file = arguments.ca_file},
                                    {"h2"});
}

int Run(const Arguments& arguments, std::shared_ptr<const net::TlsContext> tls) {
  net::IoPool pool(1);
  pool.Start();
  rpc::Channel channel(pool.thread(0),
                       {.target = {"127.0.0.1", arguments.port}, .tls = std::move(tls)});
  const auto on_channel = [&channel](absl::Status (*run)(rpc::Channel&)) {
    return [&channel, run] { return run(channel); };
  };
  return RunCases(
      {
          {"empty_unary", on_channel(EmptyUnary)},
          {"cacheable_unary", on_channel(CacheableUnary)},
          {"large_unary", on_channel(LargeUnary)},
          {"client_compressed_unary", on_channel(ClientCompressedUnary)},
          {"client_compressed_unary_noprobe", on_channel(ClientCompressedUnaryNoProbe)},
          {"server_compressed_unary", on_channel(ServerCompressedUnary)},
          {"client_streaming", on_channel(ClientStreaming)},
          {"client_compressed_streaming", on_channel(ClientCompressedStreaming)},
          {"client_compressed_streaming_noprobe", on_channel(ClientCompressedStreamingNoProbe)},
          {"server_streaming", on_channel(ServerStreaming)},
          {"server_compressed_streaming", on_channel(ServerCompressedStreaming)},
          {"intervals", on_channel(Intervals)},
          {"ping_pong", on_channel(PingPong)},
          {"half_duplex", on_channel(HalfDuplex)},
          {"empty_stream", on_channel(EmptyStream)},
          {"cancel_after_begin", on_channel(CancelAfterBegin)},
          {"cancel_after_first_response", on_channel(CancelAfterFirstResponse)},
          {"timeout_on_sleeping_server", on_channel(TimeoutOnSleepingServer)},
          {"custom_metadata", on_channel(CustomMetadata)},
          {"status_code_and_message", on_channel(StatusCodeAndMessage)},
          {"special_status_message", on_channel(SpecialStatusMessage)},
          {"unimplemented_method", [&] { return Unimplemented(channel, kTestService); }},
          {"unimplemented_service", [&] { return Unimplemented(channel, "UnimplementedService"); }},
      },
      arguments.cases);
}

}  // namespace
}  // namespace mokv::interop

int main(int argc, char** argv) {
  mokv::interop::Arguments arguments;
  CLI::App app("Drives an interoperability server with the client channel of mökv.");
  mokv::interop::AddArguments(app, arguments);
  mokv::interop::AddCases(app, arguments);
  CLI11_PARSE(app, argc, argv);
  auto tls = mokv::interop::TlsOf(arguments);
  if (tls.ok()) return mokv::interop::Run(arguments, *std::move(tls));
  std::fprintf(stderr, "%s\n", std::string(mokv::MessageOf(tls.status())).c_str());
  return 2;
}
