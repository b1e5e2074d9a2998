#include "test_service.h"

#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "grpc/testing/messages.pb.h"

namespace mokv::interop {
namespace {

namespace pb = ::grpc::testing;

// Far more than any case asks for: who wants more gets an error instead of gigabytes.
constexpr int32_t kPayloadBytesMax = 64 << 20;
// Values of one name that are echoed; the cases send one.
constexpr size_t kEchoedValuesMax = 8;
// Requests of one stream that wait for their answers; HTTP/2 holds back the rest.
constexpr size_t kWaitingRequestsMax = 16;
// Of HalfDuplexCall, which may answer nothing before the end.
constexpr size_t kHeldRequestsMax = 10'000;

constexpr std::string_view kInitialName = "x-grpc-test-echo-initial";
constexpr std::string_view kTrailingName = "x-grpc-test-echo-trailing-bin";

// What is said of `name`, as far as it may be sent.
std::vector<rpc::MetadataEntry> Echoed(const rpc::Call& call, std::string_view name) {
  std::vector<rpc::MetadataEntry> entries;
  for (std::string& value : call.metadata_values(name)) {
    if (entries.size() == kEchoedValuesMax || !rpc::IsMetadata(name, value)) break;
    entries.push_back({std::string(name), std::move(value)});
  }
  return entries;
}

void EchoMetadata(rpc::Call& call) {
  for (rpc::MetadataEntry& entry : Echoed(call, kInitialName)) call.AddLeading(std::move(entry));
  for (rpc::MetadataEntry& entry : Echoed(call, kTrailingName)) call.AddTrailing(std::move(entry));
}

template <typename Message>
absl::Status Parse(std::string_view bytes, Message* message) {
  if (message->ParseFromArray(bytes.data(), static_cast<int>(bytes.size())))
    return absl::OkStatus();
  return absl::InternalError("the request is not a " + message->GetTypeName());
}

// The end that a request asks for; OK when it asks for an answer.
absl::Status EchoedStatus(const pb::EchoStatus& wanted) {
  if (wanted.code() == 0) return absl::OkStatus();
  return absl::Status(static_cast<absl::StatusCode>(wanted.code()), wanted.message());
}

template <typename Request>
absl::Status CheckCompression(const Request& request, bool was_compressed) {
  if (!request.has_expect_compressed()) return absl::OkStatus();
  const bool expected = request.expect_compressed().value();
  if (expected == was_compressed) return absl::OkStatus();
  return InvalidArgument("this request is said to be {}compressed, and is {}compressed",
                         expected ? "" : "un", was_compressed ? "" : "un");
}

absl::Status CheckType(pb::PayloadType type) {
  if (type == pb::COMPRESSABLE) return absl::OkStatus();
  return InvalidArgument("there are payloads of type COMPRESSABLE (0) only, not of {}",
                         static_cast<int>(type));
}

absl::Status CheckSize(int32_t size) {
  if (size >= 0 && size <= kPayloadBytesMax) return absl::OkStatus();
  return InvalidArgument("a payload may have 0 to {} bytes, not {}", kPayloadBytesMax, size);
}

void SetZeros(int32_t size, pb::Payload* payload) {
  payload->set_body(std::string(static_cast<size_t>(size), '\0'));
}

// What a message is to travel like by the word of its request, if any.
rpc::MessageCompression CompressionOf(bool is_said, const pb::BoolValue& value) {
  if (!is_said) return rpc::MessageCompression::kAuto;
  return value.value() ? rpc::MessageCompression::kAlways : rpc::MessageCompression::kNever;
}

// ---- One request, one answer.

void EmptyCall(rpc::UnaryCall& call) {
  EchoMetadata(call);
  call.Finish();
}

absl::Status AnswerUnary(rpc::UnaryCall& call) {
  EchoMetadata(call);
  pb::SimpleRequest request;
  MOKV_RETURN_IF_ERROR(Parse(call.request(), &request));
  MOKV_RETURN_IF_ERROR(CheckCompression(request, call.request_was_compressed()));
  MOKV_RETURN_IF_ERROR(EchoedStatus(request.response_status()));
  MOKV_RETURN_IF_ERROR(CheckType(request.response_type()));
  MOKV_RETURN_IF_ERROR(CheckSize(request.response_size()));
  pb::SimpleResponse response;
  SetZeros(request.response_size(), response.mutable_payload());
  if (request.fill_username()) response.set_username(std::string(call.subject()));
  call.set_compression(
      CompressionOf(request.has_response_compressed(), request.response_compressed()));
  response.AppendToString(&call.response());
  return absl::OkStatus();
}

void UnaryCall(rpc::UnaryCall& call) {
  absl::Status status = AnswerUnary(call);
  if (status.ok()) {
    call.Finish();
  } else {
    call.Fail(std::move(status));
  }
}

void CacheableUnaryCall(rpc::UnaryCall& call) {
  EchoMetadata(call);
  call.AddLeading({"cache-control", "max-age=60, public"});
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  pb::SimpleResponse response;
  response.mutable_payload()->set_body(
      std::to_string(std::chrono::duration_cast<std::chrono::nanoseconds>(now).count()));
  response.AppendToString(&call.response());
  call.Finish();
}

// ---- Streams.

// The answers to the requests of one stream, in order, each after its interval.
class Answers {
 public:
  Answers(net::IoThread& thread, rpc::StreamWaker waker) : waker_(waker), timer_(thread) {}

  void Add(pb::StreamingOutputCallRequest request) { requests_.push_back(std::move(request)); }
  size_t waiting() const { return requests_.size(); }

  // kEnd: a request has asked for the end with status(). kWait: all are answered, or an interval is not
  // over yet.
  rpc::MessageSource::Next Produce(std::string* message) {
    using Next = rpc::MessageSource::Next;
    for (; !requests_.empty(); requests_.pop_front(), next_ = 0) {
      const pb::StreamingOutputCallRequest& request = requests_.front();
      if (next_ == 0) status_ = Refusal(request);
      if (!status_.ok()) return Next::kEnd;
      if (next_ == request.response_parameters_size()) continue;
      const pb::ResponseParameters& parameters = request.response_parameters(next_);
      if (!IntervalIsOver(parameters)) return Next::kWait;
      status_ = CheckSize(parameters.size());
      if (!status_.ok()) return Next::kEnd;
      compression_ = CompressionOf(parameters.has_compressed(), parameters.compressed());
      pb::StreamingOutputCallResponse response;
      SetZeros(parameters.size(), response.mutable_payload());
      response.AppendToString(message);
      ++next_;
      interval_ = Interval::kNone;
      return Next::kMessage;
    }
    return Next::kWait;
  }

  rpc::MessageCompression compression() const { return compression_; }
  const absl::Status& status() const { return status_; }

 private:
  enum class Interval { kNone, kRuns, kIsOver };  // Before the next answer.

  static absl::Status Refusal(const pb::StreamingOutputCallRequest& request) {
    MOKV_RETURN_IF_ERROR(EchoedStatus(request.response_status()));
    return CheckType(request.response_type());
  }

  bool IntervalIsOver(const pb::ResponseParameters& parameters) {
    if (parameters.interval_us() <= 0) return true;
    if (interval_ == Interval::kNone) {
      interval_ = Interval::kRuns;
      timer_.Start(std::chrono::microseconds(parameters.interval_us()), [this] {
        interval_ = Interval::kIsOver;
        waker_.Wake();
      });
    }
    return interval_ == Interval::kIsOver;
  }

  rpc::StreamWaker waker_;
  net::Timer timer_;
  std::deque<pb::StreamingOutputCallRequest> requests_;  // The first is being answered.
  int next_ = 0;                                         // Of its answers.
  Interval interval_ = Interval::kNone;
  rpc::MessageCompression compression_ = rpc::MessageCompression::kAuto;
  absl::Status status_;
};

class OutputSource final : public rpc::MessageSource {
 public:
  OutputSource(net::IoThread& thread, rpc::StreamWaker waker,
               pb::StreamingOutputCallRequest request)
      : answers_(thread, waker) {
    answers_.Add(std::move(request));
  }

  Next Produce(std::string* message) override {
    const Next next = answers_.Produce(message);
    return next == Next::kWait && answers_.waiting() == 0 ? Next::kEnd : next;
  }
  rpc::MessageCompression compression() const override { return answers_.compression(); }
  absl::Status status() const override { return answers_.status(); }

 private:
  Answers answers_;
};

class DuplexExchange final : public rpc::MessageExchange {
 public:
  enum class Kind {
    kFull,  // A request is answered when it comes.
    kHalf,  // All are answered when the last has come.
  };

  DuplexExchange(net::IoThread& thread, rpc::StreamWaker waker, Kind kind)
      : kind_(kind), answers_(thread, waker) {}

  bool HasRoom() const override {
    return kind_ == Kind::kHalf || answers_.waiting() < kWaitingRequestsMax;
  }

  void Take(const rpc::ReceivedMessage& message) override {
    pb::StreamingOutputCallRequest request;
    broken_ = Parse(message.bytes, &request);
    if (kind_ == Kind::kHalf && answers_.waiting() == kHeldRequestsMax) {
      broken_ =
          ResourceExhausted("more than {} requests before the first answer", kHeldRequestsMax);
    }
    if (broken_.ok()) answers_.Add(std::move(request));
  }

  void End() override { request_ended_ = true; }

  Next Produce(std::string* message) override {
    if (!broken_.ok()) return Next::kEnd;
    if (kind_ == Kind::kHalf && !request_ended_) return Next::kWait;
    const Next next = answers_.Produce(message);
    const bool is_done = request_ended_ && answers_.waiting() == 0;
    return next == Next::kWait && is_done ? Next::kEnd : next;
  }

  rpc::MessageCompression compression() const override { return answers_.compression(); }
  absl::Status status() const override { return broken_.ok() ? answers_.status() : broken_; }

 private:
  Kind kind_;
  Answers answers_;
  bool request_ended_ = false;
  absl::Status broken_;  // What came is no request, or too many came.
};

// Adds up the payloads.
class InputSink final : public rpc::MessageSink {
 public:
  explicit InputSink(rpc::Responder responder) : responder_(std::move(responder)) {}

  void Take(const rpc::ReceivedMessage& message) override {
    if (!responder_.has_value()) return;  // The client has heard the end.
    pb::StreamingInputCallRequest request;
    absl::Status status = Parse(message.bytes, &request);
    if (status.ok()) status = CheckCompression(request, message.was_compressed);
    if (status.ok()) {
      size_ += request.payload().body().size();
    } else {
      responder_->Fail(std::move(status));
      responder_.reset();
    }
  }

  void End() override {
    if (!responder_.has_value()) return;
    pb::StreamingInputCallResponse response;
    response.set_aggregated_payload_size(static_cast<int32_t>(size_));
    responder_->Finish(response.SerializeAsString());
  }

 private:
  std::optional<rpc::Responder> responder_;  // Until the answer.
  uint64_t size_ = 0;
};

void StreamingOutputCall(net::IoPool& pool, rpc::ServerStreamCall& call) {
  EchoMetadata(call);
  pb::StreamingOutputCallRequest request;
  absl::Status status = Parse(call.request(), &request);
  if (!status.ok()) return call.Fail(std::move(status));
  call.Start(std::make_unique<OutputSource>(pool.thread(call.io_thread()), call.waker(),
                                            std::move(request)));
}

void StreamingInputCall(rpc::ClientStreamCall& call) {
  EchoMetadata(call);
  call.Start(std::make_unique<InputSink>(call.Defer()));
}

void DuplexCall(net::IoPool& pool, DuplexExchange::Kind kind, rpc::BidiCall& call) {
  EchoMetadata(call);
  call.Start(std::make_unique<DuplexExchange>(pool.thread(call.io_thread()), call.waker(), kind));
}

}  // namespace

void RegisterTestService(net::IoPool& pool, rpc::Server& server) {
  const std::string service = "/grpc.testing.TestService/";
  server.AddUnary(service + "EmptyCall", EmptyCall);
  server.AddUnary(service + "UnaryCall", UnaryCall);
  server.AddUnary(service + "CacheableUnaryCall", CacheableUnaryCall);
  server.AddServerStream(service + "StreamingOutputCall",
                         [&pool](rpc::ServerStreamCall& call) { StreamingOutputCall(pool, call); });
  server.AddClientStream(service + "StreamingInputCall", StreamingInputCall);
  server.AddBidi(service + "FullDuplexCall", [&pool](rpc::BidiCall& call) {
    DuplexCall(pool, DuplexExchange::Kind::kFull, call);
  });
  server.AddBidi(service + "HalfDuplexCall", [&pool](rpc::BidiCall& call) {
    DuplexCall(pool, DuplexExchange::Kind::kHalf, call);
  });
}

}  // namespace mokv::interop
