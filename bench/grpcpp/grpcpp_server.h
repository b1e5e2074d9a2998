// RunGrpcppServer: the main function of a server of stock grpc++ that ours are measured beside, set up as grpc++'s
// own performance guide advises. Nothing of ours is linked in.
#pragma once

#include <grpcpp/grpcpp.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace mokv::bench {

// Adds its service to the builder, which has its address, starts the server and its threads, and waits with
// AwaitStop.
using ServeGrpcpp = std::function<void(grpc::ServerBuilder& builder, int threads)>;

// What main returns. The two are grpc++'s interfaces of a server: asynchronous with a completion queue and a
// thread a core, or callbacks on the library's own threads.
//   PROGRAM --mode async|callback --port N --threads T [--tls CA CERT KEY]
int RunGrpcppServer(int argc, char** argv, const std::string& what, const ServeGrpcpp& async,
                    const ServeGrpcpp& callback);

// A thread for each queue that gives `proceed` its events, until the process ends.
void StartQueueThreads(const std::vector<std::unique_ptr<grpc::ServerCompletionQueue>>& queues,
                       const std::function<void(void* tag, bool ok)>& proceed);

// Ends the process on SIGTERM or SIGINT. A call that was just being answered would ask for the next one while
// its queue shuts down, which grpc++ answers with an abort; nothing is worth an orderly end here.
[[noreturn]] void AwaitStop();

}  // namespace mokv::bench
