// The empty handler on stock grpc++, in its two server interfaces: many calls waiting for a request on each
// completion queue, or a reactor that finishes at once. What our engine is measured beside.
#include <grpcpp/grpcpp.h>

#include <memory>
#include <vector>

#include "bench/echo.grpc.pb.h"
#include "grpcpp/grpcpp_server.h"

namespace {

// Requests that may wait in each completion queue without a thread having to ask for another one:
// more than the calls that the benchmarks keep open.
constexpr int kPendingCallsPerQueue = 512;

// Answers and asks for the next call; lives in a pool for the whole run.
class AsyncCall {
 public:
  AsyncCall(bench::Echo::AsyncService& service, grpc::ServerCompletionQueue& queue)
      : service_(service), queue_(queue) {
    Await();
  }

  void Proceed(bool ok) {
    if (!ok) return;  // Shutting down.
    if (finishing_) return Await();
    finishing_ = true;
    responder_->Finish(response_, grpc::Status::OK, this);
  }

 private:
  void Await() {
    finishing_ = false;
    responder_.reset();
    context_ = std::make_unique<grpc::ServerContext>();  // Cannot be used twice.
    responder_ =
        std::make_unique<grpc::ServerAsyncResponseWriter<bench::EmptyMessage>>(context_.get());
    service_.RequestEmpty(context_.get(), &request_, responder_.get(), &queue_, &queue_, this);
  }

  bench::Echo::AsyncService& service_;
  grpc::ServerCompletionQueue& queue_;
  std::unique_ptr<grpc::ServerContext> context_;
  std::unique_ptr<grpc::ServerAsyncResponseWriter<bench::EmptyMessage>> responder_;
  bench::EmptyMessage request_;
  bench::EmptyMessage response_;
  bool finishing_ = false;
};

class CallbackService final : public bench::Echo::CallbackService {
 public:
  grpc::ServerUnaryReactor* Empty(grpc::CallbackServerContext* context, const bench::EmptyMessage*,
                                  bench::EmptyMessage*) override {
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }
};

void ServeAsync(grpc::ServerBuilder& builder, int threads) {
  bench::Echo::AsyncService service;
  builder.RegisterService(&service);
  std::vector<std::unique_ptr<AsyncCall>> calls;
  mokv::bench::ServeQueues(
      builder, threads,
      [&](grpc::ServerCompletionQueue& queue) {
        for (int i = 0; i < kPendingCallsPerQueue; ++i) {
          calls.push_back(std::make_unique<AsyncCall>(service, queue));
        }
      },
      [](void* tag, bool ok) { static_cast<AsyncCall*>(tag)->Proceed(ok); });
}

void ServeCallback(grpc::ServerBuilder& builder, int /*threads*/) {
  CallbackService service;
  builder.RegisterService(&service);
  mokv::bench::Serve(builder);
}

}  // namespace

int main(int argc, char** argv) {
  return mokv::bench::RunGrpcppServer(argc, argv, "The empty handler on stock grpc++", ServeAsync,
                                      ServeCallback);
}
