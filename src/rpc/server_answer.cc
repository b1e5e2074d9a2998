#include "rpc/server_answer.h"

#include <absl/container/inlined_vector.h>
#include <fmt/format.h>
#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <cstring>
#include <deque>
#include <iterator>
#include <string>
#include <string_view>

#include "base/check.h"
#include "base/status.h"
#include "rpc/compression.h"
#include "rpc/grpc_wire.h"
#include "rpc/http2_header.h"
#include "rpc/metadata.h"

namespace mokv::rpc {
namespace {

// What a client is told of an error, as it travels: gRPC's clients take 8 KiB of headers in all, and tell
// their callers of an internal error when there are more.
constexpr size_t kStatusMessageBytesMax = size_t{4} << 10;

const nghttp2_nv kStatusOk = StaticHeader(":status", "200");
const nghttp2_nv kContentType = StaticHeader("content-type", "application/grpc");
const nghttp2_nv kPlainText = StaticHeader("content-type", "text/plain");
const nghttp2_nv kAllow = StaticHeader("allow", "POST");
const nghttp2_nv kGzipEncoding = StaticHeader("grpc-encoding", "gzip");
const nghttp2_nv kAcceptEncoding = StaticHeader("grpc-accept-encoding", kAcceptedEncodings);
const nghttp2_nv kGrpcStatusOk = StaticHeader("grpc-status", "0");

std::string_view CodeText(absl::StatusCode code) {
  static constexpr std::string_view kTexts[] = {"0", "1",  "2",  "3",  "4",  "5",  "6",  "7", "8",
                                                "9", "10", "11", "12", "13", "14", "15", "16"};
  const auto index = static_cast<size_t>(code);
  return index < std::size(kTexts) ? kTexts[index] : "2";
}

// A block of headers, on its way to nghttp2. It points into the call and into itself.
class HeaderBlock {
 public:
  HeaderBlock() = default;
  HeaderBlock(const HeaderBlock&) = delete;
  HeaderBlock& operator=(const HeaderBlock&) = delete;

  void Add(const nghttp2_nv& header) { headers_.push_back(header); }
  void Add(const Metadata& metadata) {
    for (const MetadataEntry& entry : metadata) {
      values_.push_back(WireValue(entry));
      headers_.push_back(CopiedHeader(entry.name, values_.back()));
      headers_.back().flags = NGHTTP2_NV_FLAG_NONE;  // Not even the name outlives the call.
    }
  }
  void AddStatus(const ServerCall& call) {
    if (call.status.ok()) {
      Add(kGrpcStatusOk);
    } else {
      Add(StaticHeader("grpc-status", CodeText(call.status.code())));
      values_.push_back(
          PercentEncode(CutToPercentEncoded(MessageOf(call.status), kStatusMessageBytesMax)));
      Add(CopiedHeader("grpc-message", values_.back()));
    }
    if (!call.head.unknown_encoding.empty()) Add(kAcceptEncoding);
    Add(call.trailers);
  }

  const nghttp2_nv* data() const { return headers_.data(); }
  size_t size() const { return headers_.size(); }

 private:
  absl::InlinedVector<nghttp2_nv, 8> headers_;
  std::deque<std::string> values_;  // They stay where they are.
};

void SubmitTrailers(nghttp2_session* session, const ServerCall& call) {
  if (call.status.ok() && call.trailers.empty()) {
    nghttp2_submit_trailer(session, call.stream, &kGrpcStatusOk, 1);
    return;
  }
  HeaderBlock trailers;
  trailers.AddStatus(call);
  nghttp2_submit_trailer(session, call.stream, trailers.data(), trailers.size());
}

// nghttp2 has room for `size` bytes of the response.
ssize_t ReadResponse(nghttp2_session* session, int32_t, uint8_t* buffer, size_t size,
                     uint32_t* flags, nghttp2_data_source* data_source, void*) {
  ServerCall& call = *static_cast<ServerCall*>(data_source->ptr);
  AnswerBudget& answers = call.origin.answers;
  if (call.response_sent == call.response.size() && call.source != nullptr) {
    if (answers.spent()) {
      call.progress = MonotonicTime::Max();  // It is for others that it waits.
      answers.Hold(call.stream);
      return NGHTTP2_ERR_DEFERRED;
    }
    call.FillFromSource();
    answers.Add(call.response.size());
  }
  const size_t left = call.response.size() - call.response_sent;
  const size_t taken = std::min(left, size);
  if (taken == 0 && call.source != nullptr) return NGHTTP2_ERR_DEFERRED;
  std::memcpy(buffer, call.response.data() + call.response_sent, taken);
  call.response_sent += taken;
  answers.Remove(taken);
  if (taken == left && call.source == nullptr) {
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (call.http_status.empty()) {
      *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
      SubmitTrailers(session, call);
    }
    // Most unary answers leave at once; for them the time is not worth asking.
    return static_cast<ssize_t>(taken);
  }
  call.taken_bytes += taken;
  if (taken == left || call.taken_bytes >= kProgressBytes) {
    call.progress = call.origin.clock.Now();
    call.taken_bytes = 0;
  }
  return static_cast<ssize_t>(taken);
}

nghttp2_data_provider ResponseOf(ServerCall& call) {
  nghttp2_data_provider provider{};
  provider.source.ptr = &call;
  provider.read_callback = ReadResponse;
  return provider;
}

void SubmitHttpError(nghttp2_session* session, ServerCall& call) {
  call.response = fmt::format("{}\n", MessageOf(call.status));
  call.origin.answers.Add(call.response.size());
  const nghttp2_nv headers[] = {CopiedHeader(":status", call.http_status), kPlainText, kAllow};
  const nghttp2_data_provider provider = ResponseOf(call);
  // RFC 9110, 15.5.6: the refusal of a method names the allowed one.
  const size_t count = std::size(headers) - (call.head.is_post ? 1 : 0);
  nghttp2_submit_response(session, call.stream, headers, count,
                          call.head.is_head ? nullptr : &provider);
}

}  // namespace

void SubmitAnswer(nghttp2_session* session, ServerCall& call) {
  if (!call.http_status.empty()) return SubmitHttpError(session, call);
  if (call.status.ok() && call.source == nullptr) call.FrameResponse();
  if (!call.status.ok()) call.response.clear();
  call.origin.answers.Add(call.response.size());
  const nghttp2_data_provider provider = ResponseOf(call);
  const bool may_compress =
      call.response_is_compressed || (call.source != nullptr && call.head.accepts_gzip);
  if (call.status.ok() && call.leading.empty() && !may_compress) {
    const nghttp2_nv headers[] = {kStatusOk, kContentType};
    nghttp2_submit_response(session, call.stream, headers, std::size(headers), &provider);
    return;
  }
  HeaderBlock headers;
  headers.Add(kStatusOk);
  headers.Add(kContentType);
  if (!call.status.ok() && call.leading.empty()) {
    headers.AddStatus(call);
    nghttp2_submit_response(session, call.stream, headers.data(), headers.size(), nullptr);
    return;
  }
  if (may_compress) headers.Add(kGzipEncoding);
  headers.Add(call.leading);
  nghttp2_submit_response(session, call.stream, headers.data(), headers.size(), &provider);
}

}  // namespace mokv::rpc
