// empty_server: our RPC engine with a handler that does nothing, for comparison with other servers. On SIGUSR1
// it prints what it has done so far (counts.h).
#include <cstdio>

#include "engine/bench_server.h"
#include "engine/counts.h"

int main(int argc, char** argv) {
  return mokv::bench::RunBenchServer(
      argc, argv,
      [](mokv::rpc::Server& server) {
        server.AddUnary("/bench.Echo/Empty", [](mokv::rpc::UnaryCall& call) { call.Finish(); });
      },
      [] {
        std::printf("%s\n", mokv::bench::CountsJson().c_str());
        std::fflush(stdout);
      });
}
