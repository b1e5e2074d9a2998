// Requests and responses of api.KV as bytes: parsed with protobuf, with errors that say what is
// wrong; the responses that matter for speed are written straight from the store's items.
//
// Pure functions.
#pragma once

#include <absl/status/status.h>

#include <string>
#include <string_view>

#include "store/store.h"

namespace google::protobuf {
class MessageLite;
}

namespace mokv::service {

// Keys are short, so that they fit into every index and log line.
inline constexpr size_t kKeyBytesMax = 4096;

// INVALID_ARGUMENT when the bytes do not parse; says so when it is because field 1, the key or
// prefix of every request of api.KV, is not UTF-8.
absl::Status ParseRequest(std::string_view bytes, google::protobuf::MessageLite& request);

// INVALID_ARGUMENT for an empty or too long key.
absl::Status CheckKey(std::string_view key);

// Appends an api.GetResponse.
void AppendGetResponse(const store::ItemFields& item, std::string& out);
// Appends an api.SetResponse with ok = true.
void AppendSetResponse(Revision revision, std::string& out);
// Appends an api.DeleteResponse with ok = true.
void AppendDeleteResponse(Revision revision, uint64_t deleted, std::string& out);

}  // namespace mokv::service
