#include "peer/frame.h"

#include <algorithm>

#include "base/check.h"
#include "base/checksum.h"
#include "base/give_back.h"
#include "base/status.h"

namespace mokv::peer {
namespace {

// A buffer that had to grow beyond this is given back once it is empty.
constexpr size_t kBufferKeptBytesMax = size_t{1} << 20;

template <typename Number>
void PutNumber(char* out, Number number) {
  for (size_t i = 0; i < sizeof(Number); ++i) out[i] = static_cast<char>(number >> (8 * i));
}

template <typename Number>
Number GetNumber(const char* in) {
  Number number = 0;
  for (size_t i = 0; i < sizeof(Number); ++i) {
    number |= static_cast<Number>(static_cast<unsigned char>(in[i])) << (8 * i);
  }
  return number;
}

struct Prefix {
  uint32_t message_bytes = 0;
  uint32_t attachment_bytes = 0;
  uint64_t message_checksum = 0;
  uint64_t attachment_checksum = 0;

  static Prefix Read(const char* in) {
    return {GetNumber<uint32_t>(in), GetNumber<uint32_t>(in + 4), GetNumber<uint64_t>(in + 8),
            GetNumber<uint64_t>(in + 16)};
  }
  void Write(char* out) const {
    PutNumber(out, message_bytes);
    PutNumber(out + 4, attachment_bytes);
    PutNumber(out + 8, message_checksum);
    PutNumber(out + 16, attachment_checksum);
  }
  uint64_t ChecksumOf(std::string_view message) const {
    return Checksum64(message, uint64_t{attachment_bytes} << 32 | message_bytes);
  }
};
static_assert(kMessageBytesMax <= UINT32_MAX && kAttachmentBytesMax <= UINT32_MAX);

}  // namespace

void Attachment::Seal() { checksum = Checksum64(bytes); }

FrameBuilder::FrameBuilder(std::string& out) : out_(out), begin_(out.size()) {
  out_.resize(begin_ + kPrefixBytes);
}

bool FrameBuilder::EndFrame(const Attachment* attachment) {
  const std::string_view message = std::string_view(out_).substr(begin_ + kPrefixBytes);
  const size_t attachment_bytes = attachment == nullptr ? 0 : attachment->bytes.size();
  if (message.size() > kMessageBytesMax || attachment_bytes > kAttachmentBytesMax) {
    out_.resize(begin_);
    return false;
  }
  Prefix prefix;
  prefix.message_bytes = static_cast<uint32_t>(message.size());
  prefix.attachment_bytes = static_cast<uint32_t>(attachment_bytes);
  prefix.message_checksum = prefix.ChecksumOf(message);
  prefix.attachment_checksum = attachment_bytes == 0 ? 0 : attachment->checksum;
  prefix.Write(out_.data() + begin_);
  return true;
}

absl::StatusOr<size_t> FrameReader::SizeOf(std::string_view bytes) const {
  if (!magic_seen_) {
    const size_t known = std::min(bytes.size(), kMagic.size());
    if (bytes.substr(0, known) != kMagic.substr(0, known)) {
      return InvalidArgument("the other side does not speak the protocol between nodes");
    }
    return kMagic.size();
  }
  if (bytes.size() < kPrefixBytes) return kPrefixBytes;
  const Prefix prefix = Prefix::Read(bytes.data());
  if (prefix.message_bytes > limits_.message_bytes_max) {
    return InvalidArgument("a message of {} bytes is over the limit of {}", prefix.message_bytes,
                           limits_.message_bytes_max);
  }
  if (prefix.attachment_bytes > limits_.attachment_bytes_max) {
    return InvalidArgument("an attachment of {} bytes is over the limit of {}",
                           prefix.attachment_bytes, limits_.attachment_bytes_max);
  }
  return kPrefixBytes + prefix.message_bytes + prefix.attachment_bytes;
}

absl::Status FrameReader::Take(std::string_view unit, OnFrame on_frame) {
  if (!magic_seen_) {
    magic_seen_ = true;
    return absl::OkStatus();
  }
  const Prefix prefix = Prefix::Read(unit.data());
  const std::string_view message = unit.substr(kPrefixBytes, prefix.message_bytes);
  const std::string_view attachment = unit.substr(kPrefixBytes + prefix.message_bytes);
  MOKV_CHECK_EQ(attachment.size(), prefix.attachment_bytes);
  if (prefix.ChecksumOf(message) != prefix.message_checksum) {
    return DataLoss("the checksum of a message does not fit");
  }
  if ((attachment.empty() ? 0 : Checksum64(attachment)) != prefix.attachment_checksum) {
    return DataLoss("the checksum of an attachment does not fit");
  }
  return on_frame(message, attachment);
}

absl::Status FrameReader::Read(std::string_view bytes, OnFrame on_frame) {
  // First the frame that an earlier call has begun.
  while (!buffer_.empty()) {
    MOKV_ASSIGN_OR_RETURN(const size_t size, SizeOf(buffer_));
    if (buffer_.size() == size) {
      MOKV_RETURN_IF_ERROR(Take(buffer_, on_frame));
      buffer_.clear();
      if (buffer_.capacity() > kBufferKeptBytesMax) GiveBack(buffer_);
      break;
    }
    if (bytes.empty()) return absl::OkStatus();
    const size_t missing = std::min(size - buffer_.size(), bytes.size());
    buffer_.append(bytes.substr(0, missing));
    bytes.remove_prefix(missing);
  }
  // The rest is read where it lies.
  while (!bytes.empty()) {
    MOKV_ASSIGN_OR_RETURN(const size_t size, SizeOf(bytes));
    if (bytes.size() < size) break;
    MOKV_RETURN_IF_ERROR(Take(bytes.substr(0, size), on_frame));
    bytes.remove_prefix(size);
  }
  buffer_.assign(bytes);
  return absl::OkStatus();
}

}  // namespace mokv::peer
