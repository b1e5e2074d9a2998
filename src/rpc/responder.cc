#include "rpc/responder.h"

#include "base/check.h"

namespace mokv::rpc {

Responder::~Responder() {
  if (sink_ != nullptr) Fail(absl::InternalError("the handler gave no answer"));
}

void Responder::Post(Completion completion) {
  MOKV_CHECK(sink_ != nullptr);
  completion.call = call_;
  std::exchange(sink_, nullptr)->Complete(std::move(completion));
}

void Responder::Finish(std::string message) {
  Completion completion;
  completion.message = std::move(message);
  Post(std::move(completion));
}

void Responder::Fail(absl::Status status, Metadata trailers) {
  MOKV_CHECK(!status.ok());
  CheckMetadata(trailers);
  Completion completion;
  completion.status = std::move(status);
  completion.trailers = std::move(trailers);
  Post(std::move(completion));
}

void StreamResponder::Start(std::unique_ptr<MessageSource> source) {
  MOKV_CHECK(source != nullptr);
  Completion completion;
  completion.source = std::move(source);
  responder_.Post(std::move(completion));
}

void StreamWaker::Wake() const {
  Completion completion;
  completion.call = call_;
  completion.wake = true;
  sink_->Complete(std::move(completion));
}

}  // namespace mokv::rpc
