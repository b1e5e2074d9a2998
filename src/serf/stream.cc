#include "serf/stream.h"

#include <algorithm>

#include "base/status.h"
#include "serf/packet.h"

namespace mokv::serf {
namespace {

constexpr size_t kFrameHeaderBytes = 5;

uint32_t BigEndian32(std::string_view bytes) {
  uint32_t value = 0;
  for (const char c : bytes.substr(0, 4)) value = value << 8 | static_cast<uint8_t>(c);
  return value;
}

MessageType TypeOf(std::string_view message) { return static_cast<MessageType>(message.front()); }

}  // namespace

// ---- Collecting.

StreamReader::Result StreamReader::Feed(std::string_view bytes) {
  buffer_.append(bytes.substr(0, bytes_max_ - std::min(bytes_max_, buffer_.size())));
  const Result result = Advance();
  if (result == Result::kMore && buffer_.size() >= bytes_max_) return Result::kTooLarge;
  return result;
}

StreamReader::Result StreamReader::Advance() {
  for (;;) {
    Result result = Result::kDone;
    switch (phase_) {
      case Phase::kType:
        result = BeginBody();
        break;
      case Phase::kFrame:
        if (buffer_.size() < kFrameHeaderBytes) return Result::kMore;
        end_ = kFrameHeaderBytes;
        bytes_left_ = BigEndian32(std::string_view(buffer_).substr(1));
        phase_ = Phase::kBytes;
        continue;
      case Phase::kObject:
        result = FromScan(scanner_.Scan(buffer_), Phase::kBytes);
        break;
      case Phase::kPushPullHeader: {
        result = FromScan(scanner_.Scan(buffer_), Phase::kNodes);
        if (result != Result::kDone) return result;
        PushPullHeader header;
        MsgpackReader reader(std::string_view(buffer_).substr(1, end_ - 1));
        if (!Decode(reader, &header) || header.nodes < 0 || header.user_state_bytes < 0) {
          return Result::kMalformed;
        }
        if (static_cast<uint64_t>(header.nodes) > bytes_max_) return Result::kTooLarge;
        bytes_left_ = static_cast<uint64_t>(header.user_state_bytes);
        scanner_.Start(end_, static_cast<uint64_t>(header.nodes));
        continue;
      }
      case Phase::kNodes:
        result = FromScan(scanner_.Scan(buffer_), Phase::kBytes);
        break;
      case Phase::kUserHeader: {
        result = FromScan(scanner_.Scan(buffer_), Phase::kBytes);
        if (result != Result::kDone) return result;
        int64_t size = 0;
        MsgpackReader reader(std::string_view(buffer_).substr(1, end_ - 1));
        const bool read = ReadStruct(reader, [&](std::string_view key) {
          return key == "UserMsgLen" ? reader.Int(&size) : reader.Skip();
        });
        if (!read || size < 0) return Result::kMalformed;
        bytes_left_ = static_cast<uint64_t>(size);
        continue;
      }
      case Phase::kBytes:
        if (bytes_left_ > bytes_max_ - std::min(bytes_max_, end_)) return Result::kTooLarge;
        if (buffer_.size() - end_ < bytes_left_) return Result::kMore;
        end_ += bytes_left_;
        bytes_left_ = 0;
        return Result::kDone;
    }
    if (result != Result::kDone) return result;
  }
}

StreamReader::Result StreamReader::FromScan(MsgpackScanner::Result result, Phase next) {
  switch (result) {
    case MsgpackScanner::Result::kMore:
      return Result::kMore;
    case MsgpackScanner::Result::kMalformed:
      return Result::kMalformed;
    case MsgpackScanner::Result::kDone:
      break;
  }
  end_ = scanner_.offset();
  phase_ = next;
  return Result::kDone;
}

StreamReader::Result StreamReader::BeginBody() {
  if (buffer_.empty()) return Result::kMore;
  scanner_.Start(1, 1);
  switch (TypeOf(buffer_)) {
    case MessageType::kEncrypt:
      phase_ = Phase::kFrame;
      return Result::kDone;
    case MessageType::kPushPull:
      phase_ = Phase::kPushPullHeader;
      return Result::kDone;
    case MessageType::kUser:
      phase_ = Phase::kUserHeader;
      return Result::kDone;
    case MessageType::kPing:
    case MessageType::kAck:
    case MessageType::kCompress:
    case MessageType::kError:
      phase_ = Phase::kObject;
      return Result::kDone;
    default:
      return Result::kMalformed;
  }
}

// ---- Layers.

std::string SealStream(std::string_view message, bool compress, const Keyring& keyring,
                       Random& random) {
  std::string plain(message);
  if (compress) {
    if (auto compressed = CompressMessage(plain, /*always=*/false)) plain = std::move(*compressed);
  }
  if (!keyring.enabled()) return plain;
  std::string frame(1, static_cast<char>(MessageType::kEncrypt));
  const size_t sealed_bytes = plain.size() + kSealOverheadBytes;
  for (int shift = 24; shift >= 0; shift -= 8) {
    frame.push_back(static_cast<char>(sealed_bytes >> shift));
  }
  return frame + keyring.Seal(plain, frame, random);
}

absl::StatusOr<std::string> OpenStream(std::string_view message, size_t bytes_max,
                                       const Keyring& keyring, Stats* stats) {
  const auto dropped = [&](Drop reason) { ++stats->dropped[static_cast<size_t>(reason)]; };
  std::string plain;
  if (TypeOf(message) == MessageType::kEncrypt) {
    if (!keyring.enabled()) {
      dropped(Drop::kWrongKey);
      return FailedPrecondition("the stream is encrypted, and encryption is not configured here");
    }
    if (!keyring.Open(message.substr(kFrameHeaderBytes), message.substr(0, kFrameHeaderBytes),
                      &plain) ||
        plain.empty()) {
      dropped(Drop::kWrongKey);
      return FailedPrecondition("no installed key opens the stream");
    }
  } else if (keyring.enabled()) {
    dropped(Drop::kWrongKey);
    return FailedPrecondition("encryption is configured here, and the stream is not encrypted");
  } else {
    plain = message;
  }
  if (TypeOf(plain) == MessageType::kCompress) {
    Drop reason{};
    auto expanded = DecompressMessage(std::string_view(plain).substr(1), bytes_max, &reason);
    if (!expanded.has_value()) {
      dropped(reason);
      return InvalidArgument("the stream cannot be decompressed");
    }
    plain = std::move(*expanded);
  }
  return plain;
}

// ---- Push/pull.

std::string Encode(bool join, const std::vector<NodeRecord>& nodes, std::string_view user_state) {
  std::string out;
  Append(PushPullHeader{.join = join,
                        .nodes = static_cast<int64_t>(nodes.size()),
                        .user_state_bytes = static_cast<int64_t>(user_state.size())},
         &out);
  for (const NodeRecord& node : nodes) Append(node, &out);
  out.append(user_state);
  return out;
}

bool Decode(std::string_view body, size_t nodes_max, PushPull* message) {
  MsgpackReader reader(body);
  PushPullHeader header;
  if (!Decode(reader, &header) || header.nodes < 0 || header.user_state_bytes < 0) return false;
  if (static_cast<uint64_t>(header.nodes) > nodes_max) return false;
  message->join = header.join;
  for (int64_t i = 0; i < header.nodes; ++i) {
    if (!Decode(reader, &message->nodes.emplace_back())) return false;
  }
  if (static_cast<uint64_t>(header.user_state_bytes) > reader.rest().size()) return false;
  message->user_state = reader.rest().substr(0, static_cast<size_t>(header.user_state_bytes));
  return true;
}

}  // namespace mokv::serf
