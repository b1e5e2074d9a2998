// KvService: the gRPC service api.KV. Decodes, authorizes, goes through one of the two doors
// (service/doors.h), and maps what comes back to gRPC's statuses.
//
// Threads: handlers run on the I/O threads. A read that waits is answered there too, a write on the
//          thread that its door answers on.
// Owner:   borrows the doors and the permission; all must outlive the server's threads.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "replica/report.h"
#include "rpc/server.h"
#include "service/doors.h"
#include "service/permission.h"

namespace mokv::service {

class KvService {
 public:
  struct Options {
    uint64_t value_bytes_max = uint64_t{1} << 20;
    // Who is in the cluster; thread-safe.
    std::function<replica::ClusterView()> cluster;
  };

  KvService(ReadDoor& reads, WriteDoor& writes, const Permission& permission, Options options);

  void Register(rpc::Server& server);

 private:
  // A call without a deadline waits no longer than this for a leader or a revision.
  static constexpr Duration kWaitMax = std::chrono::seconds(5);

  void Get(rpc::UnaryCall& call);
  void Set(rpc::UnaryCall& call);
  void Delete(rpc::UnaryCall& call);
  void List(rpc::ServerStreamCall& call);
  void GetServers(rpc::UnaryCall& call);

  // One operation, whose answer `append` makes of the result.
  using Append = void (*)(const machine::Result& result, std::string& response);
  void Write(rpc::UnaryCall& call, store::Operation operation,
             std::optional<machine::SessionContext> session, Append append);

  ReadDoor& reads_;
  WriteDoor& writes_;
  const Permission& permission_;
  const Options options_;
};

}  // namespace mokv::service
