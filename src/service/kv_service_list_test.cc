// KvService as a client sees it: List.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "service/testing/served_kv.h"

namespace mokv::service {
namespace {

using std::chrono::seconds;
using ::testing::ElementsAre;
using testing::FateOf;
using ::testing::IsEmpty;
using testing::PatientClient;
using testing::Policy;
using testing::Served;
using testing::ServedKv;

api::GetResponse Parsed(std::string_view bytes) {
  api::GetResponse item;
  EXPECT_TRUE(item.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())));
  return item;
}

std::vector<std::string> KeysOf(const rpc::CallResult& result) {
  std::vector<std::string> keys;
  for (const std::string& message : result.messages) keys.push_back(Parsed(message).key());
  return keys;
}

// Items in no order.
void PutFruit(ServedKv& node) {
  for (const char* key :
       {"pear/2", "apple/2", "pear/1", "apple/10", "pear", "apple/1", "apricot"}) {
    node.Put(key, std::string("value of ") + key);
  }
}

TEST(KvService, ListSendsAllItemsInTheOrderOfTheirKeys) {
  ServedKv node;
  PutFruit(node);
  const rpc::CallResult result = node.List("");
  EXPECT_TRUE(result.status.ok()) << result.status;
  EXPECT_THAT(KeysOf(result),
              ElementsAre("apple/1", "apple/10", "apple/2", "apricot", "pear", "pear/1", "pear/2"));
  const api::GetResponse item = Parsed(result.messages.at(2));
  EXPECT_EQ(item.value(), "value of apple/2");
  EXPECT_EQ(item.create_revision(), 2u);
  EXPECT_EQ(item.mod_revision(), 2u);
  EXPECT_EQ(item.version(), 1u);
}

TEST(KvService, ListSendsWhatBeginsWithThePrefix) {
  ServedKv node;
  PutFruit(node);
  EXPECT_THAT(KeysOf(node.List("apple/")), ElementsAre("apple/1", "apple/10", "apple/2"));
  EXPECT_THAT(KeysOf(node.List("pear")), ElementsAre("pear", "pear/1", "pear/2"));
  const rpc::CallResult nothing = node.List("plum");
  EXPECT_TRUE(nothing.status.ok()) << nothing.status;
  EXPECT_THAT(nothing.messages, IsEmpty());
}

TEST(KvService, ListSendsNoMoreThanItsLimit) {
  ServedKv node;
  PutFruit(node);
  api::ListRequest request;
  request.set_prefix("apple/");
  const auto keys = [&](uint64_t limit) {
    request.set_limit(limit);
    const rpc::CallResult result = node.served.CallStream("/api.KV/List", request);
    EXPECT_TRUE(result.status.ok()) << result.status;
    return KeysOf(result);
  };
  EXPECT_THAT(keys(1), ElementsAre("apple/1"));
  EXPECT_THAT(keys(2), ElementsAre("apple/1", "apple/10"));
  EXPECT_THAT(keys(3), ElementsAre("apple/1", "apple/10", "apple/2"));
  EXPECT_THAT(keys(4), ElementsAre("apple/1", "apple/10", "apple/2"));
}

TEST(KvService, ListSendsOnlyWhatItsClientMayConsume) {
  ServedKv node({.subject = "alice",
                 .authorizer = Policy({"alice, apple/*, consume", "alice, pear, consume",
                                       "alice, *, produce", "bob, *, consume"})});
  PutFruit(node);
  EXPECT_THAT(KeysOf(node.List("")), ElementsAre("apple/1", "apple/10", "apple/2", "pear"));
  // What is left out does not count.
  api::ListRequest request;
  request.set_limit(4);
  EXPECT_THAT(KeysOf(node.served.CallStream("/api.KV/List", request)),
              ElementsAre("apple/1", "apple/10", "apple/2", "pear"));
  const rpc::CallResult nothing = node.List("pear/");
  EXPECT_TRUE(nothing.status.ok()) << nothing.status;
  EXPECT_THAT(nothing.messages, IsEmpty());
}

TEST(KvService, ListRefusesWhoMayConsumeNothing) {
  ServedKv node(
      {.subject = "alice", .authorizer = Policy({"alice, *, produce", "bob, *, consume"})});
  const rpc::CallResult result = node.List("");
  EXPECT_EQ(result.status, absl::PermissionDeniedError("alice not permitted to consume to *"));
  EXPECT_EQ(FateOf(result), "none");
  EXPECT_TRUE(node.reads.asked().empty());
}

TEST(KvService, ListAsksForAnyObjectIfItIsToldTo) {
  const auto policy = Policy({"alice, *, consume", "bob, pear, consume"}, testing::kExact);
  ServedKv any({.subject = "alice", .authorizer = policy, .permission = {.object_is_any = true}});
  PutFruit(any);
  EXPECT_THAT(KeysOf(any.List("pear")), ElementsAre("pear", "pear/1", "pear/2"));
  ServedKv each({.subject = "alice", .authorizer = policy});
  PutFruit(each);
  EXPECT_THAT(KeysOf(each.List("pear")), IsEmpty());
  // Who may consume something, but not anything.
  ServedKv some({.subject = "bob", .authorizer = policy, .permission = {.object_is_any = true}});
  EXPECT_EQ(some.List("pear").status,
            absl::PermissionDeniedError("bob not permitted to consume to *"));
}

TEST(KvService, ListRefusesAPrefixThatIsNotText) {
  ServedKv node;
  const rpc::CallResult result =
      Served::Result(node.served.BeginStream("/api.KV/List", std::string("\x0a\x02\xff\xfe", 4)));
  EXPECT_EQ(result.status,
            absl::InvalidArgumentError("key or prefix of api.ListRequest is not valid UTF-8"));
}

TEST(KvService, ListThatMustWaitSeesTheStateOfWhenItMayLook) {
  ServedKv node;
  node.Put("old", "v");
  node.reads.SayNotNow();
  api::ListRequest request;
  request.set_consistency(api::STALE);
  request.set_min_revision(7);
  auto call = node.served.BeginStream("/api.KV/List", request);
  const auto waiting = node.reads.WaitForWaiting(1);
  EXPECT_FALSE(waiting.at(0).requirement.linearizable);
  EXPECT_EQ(waiting.at(0).requirement.min_revision, Revision(7));
  EXPECT_FALSE(node.reads.asked().at(0).requirement.linearizable);
  EXPECT_EQ(node.reads.asked().at(0).requirement.min_revision, Revision(7));
  node.Put("new", "v");
  EXPECT_NE(call.wait_for(seconds(0)), std::future_status::ready);
  node.reads.Answer(absl::OkStatus());
  const rpc::CallResult result = Served::Result(std::move(call));
  EXPECT_TRUE(result.status.ok()) << result.status;
  EXPECT_THAT(KeysOf(result), ElementsAre("new", "old"));
}

TEST(KvService, ListThatMayNotLookSaysWhy) {
  ServedKv node;
  node.Put("k", "v");
  node.reads.SayNotNow();
  auto call = node.BeginList("");
  EXPECT_TRUE(node.reads.WaitForWaiting(1).at(0).requirement.linearizable);
  node.reads.Answer(absl::UnavailableError("no leader"));
  const rpc::CallResult result = Served::Result(std::move(call));
  EXPECT_EQ(result.status, absl::UnavailableError("no leader"));
  EXPECT_EQ(FateOf(result), "none");
  EXPECT_THAT(result.messages, IsEmpty());
}

// The messages of an answer as it came.
std::vector<std::string> Unframed(std::string_view data) {
  std::vector<std::string> messages;
  while (data.size() >= 5) {
    const auto byte = [&](size_t i) { return size_t{static_cast<uint8_t>(data[i])}; };
    const size_t size = byte(1) << 24 | byte(2) << 16 | byte(3) << 8 | byte(4);
    messages.emplace_back(data.substr(5, size));
    data.remove_prefix(std::min(data.size(), 5 + size));
  }
  return messages;
}

// Goal:   a list is one state of the store, however long the client takes to read it.
// Method: a client takes no more than HTTP/2's 64 KiB of a list of 2 MiB; then every item is
//         overwritten or deleted, and others are added; then it takes the rest.
TEST(KvService, ListIsOneStateHoweverMuchIsWrittenMeanwhile) {
  constexpr int kItems = 64;
  constexpr size_t kValueBytes = size_t{32} << 10;
  constexpr uint32_t kWindowBytes = uint32_t{4} << 20;
  const auto key = [](int i) { return "k" + std::to_string(100 + i); };
  ServedKv node;
  for (int i = 0; i < kItems; ++i) node.Put(key(i), std::string(kValueBytes, 'o'));
  PatientClient client(node.served);
  const uint32_t stream = client.Begin("/api.KV/List", api::ListRequest(), "");
  EXPECT_GT(client.raw().WaitForData(stream, 1).data.size(), 0u);
  for (int i = 0; i < kItems; ++i) {
    node.Put(key(i) + "/new", "n");
    if (i % 2 == 0) {
      node.Put(key(i), std::string(kValueBytes, 'n'));
    } else {
      testing::Apply(node.machine, store::Delete{key(i)});
    }
  }
  for (const uint32_t window_of : {uint32_t{0}, stream}) {
    constexpr uint8_t kWindowUpdate = 8;
    client.raw().Send(rpc::Frame(kWindowUpdate, 0, window_of, rpc::Number(kWindowBytes)));
  }
  const rpc::RawAnswer answer = client.Wait(stream);
  EXPECT_EQ(answer.grpc_status(), "0");
  const std::vector<std::string> messages = Unframed(answer.data);
  ASSERT_EQ(messages.size(), size_t{kItems});
  for (int i = 0; i < kItems; ++i) {
    const api::GetResponse item = Parsed(messages[static_cast<size_t>(i)]);
    EXPECT_EQ(item.key(), key(i));
    EXPECT_EQ(item.value(), std::string(kValueBytes, 'o'));
  }
}

}  // namespace
}  // namespace mokv::service
