// Method: a method of the server, by its kind. Internal to the engine, but for the handlers' types.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <variant>

namespace mokv::rpc {

class UnaryCall;
class ServerStreamCall;

// Run on the call's I/O thread, with a whole request. What they may do: call.h.
using UnaryHandler = std::function<void(UnaryCall&)>;
using ServerStreamHandler = std::function<void(ServerStreamCall&)>;

struct Method {
  std::string path;
  size_t index = 0;  // Position in Server::method_paths().
  // By its kind. Two places tell kinds apart: ServerReceiver, for what each wants of its request,
  // and RunHandler (call.h).
  std::variant<UnaryHandler, ServerStreamHandler> handler;
};

}  // namespace mokv::rpc
