#include "rpc/client_request.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/give_back.h"
#include "base/status.h"
#include "rpc/compression.h"

namespace mokv::rpc {
namespace {

// A buffer that had to grow beyond this for one message is given back.
constexpr size_t kKeptBytesMax = size_t{64} << 10;

}  // namespace

absl::Status ClientRequest::SetMessage(std::string message, uint64_t message_bytes_max) {
  message_bytes_max_ = message_bytes_max;
  message_ = std::move(message);
  has_message_ = true;
  return SetPrefix();
}

void ClientRequest::SetSource(MessageSource& source, bool compress, uint64_t message_bytes_max) {
  source_ = &source;
  compress_ = compress;
  message_bytes_max_ = message_bytes_max;
}

absl::Status ClientRequest::SetPrefix() {
  // The prefix has four bytes for it.
  const uint64_t bytes_max = std::min<uint64_t>(message_bytes_max_, UINT32_MAX);
  if (message_.size() > bytes_max) {
    return ResourceExhausted("a request message of {} bytes is over the limit of {}",
                             message_.size(), bytes_max);
  }
  WriteMessagePrefix(static_cast<uint32_t>(message_.size()), prefix_.data());
  sent_ = 0;
  return absl::OkStatus();
}

ClientRequest::Result ClientRequest::Read(char* buffer, size_t size_bytes) {
  Result result;
  while (result.size_bytes < size_bytes) {
    if (!has_message_ && !NextMessage(result)) return result;
    const std::string_view from =
        sent_ < kMessagePrefixBytes
            ? std::string_view(prefix_.data(), prefix_.size()).substr(sent_)
            : std::string_view(message_).substr(sent_ - kMessagePrefixBytes);
    const size_t taken = std::min(from.size(), size_bytes - result.size_bytes);
    std::memcpy(buffer + result.size_bytes, from.data(), taken);
    result.size_bytes += taken;
    sent_ += taken;
    has_message_ = message_left() != 0;
  }
  // A request of one message ends with it, not with an empty frame behind it.
  result.ended = !has_message_ && source_ == nullptr;
  return result;
}

bool ClientRequest::NextMessage(Result& result) {
  if (source_ == nullptr) {
    result.ended = true;
    return false;
  }
  if (waits_) return false;
  if (message_.capacity() > kKeptBytesMax) GiveBack(message_);
  message_.clear();
  switch (source_->Produce(&message_)) {
    case MessageSource::Next::kMessage:
      break;
    case MessageSource::Next::kWait:
      waits_ = true;
      return false;
    case MessageSource::Next::kEnd:
      result.ended = true;
      return false;
  }
  result.status = SetPrefix();
  if (!result.status.ok()) return false;
  const MessageCompression how = source_->compression();
  if (compress_ && (how == MessageCompression::kAlways ||
                    (how == MessageCompression::kAuto && message_.size() >= kCompressedBytesMin))) {
    std::string compressed;
    Gzip(message_, &compressed);
    message_ = std::move(compressed);
    WriteMessagePrefix(static_cast<uint32_t>(message_.size()), prefix_.data());
    prefix_[0] = 1;
  }
  has_message_ = true;
  return true;
}

void ClientRequest::Drop() {
  source_ = nullptr;
  has_message_ = false;
  GiveBack(message_);
}

}  // namespace mokv::rpc
