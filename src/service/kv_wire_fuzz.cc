// Requests of api.KV as bytes: what parses has the key's promises, what does not is refused in
// words.
#include <google/protobuf/stubs/logging.h>

#include <cstdint>

#include "api/kv.pb.h"
#include "base/check.h"
#include "base/status.h"
#include "base/utf8.h"
#include "service/kv_wire.h"

namespace mokv::service {
namespace {

template <typename Request>
bool Parse(std::string_view bytes, Request& request) {
  const absl::Status status = ParseRequest(bytes, request);
  if (status.ok()) return true;
  MOKV_CHECK(status.code() == absl::StatusCode::kInvalidArgument);
  MOKV_CHECK(MessageOf(status).find(request.GetTypeName()) != std::string_view::npos);
  return false;
}

template <typename Request>
void CheckRequestWithKey(std::string_view bytes) {
  Request request;
  if (!Parse(bytes, request)) return;
  const std::string& key = request.key();
  MOKV_CHECK(IsUtf8(key));
  MOKV_CHECK_EQ(CheckKey(key).ok(), !key.empty() && key.size() <= kKeyBytesMax);
}

}  // namespace
}  // namespace mokv::service

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  // protobuf prints a line for each text that is not UTF-8.
  google::protobuf::SetLogHandler(nullptr);
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace mokv;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  service::CheckRequestWithKey<api::GetRequest>(bytes);
  service::CheckRequestWithKey<api::SetRequest>(bytes);
  service::CheckRequestWithKey<api::DeleteRequest>(bytes);
  api::ListRequest list;
  if (service::Parse(bytes, list)) MOKV_CHECK(IsUtf8(list.prefix()));
  return 0;
}
