// Method: a method of the server, by its kind. Internal to the engine, but for the handlers' types.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <variant>

namespace mokv::rpc {

class UnaryCall;
class ServerStreamCall;
class ClientStreamCall;
class BidiCall;

// Run on the call's I/O thread: the first two with a whole request, the others before any message
// of it has come. What they may do: call.h.
using UnaryHandler = std::function<void(UnaryCall&)>;
using ServerStreamHandler = std::function<void(ServerStreamCall&)>;
using ClientStreamHandler = std::function<void(ClientStreamCall&)>;
using BidiHandler = std::function<void(BidiCall&)>;

struct Method {
  std::string path;
  size_t index = 0;  // Position in Server::method_paths().
  // By its kind. Two places tell kinds apart: ServerReceiver, for what each wants of its request,
  // and RunHandler (call.h).
  std::variant<UnaryHandler, ServerStreamHandler, ClientStreamHandler, BidiHandler> handler;

  bool takes_stream() const { return handler.index() >= 2; }
};

}  // namespace mokv::rpc
