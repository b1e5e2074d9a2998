// RunGrpcppServer: the main function of a server of stock grpc++ that ours are measured beside, set up as grpc++'s
// own performance guide advises. Nothing of ours is linked in.
#pragma once

#include <grpcpp/grpcpp.h>

#include <functional>
#include <string>

namespace mokv::bench {

// Adds its service to the builder, which has its address, and ends with ServeQueues or Serve.
using AddAndServe = std::function<void(grpc::ServerBuilder& builder, int threads)>;

// What main returns. The two are grpc++'s interfaces of a server: asynchronous with a completion queue and a
// thread a core, or callbacks on the library's own threads.
//   PROGRAM --mode async|callback --port N --threads T [--tls CA CERT KEY]
int RunGrpcppServer(int argc, char** argv, const std::string& what, const AddAndServe& async,
                    const AddAndServe& callback);

// Starts the server and waits; the process ends on SIGTERM or SIGINT, and with 1 when the server cannot start. A call
// that was just being answered would ask for the next one while its queue shuts down, which grpc++ answers
// with an abort; nothing is worth an orderly end here.
[[noreturn]] void Serve(grpc::ServerBuilder& builder);

// The same with `threads` completion queues. `fill` makes the calls that wait in a queue; `proceed` gets the events
// of all, on a thread for each queue.
[[noreturn]] void ServeQueues(grpc::ServerBuilder& builder, int threads,
                              const std::function<void(grpc::ServerCompletionQueue& queue)>& fill,
                              const std::function<void(void* tag, bool ok)>& proceed);

}  // namespace mokv::bench
