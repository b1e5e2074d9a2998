#include "rpc/testing/raw_http2.h"

#include <nghttp2/nghttp2.h>

#include "base/check.h"
#include "rpc/grpc_wire.h"

namespace mokv::rpc {
namespace {

constexpr size_t kFrameHeaderBytes = 9;

uint32_t BigEndian(std::string_view bytes) {
  uint32_t value = 0;
  for (const char byte : bytes) value = value << 8 | static_cast<uint8_t>(byte);
  return value;
}

}  // namespace

std::string Number(uint32_t number) {
  std::string bytes;
  for (const int shift : {24, 16, 8, 0}) bytes += static_cast<char>(number >> shift);
  return bytes;
}

std::string Frame(uint8_t type, uint8_t flags, uint32_t stream, std::string_view payload) {
  std::string frame = Number(static_cast<uint32_t>(payload.size())).substr(1);
  frame += static_cast<char>(type);
  frame += static_cast<char>(flags);
  return frame.append(Number(stream)).append(payload);
}

std::string HeaderBlock(const Headers& headers) {
  std::string block;
  for (const auto& [name, value] : headers) {
    block += '\0';
    for (const std::string& text : {name, value}) {
      MOKV_CHECK_LT(text.size(), size_t{127});
      block += static_cast<char>(text.size());
      block += text;
    }
  }
  return block;
}

std::string HeadersFrame(uint32_t stream, const Headers& headers, bool end) {
  const uint8_t flags = NGHTTP2_FLAG_END_HEADERS | (end ? NGHTTP2_FLAG_END_STREAM : 0);
  return Frame(NGHTTP2_HEADERS, flags, stream, HeaderBlock(headers));
}

std::string DataFrame(uint32_t stream, std::string_view data, bool end) {
  return Frame(NGHTTP2_DATA, end ? NGHTTP2_FLAG_END_STREAM : 0, stream, data);
}

Headers GrpcHeaders(const std::string& path) {
  return {{":method", "POST"},         {":scheme", "http"}, {":path", path},
          {":authority", "localhost"}, {"te", "trailers"},  {"content-type", "application/grpc"}};
}

std::string Message(std::string_view text, bool compressed) {
  std::string message(kMessagePrefixBytes, '\0');
  WriteMessagePrefix(static_cast<uint32_t>(text.size()), message.data());
  if (compressed) message[0] = 1;
  return message.append(text);
}

uint32_t RawFrame::NumberAt(size_t offset) const {
  return BigEndian(std::string_view(payload).substr(offset, 4));
}

bool FrameReader::Skip(size_t size) {
  while (input_.size() < size) {
    if (!socket_.Receive(input_)) return false;
  }
  input_.erase(0, size);
  return true;
}

std::optional<RawFrame> FrameReader::Read() {
  while (input_.size() < kFrameHeaderBytes) {
    if (!socket_.Receive(input_)) return std::nullopt;
  }
  const std::string_view header(input_.data(), kFrameHeaderBytes);
  const size_t size = BigEndian(header.substr(0, 3));
  RawFrame frame;
  frame.type = BigEndian(header.substr(3, 1));
  frame.flags = BigEndian(header.substr(4, 1));
  frame.stream = BigEndian(header.substr(5, 4));
  while (input_.size() < kFrameHeaderBytes + size) {
    if (!socket_.Receive(input_)) return std::nullopt;
  }
  frame.payload = input_.substr(kFrameHeaderBytes, size);
  input_.erase(0, kFrameHeaderBytes + size);
  return frame;
}

std::string RawAnswer::grpc_status() const {
  const auto found = headers.find("grpc-status");
  return found == headers.end() ? "none" : found->second;
}

RawClient::RawClient(uint16_t port) : socket_(port) {
  nghttp2_hd_inflate_new(&inflater_);
  Send(std::string(kPreface) + Frame(NGHTTP2_SETTINGS, 0, 0, ""));
}

RawClient::~RawClient() { nghttp2_hd_inflate_del(inflater_); }

bool RawClient::SendReset(uint32_t stream) {
  return Send(Frame(NGHTTP2_RST_STREAM, 0, stream, Number(NGHTTP2_CANCEL)));
}

RawAnswer RawClient::Call(uint32_t stream, const std::string& path, std::string_view message) {
  SendHeaders(stream, GrpcHeaders(path));
  SendData(stream, Message(message));
  return Wait(stream);
}

RawAnswer RawClient::Wait(uint32_t stream) {
  while (!answers_[stream].ended && ReadFrame()) {
  }
  return answers_[stream];
}

RawAnswer RawClient::WaitForData(uint32_t stream, size_t size) {
  while (answers_[stream].data.size() < size && !answers_[stream].ended && ReadFrame()) {
  }
  return answers_[stream];
}

uint64_t RawClient::WaitForWindow(uint32_t stream, uint64_t bytes) {
  while (answers_[stream].window_grown_bytes < bytes && !answers_[stream].ended && ReadFrame()) {
  }
  return answers_[stream].window_grown_bytes;
}

const std::vector<RawGoAway>& RawClient::WaitForGoAways(size_t count) {
  while (goaways_.size() < count && ReadFrame()) {
  }
  return goaways_;
}

std::string RawClient::WaitForPing() {
  while (pings_.empty() && ReadFrame()) {
  }
  if (pings_.empty()) return {};
  const std::string payload = pings_.front();
  pings_.erase(pings_.begin());
  return Frame(NGHTTP2_PING, NGHTTP2_FLAG_ACK, 0, payload);
}

bool RawClient::WaitForPingAnswer() {
  while (ping_answers_ == 0 && ReadFrame()) {
  }
  if (ping_answers_ == 0) return false;
  --ping_answers_;
  return true;
}

bool RawClient::ReadFrame() {
  const std::optional<RawFrame> frame = reader_.Read();
  if (!frame.has_value()) return false;
  RawAnswer& answer = answers_[frame->stream];
  switch (frame->type) {
    case NGHTTP2_HEADERS:
      Inflate(frame->payload, answer);
      answer.ended |= (frame->flags & NGHTTP2_FLAG_END_STREAM) != 0;
      break;
    case NGHTTP2_DATA:
      answer.data += frame->payload;
      answer.ended |= (frame->flags & NGHTTP2_FLAG_END_STREAM) != 0;
      break;
    case NGHTTP2_RST_STREAM:
      answer.reset = frame->NumberAt(0);
      answer.ended = true;
      break;
    case NGHTTP2_WINDOW_UPDATE:
      answer.window_grown_bytes += frame->NumberAt(0);
      break;
    case NGHTTP2_GOAWAY:
      goaways_.push_back({frame->NumberAt(0), frame->NumberAt(4), frame->payload.substr(8)});
      break;
    case NGHTTP2_PING:
      if ((frame->flags & NGHTTP2_FLAG_ACK) == 0) {
        pings_.push_back(frame->payload);
      } else {
        ++ping_answers_;
      }
      break;
    default:
      break;
  }
  return true;
}

void RawClient::Inflate(const std::string& block, RawAnswer& answer) {
  const auto* in = reinterpret_cast<const uint8_t*>(block.data());
  size_t left = block.size();
  for (;;) {
    nghttp2_nv header;
    int flags = 0;
    const ssize_t used = nghttp2_hd_inflate_hd2(inflater_, &header, &flags, in, left, 1);
    if (used < 0) return;
    in += used;
    left -= static_cast<size_t>(used);
    if ((flags & NGHTTP2_HD_INFLATE_EMIT) != 0) {
      answer.headers[std::string(reinterpret_cast<char*>(header.name), header.namelen)] =
          std::string(reinterpret_cast<char*>(header.value), header.valuelen);
    }
    if ((flags & NGHTTP2_HD_INFLATE_FINAL) != 0 || (used == 0 && left == 0)) break;
  }
  nghttp2_hd_inflate_end_headers(inflater_);
}

}  // namespace mokv::rpc
