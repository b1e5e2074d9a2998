#include "rpc/server_calls.h"

namespace mokv::rpc {

ServerCalls::~ServerCalls() {
  while (open_ != nullptr) {
    const std::unique_ptr<ServerCall> call(open_);
    open_ = call->next;
  }
}

ServerCall& ServerCalls::Open(int32_t stream, MonotonicTime now) {
  ServerCall* call;
  if (spare_.empty()) {
    call = new ServerCall(origin_);
  } else {
    call = spare_.back().release();
    spare_.pop_back();
  }
  call->stream = stream;
  call->received = now;
  call->progress = now;
  call->request_progress = now;
  call->next = open_;
  if (open_ != nullptr) open_->previous = call;
  open_ = call;
  ++stats_.calls_open;
  return *call;
}

void ServerCalls::Close(ServerCall& call) {
  std::unique_ptr<ServerCall> closed(&call);
  if (call.previous != nullptr) call.previous->next = call.next;
  if (call.next != nullptr) call.next->previous = call.previous;
  if (open_ == &call) open_ = call.next;
  --stats_.calls_open;
  if (spare_.size() < kSpareMax) {
    call.Reset();
    spare_.push_back(std::move(closed));
  }
}

}  // namespace mokv::rpc
