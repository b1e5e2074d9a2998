// KvService as a client sees it: Get and GetServers, and what all methods have in common (who may
// call them, and with which keys).
#include "service/kv_service.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/status.h"
#include "service/kv_wire.h"
#include "service/testing/served_kv.h"

namespace mokv::service {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::FateOf;
using testing::PatientClient;
using testing::Policy;
using testing::ResponseOf;
using testing::Served;
using testing::ServedKv;

// --- Get

TEST(KvService, GetTellsAllOfAnItem) {
  ServedKv node;
  node.Put("other", "x");
  node.Put("k", "old");
  node.Put("other", "y");
  node.Put("k", "new");
  const auto response = ResponseOf<api::GetResponse>(node.Get("k"));
  EXPECT_EQ(response.key(), "k");
  EXPECT_EQ(response.value(), "new");
  EXPECT_EQ(response.create_revision(), 2u);
  EXPECT_EQ(response.mod_revision(), 4u);
  EXPECT_EQ(response.version(), 2u);
  EXPECT_TRUE(node.reads.waiting().empty());
}

TEST(KvService, GetOfNothingIsNotFound) {
  ServedKv node;
  const rpc::CallResult result = node.Get("k");
  EXPECT_EQ(result.status, absl::NotFoundError("no value for key: k"));
  EXPECT_EQ(FateOf(result), "none") << "a read changes nothing, whatever becomes of it";
}

TEST(KvService, GetIsLinearizableUnlessItSaysOtherwise) {
  ServedKv node;
  node.Put("k", "v");
  api::GetRequest request;
  request.set_key("k");
  ResponseOf<api::GetResponse>(node.served.Call("/api.KV/Get", request));
  request.set_consistency(api::STALE);
  ResponseOf<api::GetResponse>(node.served.Call("/api.KV/Get", request));
  const auto asked = node.reads.asked();
  ASSERT_EQ(asked.size(), 2u);
  EXPECT_TRUE(asked[0].requirement.linearizable);
  EXPECT_FALSE(asked[1].requirement.linearizable);
  EXPECT_EQ(asked[0].requirement.min_revision, Revision(0));
  EXPECT_EQ(asked[1].requirement.min_revision, Revision(0));
}

TEST(KvService, GetWantsTheRevisionThatItNames) {
  ServedKv node;
  node.Put("k", "v");
  node.reads.SayNotNow();
  api::GetRequest request;
  request.set_key("k");
  request.set_consistency(api::STALE);
  request.set_min_revision(7);
  auto call = node.served.Begin("/api.KV/Get", request);
  const auto waiting = node.reads.WaitForWaiting(1);
  EXPECT_EQ(node.reads.asked().at(0).requirement.min_revision, Revision(7));
  EXPECT_EQ(waiting.at(0).requirement.min_revision, Revision(7));
  EXPECT_FALSE(waiting.at(0).requirement.linearizable);
  EXPECT_EQ(waiting.at(0).io_thread, 0u);
  node.reads.Answer(absl::OkStatus());
  ResponseOf<api::GetResponse>(Served::Result(std::move(call)));
}

TEST(KvService, GetThatMustWaitSeesTheStateOfWhenItMayLook) {
  ServedKv node;
  node.Put("k", "old");
  node.reads.SayNotNow();
  auto present = node.BeginGet("k");
  auto missing = node.BeginGet("missing");
  node.reads.WaitForWaiting(2);
  node.Put("k", "new");
  node.Put("k", "newest");
  EXPECT_NE(present.wait_for(seconds(0)), std::future_status::ready);
  node.reads.Answer(absl::OkStatus());
  const auto response = ResponseOf<api::GetResponse>(Served::Result(std::move(present)));
  EXPECT_EQ(response.key(), "k");
  EXPECT_EQ(response.value(), "newest");
  EXPECT_EQ(response.version(), 3u);
  EXPECT_EQ(Served::Result(std::move(missing)).status,
            absl::NotFoundError("no value for key: missing"));
}

TEST(KvService, GetThatMayNotLookSaysWhy) {
  ServedKv node;
  node.Put("k", "v");
  node.reads.SayNotNow();
  size_t count = 0;
  for (const absl::Status& why : {absl::UnavailableError("no leader"),
                                  absl::ResourceExhaustedError("65536 reads wait already")}) {
    auto call = node.BeginGet("k");
    node.reads.WaitForWaiting(++count);
    node.reads.Answer(why);
    const rpc::CallResult result = Served::Result(std::move(call));
    EXPECT_EQ(result.status, why);
    EXPECT_EQ(FateOf(result), "none");
    EXPECT_EQ(result.message, "");
  }
}

// Nine tenths of a deadline, so that there is time for the answer, and never more than 5 seconds.
TEST(KvService, ReadsWaitForAsLongAsTheirDeadlineAllows) {
  ServedKv node;
  node.reads.SayNotNow();
  PatientClient client(node.served);
  api::GetRequest get;
  get.set_key("k");
  api::ListRequest list;
  const MonotonicTime now = node.clock.Now();
  const std::vector<std::pair<std::string, Duration>> cases = {
      {"", seconds(5)},           {"2S", milliseconds(1'800)},
      {"100m", milliseconds(90)}, {"5S", milliseconds(4'500)},
      {"6S", seconds(5)},         {"1H", seconds(5)}};
  size_t count = 0;
  for (const auto& [timeout, expected] : cases) {
    client.Begin("/api.KV/Get", get, timeout);
    EXPECT_EQ(node.reads.WaitForWaiting(++count).back().give_up_at - now, expected) << timeout;
    client.Begin("/api.KV/List", list, timeout);
    EXPECT_EQ(node.reads.WaitForWaiting(++count).back().give_up_at - now, expected) << timeout;
  }
}

// --- Who may call

TEST(KvService, RefusesWhomThePolicyDoesNotName) {
  ServedKv node({.subject = "alice",
                 .authorizer = Policy({"alice, open/*, consume", "alice, own/*, produce",
                                       "bob, *, consume", "bob, *, produce"})});
  node.Put("open/k", "v");
  node.writes.AnswerAtOnce(testing::Applied({.revision = Revision(1)}));
  EXPECT_TRUE(node.Get("open/k").status.ok());
  EXPECT_TRUE(node.Set("own/k", "v").status.ok());
  EXPECT_TRUE(node.Delete("own/k").status.ok());
  const size_t reads = node.reads.asked().size();
  const size_t writes = node.writes.asked().size();

  const rpc::CallResult get = node.Get("own/k");
  EXPECT_EQ(get.status, absl::PermissionDeniedError("alice not permitted to consume to own/k"));
  EXPECT_EQ(FateOf(get), "none");
  const rpc::CallResult set = node.Set("open/k", "v");
  EXPECT_EQ(set.status, absl::PermissionDeniedError("alice not permitted to produce to open/k"));
  EXPECT_EQ(FateOf(set), "not-done");
  const rpc::CallResult erase = node.Delete("open/k");
  EXPECT_EQ(erase.status, absl::PermissionDeniedError("alice not permitted to produce to open/k"));
  EXPECT_EQ(FateOf(erase), "not-done");
  EXPECT_EQ(node.reads.asked().size(), reads);
  EXPECT_EQ(node.writes.asked().size(), writes);
}

// Who may not call learns nothing of what is wrong with its call, and nothing of the node.
TEST(KvService, RefusesBeforeItLooksAtTheKey) {
  ServedKv node({.subject = "alice", .authorizer = Policy({"bob, *, consume", "bob, *, produce"})});
  const std::string too_long(kKeyBytesMax + 1, 'k');
  for (const std::string& key : {std::string(), too_long, std::string("missing")}) {
    EXPECT_EQ(node.Get(key).status.code(), absl::StatusCode::kPermissionDenied);
    EXPECT_EQ(node.Set(key, "v").status.code(), absl::StatusCode::kPermissionDenied);
    EXPECT_EQ(node.Delete(key).status.code(), absl::StatusCode::kPermissionDenied);
  }
}

// The first version of mokv asked its policy, which compares whole objects, about `*`.
TEST(KvService, AsksForAnyObjectIfItIsToldTo) {
  const auto policy = Policy({"alice, *, consume", "alice, *, produce"}, testing::kExact);
  ServedKv any({.subject = "alice", .authorizer = policy, .permission = {.object_is_any = true}});
  any.Put("k", "v");
  any.writes.AnswerAtOnce(testing::Applied({.revision = Revision(1)}));
  EXPECT_TRUE(any.Get("k").status.ok());
  EXPECT_TRUE(any.Set("k", "v").status.ok());
  EXPECT_TRUE(any.Delete("k").status.ok());

  ServedKv each({.subject = "alice", .authorizer = policy});
  EXPECT_EQ(each.Get("k").status.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(each.Set("k", "v").status.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(each.Delete("k").status.code(), absl::StatusCode::kPermissionDenied);
}

// --- Keys

TEST(KvService, RefusesKeysThatAreEmptyTooLongOrNotText) {
  ServedKv node;
  const std::string longest(kKeyBytesMax, 'k');
  node.Put(longest, "v");
  node.writes.AnswerAtOnce(testing::Applied({.revision = Revision(1)}));
  EXPECT_TRUE(node.Get(longest).status.ok());
  EXPECT_TRUE(node.Set(longest, "v").status.ok());
  EXPECT_TRUE(node.Delete(longest).status.ok());
  const size_t reads = node.reads.asked().size();
  const size_t writes = node.writes.asked().size();

  // Field 1 of each request: a string of two bytes that are no UTF-8.
  const std::string not_text("\x0a\x02\xff\xfe", 4);
  const std::string too_long = longest + "k";
  for (const std::string method : {"Get", "Set", "Delete"}) {
    const std::string path = "/api.KV/" + method;
    const std::string fate = method == "Get" ? "none" : "not-done";
    const auto expect_refused = [&](const std::string& request, const std::string& why) {
      const rpc::CallResult result = node.served.Call(path, request);
      EXPECT_EQ(result.status, absl::InvalidArgumentError(why)) << method;
      EXPECT_EQ(FateOf(result), fate) << method;
    };
    expect_refused("", "key is empty");
    api::GetRequest with_key;  // All three have it as field 1.
    with_key.set_key(too_long);
    expect_refused(with_key.SerializeAsString(), "key of 4097 bytes is over the limit of 4096");
    expect_refused(not_text, "key or prefix of api." + method + "Request is not valid UTF-8");
    expect_refused("\xff", "the message does not parse as api." + method + "Request");
  }
  EXPECT_EQ(node.reads.asked().size(), reads);
  EXPECT_EQ(node.writes.asked().size(), writes);
}

// --- GetServers

TEST(KvService, GetServersTellsWhoIsInTheCluster) {
  replica::ClusterView view{.cluster_id = "c", .leader = "b"};
  view.members.push_back({.name = "a",
                          .instance_id = "disk-a",
                          .rpc_address = "a:1",
                          .is_voter = true,
                          .applied_index = Index(7)});
  view.members.push_back({.name = "b",
                          .instance_id = "disk-b",
                          .rpc_address = "b:2",
                          .is_leader = true,
                          .applied_index = Index(9)});
  // It needs no permission.
  ServedKv node({.subject = "alice",
                 .authorizer = Policy({"bob, *, consume"}),
                 .service = {.cluster = [view] { return view; }}});
  const auto response =
      ResponseOf<api::GetServersResponse>(node.served.Call("/api.KV/GetServers", std::string()));
  ASSERT_EQ(response.servers_size(), 2);
  const api::Server& a = response.servers(0);
  EXPECT_EQ(a.id(), "a");
  EXPECT_EQ(a.rpc_addr(), "a:1");
  EXPECT_FALSE(a.is_leader());
  EXPECT_FALSE(a.is_learner());
  EXPECT_EQ(a.applied_index(), 7u);
  const api::Server& b = response.servers(1);
  EXPECT_EQ(b.id(), "b");
  EXPECT_EQ(b.rpc_addr(), "b:2");
  EXPECT_TRUE(b.is_leader());
  EXPECT_TRUE(b.is_learner());
  EXPECT_EQ(b.applied_index(), 9u);
}

}  // namespace
}  // namespace mokv::service
