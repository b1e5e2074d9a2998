// ServedKv: a KvService between fake doors and a client. What it reads is what the test puts into
// `machine`.
//
// Threads, owner: the test's.
#pragma once

#include <future>
#include <memory>
#include <string>
#include <utility>

#include "api/kv.pb.h"
#include "service/kv_service.h"
#include "service/testing/fake_doors.h"
#include "service/testing/policy.h"
#include "service/testing/served.h"
#include "service/testing/shared_clock.h"

namespace mokv::service::testing {

struct ServedKvOptions {
  // As whom the client comes; empty: in clear text, as nobody.
  std::string subject;
  std::shared_ptr<const auth::Authorizer> authorizer = auth::Authorizer::AllowAll();
  Permission::Options permission;
  KvService::Options service;
};

struct ServedKv {
  explicit ServedKv(ServedKvOptions options = {})
      : served({.subject = std::move(options.subject), .clock = &clock}),
        reads(served.pool(), machine),
        access(std::move(options.authorizer), served.pool().size()),
        permission(access, options.permission),
        kv(reads, writes, permission, std::move(options.service)) {
    kv.Register(served.server());
    served.Start();
  }
  ~ServedKv() { served.Stop(); }

  void Put(const std::string& key, const std::string& value) {
    Apply(machine, store::Set{key, value});
  }

  // The methods of api.KV: each begins a call.
  std::future<rpc::CallResult> BeginGet(const std::string& key) {
    api::GetRequest request;
    request.set_key(key);
    return served.Begin("/api.KV/Get", request);
  }
  std::future<rpc::CallResult> BeginSet(const std::string& key, const std::string& value) {
    api::SetRequest request;
    request.set_key(key);
    request.set_value(value);
    return served.Begin("/api.KV/Set", request);
  }
  std::future<rpc::CallResult> BeginDelete(const std::string& key) {
    api::DeleteRequest request;
    request.set_key(key);
    return served.Begin("/api.KV/Delete", request);
  }
  std::future<rpc::CallResult> BeginList(const std::string& prefix) {
    api::ListRequest request;
    request.set_prefix(prefix);
    return served.BeginStream("/api.KV/List", request);
  }
  // And wait for its end.
  rpc::CallResult Get(const std::string& key) { return Served::Result(BeginGet(key)); }
  rpc::CallResult Set(const std::string& key, const std::string& value) {
    return Served::Result(BeginSet(key, value));
  }
  rpc::CallResult Delete(const std::string& key) { return Served::Result(BeginDelete(key)); }
  rpc::CallResult List(const std::string& prefix) { return Served::Result(BeginList(prefix)); }

  SharedClock clock;
  machine::Machine machine;
  Served served;
  FakeReadDoor reads;
  FakeWriteDoor writes;
  auth::Access access;
  Permission permission;
  KvService kv;
};

}  // namespace mokv::service::testing
