// grpc.testing.TestService on our RPC engine, as gRPC's description of its interoperability tests has
// it (proto/grpc/testing/test.proto).
//
// Threads: the handlers run on the server's I/O threads.
// Owner:   the pool, which is the server's, must outlive the server.
#pragma once

#include "net/io_pool.h"
#include "rpc/server.h"

namespace mokv::interop {

void RegisterTestService(net::IoPool& pool, rpc::Server& server);

}  // namespace mokv::interop
