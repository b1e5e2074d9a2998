#include "rpc/client_call.h"

namespace mokv::rpc {

void ClientCall::Finish(const absl::Status& status) {
  if (finished) return;
  finished = true;
  timer.reset();
  if (unary_done) {
    unary_done(status, status.ok() ? std::string_view(message) : std::string_view());
  } else {
    stream_done(status);
  }
}

}  // namespace mokv::rpc
