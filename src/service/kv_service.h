// KvService: the gRPC service api.KV. Decodes, authorizes, goes through one of the two doors
// (service/doors.h), and maps what comes back to gRPC's statuses.
//
// Threads: handlers run on the I/O threads. A read that waits is answered there too, a write on the
//          thread that its door answers on.
// Owner:   borrows the doors; all must outlive the server's threads.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "auth/authorizer.h"
#include "replica/report.h"
#include "rpc/server.h"
#include "service/doors.h"

namespace mokv::service {

class KvService {
 public:
  struct Options {
    uint64_t value_bytes_max = uint64_t{1} << 20;
    // Authorize every key as the object `*`, as mokv's first version did.
    bool object_is_any = false;
    // Who is in the cluster; thread-safe.
    std::function<replica::ClusterView()> cluster;
  };

  KvService(ReadDoor& reads, WriteDoor& writes, std::shared_ptr<const auth::Authorizer> authorizer,
            Options options);

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
  absl::Status Authorize(const rpc::Call& call, std::string_view key,
                         std::string_view action) const;

  ReadDoor& reads_;
  WriteDoor& writes_;
  const std::shared_ptr<const auth::Authorizer> authorizer_;
  const Options options_;
};

}  // namespace mokv::service
