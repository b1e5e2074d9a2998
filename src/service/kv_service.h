// KvService: the gRPC service api.KV. Decodes, authorizes, calls the replica or reads the store,
// and maps what comes back to gRPC's statuses.
//
// Threads: handlers run on the I/O threads; what waits is answered from the replica thread.
// Owner:   borrows store and replica; all must outlive the server's threads.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "auth/authorizer.h"
#include "machine/machine.h"
#include "net/io_pool.h"
#include "replica/replica.h"
#include "rpc/server.h"
#include "service/read_queue.h"

namespace mokv::service {

class KvService {
 public:
  struct Options {
    uint64_t value_bytes_max = uint64_t{1} << 20;
    // Authorize every key as the object `*`, as mokv's first version did.
    bool object_is_any = false;
  };

  KvService(net::IoPool& pool, machine::Machine& machine, replica::Replica& replica,
            std::shared_ptr<const auth::Authorizer> authorizer, Options options);
  ~KvService();

  void Register(rpc::Server& server);

 private:
  // A call without a deadline waits no longer than this for a leader or a revision.
  static constexpr Duration kWaitMax = std::chrono::seconds(5);

  void Get(rpc::UnaryCall& call);
  void Set(rpc::UnaryCall& call);
  void Delete(rpc::UnaryCall& call);
  void List(rpc::ServerStreamCall& call);
  void GetServers(rpc::UnaryCall& call);
  // When the read may look at the store: `ready` is called on the call's I/O thread, or on the
  // replica thread if it waits for a revision.
  void WhenReadable(const rpc::Call& call, const replica::ReadRequirement& requirement,
                    replica::ReadReady ready);

  absl::Status Authorize(const rpc::Call& call, std::string_view key,
                         std::string_view action) const;
  // When a call gives up: after kWaitMax, or earlier to leave time for the answer.
  MonotonicTime GiveUpAt(const rpc::Call& call) const;

  machine::Machine& machine_;
  replica::Replica& replica_;
  const std::shared_ptr<const auth::Authorizer> authorizer_;
  const Options options_;
  // By I/O thread.
  std::vector<std::unique_ptr<store::Reader>> readers_;
  std::vector<std::unique_ptr<ReadQueue>> reads_;
};

}  // namespace mokv::service
