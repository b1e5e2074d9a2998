// Drives an interoperability server with grpc++ (synchronous).
//   client --port N [--tls-ca-file F [--tls-cert-file F --tls-key-file F]] CASE...
#include <grpcpp/grpcpp.h>

#include <chrono>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <utility>

#include "arguments.h"
#include "cases.h"
#include "grpc/testing/test.grpc.pb.h"
#include "grpc_cpp/compressed.h"

namespace mokv::interop {
namespace {

using grpc::StatusCode;
using Stub = pb::TestService::Stub;

// A context must live as long as its call, and serves for one only.
struct Context : grpc::ClientContext {
  Context() {
    set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(kCallSecondsMax));
  }
};

absl::Status ExpectStatus(const grpc::Status& status, StatusCode code) {
  if (status.error_code() == code) return absl::OkStatus();
  return FailedPrecondition("status: {} ({}), not {}", static_cast<int>(status.error_code()),
                            status.error_message(), static_cast<int>(code));
}

absl::Status ExpectStatus(const grpc::Status& status, StatusCode code, std::string_view message) {
  MOKV_RETURN_IF_ERROR(ExpectStatus(status, code));
  return Expect("message", std::string_view(status.error_message()), message);
}

absl::Status ExpectWasCompressed(grpc::ClientContext& context, bool expected) {
  return Expect("a response came compressed", WasCompressed(context.c_call()), expected);
}

absl::Status EmptyUnary(Stub& stub) {
  Context context;
  pb::Empty response;
  MOKV_RETURN_IF_ERROR(
      ExpectStatus(stub.EmptyCall(&context, pb::Empty(), &response), StatusCode::OK));
  return Expect("size of the response", response.ByteSizeLong(), size_t{0});
}

absl::Status LargeUnary(Stub& stub) {
  Context context;
  pb::SimpleResponse response;
  MOKV_RETURN_IF_ERROR(
      ExpectStatus(stub.UnaryCall(&context, LargeRequest(), &response), StatusCode::OK));
  return ExpectZeros(response.payload(), kLargeResponse);
}

absl::Status ClientCompressedUnaryNoProbe(Stub& stub) {
  pb::SimpleRequest request = LargeRequest();
  pb::SimpleResponse response;
  for (const bool compressed : {true, false}) {
    Context context;
    context.set_compression_algorithm(compressed ? GRPC_COMPRESS_GZIP : GRPC_COMPRESS_NONE);
    request.mutable_expect_compressed()->set_value(compressed);
    MOKV_RETURN_IF_ERROR(
        ExpectStatus(stub.UnaryCall(&context, request, &response), StatusCode::OK));
    MOKV_RETURN_IF_ERROR(ExpectZeros(response.payload(), kLargeResponse));
  }
  return absl::OkStatus();
}

absl::Status ClientCompressedUnary(Stub& stub) {
  pb::SimpleRequest request = LargeRequest();
  pb::SimpleResponse response;
  request.mutable_expect_compressed()->set_value(true);
  Context probe;
  probe.set_compression_algorithm(GRPC_COMPRESS_NONE);
  MOKV_RETURN_IF_ERROR(
      ExpectStatus(stub.UnaryCall(&probe, request, &response), StatusCode::INVALID_ARGUMENT));
  return ClientCompressedUnaryNoProbe(stub);
}

absl::Status ServerCompressedUnary(Stub& stub) {
  for (const bool compressed : {true, false}) {
    Context context;
    pb::SimpleRequest request = LargeRequest();
    pb::SimpleResponse response;
    request.mutable_response_compressed()->set_value(compressed);
    MOKV_RETURN_IF_ERROR(
        ExpectStatus(stub.UnaryCall(&context, request, &response), StatusCode::OK));
    MOKV_RETURN_IF_ERROR(ExpectZeros(response.payload(), kLargeResponse));
    MOKV_RETURN_IF_ERROR(ExpectWasCompressed(context, compressed));
  }
  return absl::OkStatus();
}

absl::Status ClientStreaming(Stub& stub) {
  Context context;
  pb::StreamingInputCallResponse response;
  const auto stream = stub.StreamingInputCall(&context, &response);
  for (const int size : kRequestSizes) {
    if (!stream->Write(InputRequest(size))) break;  // Finish says why.
  }
  stream->WritesDone();
  MOKV_RETURN_IF_ERROR(ExpectStatus(stream->Finish(), StatusCode::OK));
  return Expect("sum", response.aggregated_payload_size(), kRequestSizesSum);
}

absl::Status ClientCompressedStreamingNoProbe(Stub& stub) {
  Context context;
  context.set_compression_algorithm(GRPC_COMPRESS_GZIP);
  pb::StreamingInputCallResponse response;
  const auto stream = stub.StreamingInputCall(&context, &response);
  for (const bool compressed : {true, false}) {
    pb::StreamingInputCallRequest request =
        InputRequest(kCompressedRequestSizes[compressed ? 0 : 1]);
    request.mutable_expect_compressed()->set_value(compressed);
    grpc::WriteOptions options;
    if (!compressed) options.set_no_compression();
    if (!stream->Write(request, options)) break;  // Finish says why.
  }
  stream->WritesDone();
  MOKV_RETURN_IF_ERROR(ExpectStatus(stream->Finish(), StatusCode::OK));
  return Expect("sum", response.aggregated_payload_size(),
                kCompressedRequestSizes[0] + kCompressedRequestSizes[1]);
}

absl::Status ClientCompressedStreaming(Stub& stub) {
  Context probe;
  probe.set_compression_algorithm(GRPC_COMPRESS_GZIP);
  pb::StreamingInputCallRequest request = InputRequest(kCompressedRequestSizes[0]);
  request.mutable_expect_compressed()->set_value(true);
  pb::StreamingInputCallResponse response;
  const auto stream = stub.StreamingInputCall(&probe, &response);
  stream->Write(request, grpc::WriteOptions().set_no_compression());
  stream->WritesDone();
  MOKV_RETURN_IF_ERROR(ExpectStatus(stream->Finish(), StatusCode::INVALID_ARGUMENT));
  return ClientCompressedStreamingNoProbe(stub);
}

absl::Status ServerStreaming(Stub& stub) {
  Context context;
  pb::StreamingOutputCallRequest request;
  for (const int size : kResponseSizes) request.add_response_parameters()->set_size(size);
  const auto stream = stub.StreamingOutputCall(&context, request);
  pb::StreamingOutputCallResponse response;
  size_t count = 0;
  for (; stream->Read(&response); ++count) {
    if (count == kResponseSizes.size()) return FailedPrecondition("more responses than asked for");
    MOKV_RETURN_IF_ERROR(ExpectZeros(response.payload(), kResponseSizes[count]));
  }
  MOKV_RETURN_IF_ERROR(ExpectStatus(stream->Finish(), StatusCode::OK));
  return Expect("responses", count, kResponseSizes.size());
}

absl::Status ServerCompressedStreaming(Stub& stub) {
  Context context;
  pb::StreamingOutputCallRequest request;
  for (const bool compressed : {true, false}) {
    pb::ResponseParameters* parameters = request.add_response_parameters();
    parameters->set_size(kCompressedResponseSizes[compressed ? 0 : 1]);
    parameters->mutable_compressed()->set_value(compressed);
  }
  const auto stream = stub.StreamingOutputCall(&context, request);
  pb::StreamingOutputCallResponse response;
  for (const bool compressed : {true, false}) {
    if (!stream->Read(&response)) return ExpectStatus(stream->Finish(), StatusCode::OK);
    MOKV_RETURN_IF_ERROR(
        ExpectZeros(response.payload(), kCompressedResponseSizes[compressed ? 0 : 1]));
    MOKV_RETURN_IF_ERROR(ExpectWasCompressed(context, compressed));
  }
  MOKV_RETURN_IF_ERROR(Expect("a third response", stream->Read(&response), false));
  return ExpectStatus(stream->Finish(), StatusCode::OK);
}

// Each answer of either kind of stream waits its interval, behind the one before.
template <typename Stream>
absl::Status ReadInIntervals(std::chrono::steady_clock::time_point since, Stream& stream) {
  pb::StreamingOutputCallResponse response;
  for (size_t i = 0; i < kResponseSizes.size(); ++i) {
    if (!stream.Read(&response)) return ExpectStatus(stream.Finish(), StatusCode::OK);
    MOKV_RETURN_IF_ERROR(ExpectIntervals(since, i + 1));
    MOKV_RETURN_IF_ERROR(ExpectZeros(response.payload(), kResponseSizes[i]));
  }
  MOKV_RETURN_IF_ERROR(Expect("a further response", stream.Read(&response), false));
  return ExpectStatus(stream.Finish(), StatusCode::OK);
}

absl::Status Intervals(Stub& stub) {
  Context output;
  auto since = std::chrono::steady_clock::now();
  const auto answers = stub.StreamingOutputCall(&output, IntervalRequest());
  MOKV_RETURN_IF_ERROR(ReadInIntervals(since, *answers));
  Context duplex;
  since = std::chrono::steady_clock::now();
  const auto stream = stub.FullDuplexCall(&duplex);
  stream->Write(IntervalRequest());
  stream->WritesDone();
  return ReadInIntervals(since, *stream);
}

absl::Status PingPong(Stub& stub) {
  Context context;
  const auto stream = stub.FullDuplexCall(&context);
  pb::StreamingOutputCallResponse response;
  for (size_t i = 0; i < kRequestSizes.size(); ++i) {
    stream->Write(OutputRequest(kRequestSizes[i], kResponseSizes[i]));
    if (!stream->Read(&response)) return ExpectStatus(stream->Finish(), StatusCode::OK);
    MOKV_RETURN_IF_ERROR(ExpectZeros(response.payload(), kResponseSizes[i]));
  }
  stream->WritesDone();
  MOKV_RETURN_IF_ERROR(Expect("a further response", stream->Read(&response), false));
  return ExpectStatus(stream->Finish(), StatusCode::OK);
}

// All answers follow the last request.
absl::Status HalfDuplex(Stub& stub) {
  Context context;
  const auto stream = stub.HalfDuplexCall(&context);
  for (size_t i = 0; i < kRequestSizes.size(); ++i) {
    stream->Write(OutputRequest(kRequestSizes[i], kResponseSizes[i]));
  }
  stream->WritesDone();
  pb::StreamingOutputCallResponse response;
  for (const int size : kResponseSizes) {
    if (!stream->Read(&response)) return ExpectStatus(stream->Finish(), StatusCode::OK);
    MOKV_RETURN_IF_ERROR(ExpectZeros(response.payload(), size));
  }
  MOKV_RETURN_IF_ERROR(Expect("a further response", stream->Read(&response), false));
  return ExpectStatus(stream->Finish(), StatusCode::OK);
}

absl::Status EmptyStream(Stub& stub) {
  Context context;
  const auto stream = stub.FullDuplexCall(&context);
  stream->WritesDone();
  pb::StreamingOutputCallResponse response;
  MOKV_RETURN_IF_ERROR(Expect("a response", stream->Read(&response), false));
  return ExpectStatus(stream->Finish(), StatusCode::OK);
}

absl::Status CancelAfterBegin(Stub& stub) {
  Context context;
  pb::StreamingInputCallResponse response;
  const auto stream = stub.StreamingInputCall(&context, &response);
  context.TryCancel();
  return ExpectStatus(stream->Finish(), StatusCode::CANCELLED);
}

absl::Status CancelAfterFirstResponse(Stub& stub) {
  Context context;
  const auto stream = stub.FullDuplexCall(&context);
  stream->Write(OutputRequest(kRequestSizes[0], kResponseSizes[0]));
  pb::StreamingOutputCallResponse response;
  if (!stream->Read(&response)) return ExpectStatus(stream->Finish(), StatusCode::OK);
  MOKV_RETURN_IF_ERROR(ExpectZeros(response.payload(), kResponseSizes[0]));
  context.TryCancel();
  return ExpectStatus(stream->Finish(), StatusCode::CANCELLED);
}

absl::Status TimeoutOnSleepingServer(Stub& stub) {
  Context context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(1));
  const auto stream = stub.FullDuplexCall(&context);
  pb::StreamingOutputCallRequest request;
  request.mutable_payload()->set_body(Zeros(kRequestSizes[0]));
  stream->Write(request);
  pb::StreamingOutputCallResponse response;
  MOKV_RETURN_IF_ERROR(Expect("a response", stream->Read(&response), false));
  return ExpectStatus(stream->Finish(), StatusCode::DEADLINE_EXCEEDED);
}

void SendMetadata(grpc::ClientContext& context) {
  context.AddMetadata(std::string(kInitialName), std::string(kInitialValue));
  context.AddMetadata(std::string(kTrailingName), std::string(kTrailingValue));
}

using Received = std::multimap<grpc::string_ref, grpc::string_ref>;

absl::Status ExpectEntry(const Received& received, std::string_view name, std::string_view value) {
  const auto found = received.find(grpc::string_ref(name.data(), name.size()));
  if (found == received.end()) return FailedPrecondition("there is no {}", name);
  return Expect(name, std::string_view(found->second.data(), found->second.size()), value);
}

absl::Status ExpectMetadata(const grpc::ClientContext& context) {
  MOKV_RETURN_IF_ERROR(
      ExpectEntry(context.GetServerInitialMetadata(), kInitialName, kInitialValue));
  return ExpectEntry(context.GetServerTrailingMetadata(), kTrailingName, kTrailingValue);
}

absl::Status CustomMetadata(Stub& stub) {
  Context unary;
  SendMetadata(unary);
  pb::SimpleResponse unary_response;
  MOKV_RETURN_IF_ERROR(
      ExpectStatus(stub.UnaryCall(&unary, LargeRequest(), &unary_response), StatusCode::OK));
  MOKV_RETURN_IF_ERROR(ExpectMetadata(unary));

  Context context;
  SendMetadata(context);
  const auto stream = stub.FullDuplexCall(&context);
  stream->Write(OutputRequest(kLargeRequest, kLargeResponse));
  stream->WritesDone();
  pb::StreamingOutputCallResponse response;
  if (!stream->Read(&response)) return ExpectStatus(stream->Finish(), StatusCode::OK);
  MOKV_RETURN_IF_ERROR(ExpectZeros(response.payload(), kLargeResponse));
  MOKV_RETURN_IF_ERROR(Expect("a further response", stream->Read(&response), false));
  MOKV_RETURN_IF_ERROR(ExpectStatus(stream->Finish(), StatusCode::OK));
  return ExpectMetadata(context);
}

// Without a proxy: what one would go by.
absl::Status CacheableUnary(Stub& stub) {
  Context context;
  pb::SimpleResponse response;
  MOKV_RETURN_IF_ERROR(ExpectStatus(
      stub.CacheableUnaryCall(&context, pb::SimpleRequest(), &response), StatusCode::OK));
  const Received& leading = context.GetServerInitialMetadata();
  const auto found = leading.find("cache-control");
  const bool is_there = found != leading.end();
  return ExpectTimestamp(
      response.payload(),
      is_there ? std::string_view(found->second.data(), found->second.size()) : "");
}

absl::Status StatusCodeAndMessage(Stub& stub) {
  Context unary;
  pb::SimpleResponse unary_response;
  const auto request = StatusRequest<pb::SimpleRequest>(kStatusMessage);
  MOKV_RETURN_IF_ERROR(ExpectStatus(stub.UnaryCall(&unary, request, &unary_response),
                                    StatusCode::UNKNOWN, kStatusMessage));
  Context context;
  const auto stream = stub.FullDuplexCall(&context);
  stream->Write(StatusRequest<pb::StreamingOutputCallRequest>(kStatusMessage));
  stream->WritesDone();
  pb::StreamingOutputCallResponse response;
  MOKV_RETURN_IF_ERROR(Expect("a response", stream->Read(&response), false));
  return ExpectStatus(stream->Finish(), StatusCode::UNKNOWN, kStatusMessage);
}

absl::Status SpecialStatusMessage(Stub& stub) {
  Context context;
  pb::SimpleResponse response;
  const auto request = StatusRequest<pb::SimpleRequest>(kSpecialStatusMessage);
  return ExpectStatus(stub.UnaryCall(&context, request, &response), StatusCode::UNKNOWN,
                      kSpecialStatusMessage);
}

template <typename AnyStub>
absl::Status Unimplemented(AnyStub& stub) {
  Context context;
  pb::Empty response;
  return ExpectStatus(stub.UnimplementedCall(&context, pb::Empty(), &response),
                      StatusCode::UNIMPLEMENTED);
}

std::string ReadFile(const std::string& path) {
  if (path.empty()) return "";
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::shared_ptr<grpc::ChannelCredentials> CredentialsOf(const Arguments& arguments) {
  if (arguments.ca_file.empty()) return grpc::InsecureChannelCredentials();
  grpc::SslCredentialsOptions options;
  options.pem_root_certs = ReadFile(arguments.ca_file);
  options.pem_private_key = ReadFile(arguments.key_file);
  options.pem_cert_chain = ReadFile(arguments.certificate_file);
  return grpc::SslCredentials(options);
}

int Run(const Arguments& arguments) {
  const auto channel = grpc::CreateChannel(arguments.address(), CredentialsOf(arguments));
  const auto stub = pb::TestService::NewStub(channel);
  const auto missing = pb::UnimplementedService::NewStub(channel);
  const auto with_stub = [&stub](absl::Status (*run)(Stub&)) {
    return [&stub, run] { return run(*stub); };
  };
  return RunCases(
      {
          {"empty_unary", with_stub(EmptyUnary)},
          {"cacheable_unary", with_stub(CacheableUnary)},
          {"large_unary", with_stub(LargeUnary)},
          {"client_compressed_unary", with_stub(ClientCompressedUnary)},
          {"client_compressed_unary_noprobe", with_stub(ClientCompressedUnaryNoProbe)},
          {"server_compressed_unary", with_stub(ServerCompressedUnary)},
          {"client_streaming", with_stub(ClientStreaming)},
          {"client_compressed_streaming", with_stub(ClientCompressedStreaming)},
          {"client_compressed_streaming_noprobe", with_stub(ClientCompressedStreamingNoProbe)},
          {"server_streaming", with_stub(ServerStreaming)},
          {"server_compressed_streaming", with_stub(ServerCompressedStreaming)},
          {"intervals", with_stub(Intervals)},
          {"ping_pong", with_stub(PingPong)},
          {"half_duplex", with_stub(HalfDuplex)},
          {"empty_stream", with_stub(EmptyStream)},
          {"cancel_after_begin", with_stub(CancelAfterBegin)},
          {"cancel_after_first_response", with_stub(CancelAfterFirstResponse)},
          {"timeout_on_sleeping_server", with_stub(TimeoutOnSleepingServer)},
          {"custom_metadata", with_stub(CustomMetadata)},
          {"status_code_and_message", with_stub(StatusCodeAndMessage)},
          {"special_status_message", with_stub(SpecialStatusMessage)},
          {"unimplemented_method", with_stub(Unimplemented<Stub>)},
          {"unimplemented_service", [&missing] { return Unimplemented(*missing); }},
      },
      arguments.cases);
}

}  // namespace
}  // namespace mokv::interop

int main(int argc, char** argv) {
  mokv::interop::Arguments arguments;
  CLI::App app("Drives an interoperability server with grpc++.");
  mokv::interop::AddArguments(app, arguments);
  mokv::interop::AddCases(app, arguments);
  CLI11_PARSE(app, argc, argv);
  return mokv::interop::Run(arguments);
}
