// gRPC's interoperability service on grpc++ (synchronous).
//   server --port N [--tls-cert-file F --tls-key-file F [--tls-ca-file F]]
#include <grpcpp/grpcpp.h>
#include <signal.h>

#include <chrono>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "arguments.h"
#include "grpc/testing/test.grpc.pb.h"
#include "grpc_cpp/compressed.h"

namespace mokv::interop {
namespace {

namespace pb = ::grpc::testing;
using grpc::ServerContext;
using grpc::Status;

constexpr std::string_view kInitialName = "x-grpc-test-echo-initial";
constexpr std::string_view kTrailingName = "x-grpc-test-echo-trailing-bin";

void EchoMetadata(ServerContext& context) {
  for (const auto& [name, value] : context.client_metadata()) {
    const std::string text(value.data(), value.size());
    if (name == kInitialName.data()) context.AddInitialMetadata(std::string(kInitialName), text);
    if (name == kTrailingName.data()) context.AddTrailingMetadata(std::string(kTrailingName), text);
  }
}

Status StatusOf(const pb::EchoStatus& status) {
  return {static_cast<grpc::StatusCode>(status.code()), status.message()};
}

Status CheckCompressed(ServerContext& context, bool is_said, bool expected) {
  if (!is_said || WasCompressed(context.c_call()) == expected) return Status::OK;
  return {grpc::StatusCode::INVALID_ARGUMENT,
          expected ? "this request was to come compressed" : "this request came compressed"};
}

Status CheckType(pb::PayloadType type) {
  if (type == pb::COMPRESSABLE) return Status::OK;
  return {grpc::StatusCode::INVALID_ARGUMENT, "no payloads of this type here"};
}

void SetZeros(int size, pb::Payload* payload) {
  payload->set_body(std::string(static_cast<size_t>(size), '\0'));
}

class TestService final : public pb::TestService::Service {
  Status EmptyCall(ServerContext* context, const pb::Empty*, pb::Empty*) override {
    EchoMetadata(*context);
    return Status::OK;
  }

  Status UnaryCall(ServerContext* context, const pb::SimpleRequest* request,
                   pb::SimpleResponse* response) override {
    EchoMetadata(*context);
    const Status compressed = CheckCompressed(*context, request->has_expect_compressed(),
                                              request->expect_compressed().value());
    if (!compressed.ok()) return compressed;
    if (request->response_status().code() != 0) return StatusOf(request->response_status());
    const Status type = CheckType(request->response_type());
    if (!type.ok()) return type;
    context->set_compression_level(request->response_compressed().value()
                                       ? GRPC_COMPRESS_LEVEL_HIGH
                                       : GRPC_COMPRESS_LEVEL_NONE);
    SetZeros(request->response_size(), response->mutable_payload());
    return Status::OK;
  }

  Status CacheableUnaryCall(ServerContext* context, const pb::SimpleRequest*,
                            pb::SimpleResponse* response) override {
    context->AddInitialMetadata("cache-control", "max-age=60, public");
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    response->mutable_payload()->set_body(std::to_string(std::chrono::nanoseconds(now).count()));
    return Status::OK;
  }

  // What a stream answers to one request. False: the client is gone.
  template <typename Stream>
  static bool Answer(const pb::StreamingOutputCallRequest& request, Stream& stream) {
    for (const pb::ResponseParameters& parameters : request.response_parameters()) {
      std::this_thread::sleep_for(std::chrono::microseconds(parameters.interval_us()));
      pb::StreamingOutputCallResponse response;
      SetZeros(parameters.size(), response.mutable_payload());
      grpc::WriteOptions options;
      if (!parameters.compressed().value()) options.set_no_compression();
      if (!stream.Write(response, options)) return false;
    }
    return true;
  }

  static Status Gone() { return {grpc::StatusCode::CANCELLED, "the client is gone"}; }

  Status StreamingOutputCall(ServerContext* context, const pb::StreamingOutputCallRequest* request,
                             grpc::ServerWriter<pb::StreamingOutputCallResponse>* writer) override {
    EchoMetadata(*context);
    if (request->response_status().code() != 0) return StatusOf(request->response_status());
    const Status type = CheckType(request->response_type());
    if (!type.ok()) return type;
    context->set_compression_level(GRPC_COMPRESS_LEVEL_HIGH);
    return Answer(*request, *writer) ? Status::OK : Gone();
  }

  Status StreamingInputCall(ServerContext* context,
                            grpc::ServerReader<pb::StreamingInputCallRequest>* reader,
                            pb::StreamingInputCallResponse* response) override {
    EchoMetadata(*context);
    int size = 0;
    for (pb::StreamingInputCallRequest request; reader->Read(&request);) {
      const Status compressed = CheckCompressed(*context, request.has_expect_compressed(),
                                                request.expect_compressed().value());
      if (!compressed.ok()) return compressed;
      size += static_cast<int>(request.payload().body().size());
    }
    response->set_aggregated_payload_size(size);
    return Status::OK;
  }

  using DuplexStream =
      grpc::ServerReaderWriter<pb::StreamingOutputCallResponse, pb::StreamingOutputCallRequest>;

  Status FullDuplexCall(ServerContext* context, DuplexStream* stream) override {
    EchoMetadata(*context);
    context->set_compression_level(GRPC_COMPRESS_LEVEL_HIGH);
    for (pb::StreamingOutputCallRequest request; stream->Read(&request);) {
      if (request.response_status().code() != 0) return StatusOf(request.response_status());
      const Status type = CheckType(request.response_type());
      if (!type.ok()) return type;
      if (!Answer(request, *stream)) return Gone();
    }
    return Status::OK;
  }

  Status HalfDuplexCall(ServerContext* context, DuplexStream* stream) override {
    EchoMetadata(*context);
    std::vector<pb::StreamingOutputCallRequest> requests;
    for (pb::StreamingOutputCallRequest request; stream->Read(&request);)
      requests.push_back(request);
    for (const pb::StreamingOutputCallRequest& request : requests) {
      if (!Answer(request, *stream)) return Gone();
    }
    return Status::OK;
  }
};

std::string ReadFile(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::shared_ptr<grpc::ServerCredentials> CredentialsOf(const Arguments& arguments) {
  if (arguments.certificate_file.empty()) return grpc::InsecureServerCredentials();
  grpc::SslServerCredentialsOptions options(
      arguments.ca_file.empty() ? GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE
                                : GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  if (!arguments.ca_file.empty()) options.pem_root_certs = ReadFile(arguments.ca_file);
  options.pem_key_cert_pairs.push_back(
      {ReadFile(arguments.key_file), ReadFile(arguments.certificate_file)});
  return grpc::SslServerCredentials(options);
}

}  // namespace
}  // namespace mokv::interop

int main(int argc, char** argv) {
  mokv::interop::Arguments arguments;
  CLI::App app("gRPC's interoperability service on grpc++.");
  mokv::interop::AddArguments(app, arguments);
  CLI11_PARSE(app, argc, argv);

  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);

  mokv::interop::TestService service;
  grpc::ServerBuilder builder;
  builder.AddListeningPort(arguments.address(), mokv::interop::CredentialsOf(arguments));
  builder.RegisterService(&service);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr) return 1;
  int signal = 0;
  sigwait(&signals, &signal);
  server->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(5));
  return 0;
}
