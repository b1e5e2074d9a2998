// How the answer of a call becomes HTTP/2: headers, DATA and trailers; headers alone for a failure;
// a page of text for a client that does not speak gRPC. Internal to the engine.
//
// Threads: the connection's I/O thread.
#pragma once

#include "rpc/server_call.h"

struct nghttp2_session;

namespace mokv::rpc {

// Gives `call`'s answer to the session, which from then on pulls its bytes out of the call: the
// call must stay until its stream is closed. The answer is in `http_status`, `status`, `source` and
// `response`, looked at in this order.
void SubmitAnswer(nghttp2_session* session, ServerCall& call);

}  // namespace mokv::rpc
