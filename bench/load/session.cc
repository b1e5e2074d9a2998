#include "load/session.h"

#include <charconv>

namespace mokv::load {
namespace {

int ParseNumber(std::string_view text) {
  int number = kNoStatus;
  const char* end = text.data() + text.size();
  const std::from_chars_result result = std::from_chars(text.data(), end, number);
  return result.ec == std::errc() && result.ptr == end && number >= 0 ? number : kNoStatus;
}

}  // namespace

void NoteHeader(AnswerStatus& status, std::string_view name, std::string_view value) {
  if (name == ":status") {
    status.http = ParseNumber(value);
  } else if (name == "grpc-status") {
    status.grpc = ParseNumber(value);
  }
}

void ResetCall(Call& call) {
  call.sent_bytes = 0;
  call.send_window_bytes = 0;
  call.stream_id = 0;
  call.open = true;
  call.status = {};
  call.reset = false;
  call.body.clear();
}

}  // namespace mokv::load
