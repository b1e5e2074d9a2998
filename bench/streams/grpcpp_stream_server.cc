// The methods of stream_server on stock grpc++, in its two server interfaces. They are generic services: what
// they take and send are bytes, which spares them protobuf, as it does our engine.
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/grpcpp.h>

#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "grpcpp/grpcpp_server.h"

namespace {

constexpr size_t kMessageBytes = 1024;
constexpr size_t kEchoesMax = 64;           // As stream_server's.
constexpr int kPendingCallsPerQueue = 100;  // More than the benchmarks keep open.

enum class Method { kProduce, kConsume, kEcho, kUnknown };

Method MethodOf(const std::string& path) {
  if (path == "/bench.Streams/Produce") return Method::kProduce;
  if (path == "/bench.Streams/Consume") return Method::kConsume;
  if (path == "/bench.Streams/Echo") return Method::kEcho;
  return Method::kUnknown;
}

const grpc::ByteBuffer& Message() {
  static const grpc::ByteBuffer* message = [] {
    const grpc::Slice slice(std::string(kMessageBytes, 'x'));
    return new grpc::ByteBuffer(&slice, 1);
  }();
  return *message;
}

// One call of the asynchronous interface: at most one read and one write are under way.
class AsyncCall {
 public:
  enum class Event { kStart, kRead, kWrite, kFinish };
  struct Tag {
    AsyncCall* call;
    Event event;
  };

  AsyncCall(grpc::AsyncGenericService& service, grpc::ServerCompletionQueue& queue)
      : service_(service), queue_(queue), stream_(&context_) {
    ++under_way_;
    service_.RequestCall(&context_, &stream_, &queue_, &queue_, &start_);
  }

  // Deletes itself behind its last event.
  void Proceed(Event event, bool ok) {
    --under_way_;
    if (event == Event::kStart) {
      if (!ok) return;  // Shutting down.
      new AsyncCall(service_, queue_);
      method_ = MethodOf(context_.method());
      Read();
    } else if (event == Event::kRead) {
      OnRead(ok);
    } else if (event == Event::kWrite) {
      OnWritten(ok);
    }
    if (under_way_ == 0) delete this;
  }

 private:
  void OnRead(bool ok) {
    if (!ok) {
      has_read_all_ = true;
      if (under_way_ == 0 && method_ != Method::kProduce) Finish();
      return;
    }
    if (method_ == Method::kProduce) return Write(Message());
    if (method_ == Method::kEcho) {
      waiting_.push_back(std::move(read_));
      if (!writes_) Write(waiting_.front());
    }
    if (waiting_.size() < kEchoesMax) Read();
  }
  void OnWritten(bool ok) {
    writes_ = false;
    if (!ok) return;
    if (method_ == Method::kProduce) return Write(Message());
    const bool was_full = waiting_.size() == kEchoesMax;
    waiting_.pop_front();
    if (!waiting_.empty()) Write(waiting_.front());
    if (was_full) Read();
    if (has_read_all_ && waiting_.empty()) Finish();
  }

  void Read() {
    ++under_way_;
    stream_.Read(&read_, &read_done_);
  }
  void Write(const grpc::ByteBuffer& message) {
    ++under_way_;
    writes_ = true;
    stream_.Write(message, &written_);
  }
  void Finish() {
    ++under_way_;
    stream_.Finish(grpc::Status::OK, &finished_);
  }

  grpc::AsyncGenericService& service_;
  grpc::ServerCompletionQueue& queue_;
  grpc::GenericServerContext context_;
  grpc::GenericServerAsyncReaderWriter stream_;
  Method method_ = Method::kUnknown;
  grpc::ByteBuffer read_;
  std::deque<grpc::ByteBuffer> waiting_;
  int under_way_ = 0;
  bool writes_ = false;
  bool has_read_all_ = false;
  Tag start_{this, Event::kStart};
  Tag read_done_{this, Event::kRead};
  Tag written_{this, Event::kWrite};
  Tag finished_{this, Event::kFinish};
};

// The same with the callback interface, whose callbacks may come on several threads at once.
class Reactor final : public grpc::ServerGenericBidiReactor {
 public:
  explicit Reactor(Method method) : method_(method) { StartRead(&read_); }

  void OnReadDone(bool ok) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!ok) {
      has_read_all_ = true;
      if (method_ != Method::kProduce && !writes_) FinishOnce(grpc::Status::OK);
      return;
    }
    if (method_ == Method::kProduce) return Write(Message());
    if (method_ == Method::kEcho) {
      waiting_.push_back(std::move(read_));
      if (!writes_) Write(waiting_.front());
    }
    if (waiting_.size() < kEchoesMax) StartRead(&read_);
  }
  void OnWriteDone(bool ok) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    writes_ = false;
    if (!ok) return FinishOnce(grpc::Status::CANCELLED);
    if (method_ == Method::kProduce) return Write(Message());
    const bool was_full = waiting_.size() == kEchoesMax;
    waiting_.pop_front();
    if (!waiting_.empty()) Write(waiting_.front());
    if (was_full) StartRead(&read_);
    if (has_read_all_ && waiting_.empty()) FinishOnce(grpc::Status::OK);
  }
  void OnDone() override { delete this; }

 private:
  void Write(const grpc::ByteBuffer& message) {
    writes_ = true;
    StartWrite(&message);
  }
  // A read and a write may both fail when a client goes away.
  void FinishOnce(const grpc::Status& status) {
    if (!std::exchange(finished_, true)) Finish(status);
  }

  const Method method_;
  std::mutex mutex_;
  grpc::ByteBuffer read_;
  std::deque<grpc::ByteBuffer> waiting_;
  bool writes_ = false;
  bool has_read_all_ = false;
  bool finished_ = false;
};

class CallbackService final : public grpc::CallbackGenericService {
  grpc::ServerGenericBidiReactor* CreateReactor(
      grpc::GenericCallbackServerContext* context) override {
    return new Reactor(MethodOf(context->method()));
  }
};

void ServeAsync(grpc::ServerBuilder& builder, int threads) {
  grpc::AsyncGenericService service;
  builder.RegisterAsyncGenericService(&service);
  mokv::bench::ServeQueues(
      builder, threads,
      [&](grpc::ServerCompletionQueue& queue) {
        for (int i = 0; i < kPendingCallsPerQueue; ++i) new AsyncCall(service, queue);
      },
      [](void* tag, bool ok) {
        const AsyncCall::Tag& event = *static_cast<AsyncCall::Tag*>(tag);
        event.call->Proceed(event.event, ok);
      });
}

void ServeCallback(grpc::ServerBuilder& builder, int /*threads*/) {
  CallbackService service;
  builder.RegisterCallbackGenericService(&service);
  mokv::bench::Serve(builder);
}

}  // namespace

int main(int argc, char** argv) {
  return mokv::bench::RunGrpcppServer(argc, argv, "Streams on stock grpc++", ServeAsync,
                                      ServeCallback);
}
