#include "service/list_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "api/kv.pb.h"
#include "rpc/completion.h"
#include "service/testing/policy.h"

namespace mokv::service {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Next = rpc::MessageSource::Next;

// Counts wakes, and demands that they are for the right call.
class WakeCounter final : public rpc::CompletionSink {
 public:
  static constexpr rpc::CallId kCall{.connection = 7, .stream = 3};

  void Complete(rpc::Completion completion) override {
    EXPECT_TRUE(completion.wake);
    EXPECT_EQ(completion.call.connection, kCall.connection);
    EXPECT_EQ(completion.call.stream, kCall.stream);
    ++wakes;
  }
  int wakes = 0;
};

class ListSourceTest : public ::testing::Test {
 protected:
  void Put(const std::string& key, const std::string& value = "v") {
    store_.Apply(store::Set{key, value});
    store_.Publish();
  }

  // As alice, by the rules of access_.
  ListSource Of(ListSource::Query query) {
    ItemFilter filter(access_, "alice", query.prefix, /*object_is_any=*/false);
    return ListSource(store_.TakeView(), std::move(query), std::move(filter),
                      rpc::StreamWaker(sink_, WakeCounter::kCall));
  }

  // The next item's key and value, "wait" or "end".
  static std::string NextOf(ListSource& source) {
    std::string message;
    const Next next = source.Produce(&message);
    if (next != Next::kMessage) {
      EXPECT_EQ(message, "");
      return next == Next::kWait ? "wait" : "end";
    }
    api::GetResponse item;
    EXPECT_TRUE(item.ParseFromString(message));
    return item.key() + "=" + item.value();
  }

  // All up to the end, which waits for nothing.
  static std::vector<std::string> AllOf(ListSource source) {
    std::vector<std::string> items;
    for (std::string item = NextOf(source); item != "end"; item = NextOf(source)) {
      if (item == "wait") {
        ADD_FAILURE() << "waits";
        break;
      }
      items.push_back(item);
    }
    EXPECT_EQ(NextOf(source), "end") << "it stays there";
    EXPECT_TRUE(source.status().ok());
    return items;
  }

  store::Store store_;
  WakeCounter sink_;
  auth::Access access_{auth::Authorizer::AllowAll(), /*io_threads=*/0};
};

TEST_F(ListSourceTest, ProducesTheItemsOfItsPrefixInOrder) {
  for (const char* key : {"b/2", "a", "b/1", "c", "b", "b/10"}) Put(key);
  EXPECT_THAT(AllOf(Of({})), ElementsAre("a=v", "b=v", "b/1=v", "b/10=v", "b/2=v", "c=v"));
  EXPECT_THAT(AllOf(Of({.prefix = "b/"})), ElementsAre("b/1=v", "b/10=v", "b/2=v"));
  EXPECT_THAT(AllOf(Of({.prefix = "c"})), ElementsAre("c=v"));
  EXPECT_THAT(AllOf(Of({.prefix = "d"})), IsEmpty());
  EXPECT_EQ(sink_.wakes, 0);
}

TEST_F(ListSourceTest, EndsAtItsLimit) {
  for (const char* key : {"a", "b", "c"}) Put(key);
  EXPECT_THAT(AllOf(Of({.limit = 1})), ElementsAre("a=v"));
  EXPECT_THAT(AllOf(Of({.limit = 3})), ElementsAre("a=v", "b=v", "c=v"));
  EXPECT_THAT(AllOf(Of({.limit = 4})), ElementsAre("a=v", "b=v", "c=v"));
}

TEST_F(ListSourceTest, ProducesOneStateWhateverIsWrittenMeanwhile) {
  Put("a", "old");
  Put("b", "old");
  Put("d", "old");
  ListSource source = Of({});
  EXPECT_EQ(NextOf(source), "a=old");
  Put("b", "new");
  Put("c", "new");
  store_.Apply(store::Delete{"d"});
  store_.Publish();
  EXPECT_EQ(NextOf(source), "b=old");
  EXPECT_EQ(NextOf(source), "d=old");
  EXPECT_EQ(NextOf(source), "end");
  EXPECT_THAT(AllOf(Of({})), ElementsAre("a=old", "b=new", "c=new"));
}

TEST_F(ListSourceTest, LeavesOutWhatItsSubjectMayNotConsume) {
  access_.Replace(testing::Policy(
      {"alice, a/*, consume", "alice, b, consume", "alice, *, produce", "bob, *, consume"}));
  for (const char* key : {"a/1", "a/2", "b", "b/1", "c"}) Put(key);
  EXPECT_THAT(AllOf(Of({})), ElementsAre("a/1=v", "a/2=v", "b=v"));
  EXPECT_THAT(AllOf(Of({.prefix = "b"})), ElementsAre("b=v"));
  // The limit counts what is sent, and not what stands between.
  Put("0");
  Put("a");
  EXPECT_THAT(AllOf(Of({.limit = 2})), ElementsAre("a/1=v", "a/2=v"));
}

// Rules that are prefixes: what stands between is not gone through.
TEST_F(ListSourceTest, StepsOverRangesThatAreNotAllowed) {
  access_.Replace(testing::Policy({"alice, a, consume", "alice, z, consume"}));
  Put("a");
  for (int i = 0; i < 2'500; ++i) Put("hidden/" + std::to_string(i));
  Put("z");
  Put("z/1");
  EXPECT_THAT(AllOf(Of({})), ElementsAre("a=v", "z=v"));
}

// Goal:   a subject that may see little of a large store holds up nobody else on its I/O thread.
// Method: between two items that it may see stand 2,500 that it may not, of which 1,024 are passed
//         over in one go, as the rule cannot be told as ranges; each time it asks to be asked again.
// Goal: who may see little holds up no others of the I/O thread, whatever a question costs.
TEST_F(ListSourceTest, PassesOverSomeItemsAtOnceAndThenLetsOthersRun) {
  access_.Replace(testing::Policy({"alice, ^.$, consume"}, "regexMatch(r.obj, p.obj)"));
  Put("a");
  for (int i = 0; i < 40; ++i) Put("hidden/" + std::to_string(i));
  Put("z");
  ListSource source = Of({});
  EXPECT_EQ(NextOf(source), "a=v");
  EXPECT_EQ(sink_.wakes, 0);
  EXPECT_EQ(NextOf(source), "wait");
  EXPECT_EQ(sink_.wakes, 1);
  EXPECT_EQ(NextOf(source), "wait");
  EXPECT_EQ(sink_.wakes, 2);
  EXPECT_EQ(NextOf(source), "z=v");
  EXPECT_EQ(NextOf(source), "end");
  EXPECT_EQ(sink_.wakes, 2);
}

TEST_F(ListSourceTest, EndsWhenTheRulesTakeAwayWhatIsStillToCome) {
  access_.Replace(
      testing::Policy({"alice, a1*, consume", "alice, a2*, consume", "alice, b*, consume"}));
  for (const char* key : {"a1", "a2", "b1", "b2", "c1"}) Put(key);
  ListSource source = Of({});
  EXPECT_EQ(NextOf(source), "a1=v");
  // What it has passed is not asked for any more; what it gets now comes, too.
  access_.Replace(testing::Policy({"alice, a2*, consume", "alice, b*, consume"}));
  EXPECT_EQ(NextOf(source), "a2=v");
  access_.Replace(testing::Policy({"alice, b*, consume", "alice, c*, consume"}));
  EXPECT_EQ(NextOf(source), "b1=v");
  access_.Replace(testing::Policy({"bob, *, consume"}));
  EXPECT_EQ(NextOf(source), "end");
  EXPECT_EQ(source.status().code(), absl::StatusCode::kPermissionDenied) << source.status();
}

// Goal: what has to be asked for one by one may have other answers now: no list lacks items silently.
TEST_F(ListSourceTest, EndsWhenOtherRulesAnswerOneByOne) {
  const auto rule = [](const char* pattern) {
    return testing::Policy({std::string("alice, ") + pattern + ", consume"},
                           "regexMatch(r.obj, p.obj)");
  };
  access_.Replace(rule("[ab]"));
  for (const char* key : {"a", "b"}) Put(key);
  ListSource source = Of({});
  EXPECT_EQ(NextOf(source), "a=v");
  access_.Replace(rule("[ac]"));
  EXPECT_EQ(NextOf(source), "end");
  EXPECT_EQ(source.status().code(), absl::StatusCode::kPermissionDenied) << source.status();
}

TEST_F(ListSourceTest, GoesOnWhenTheRulesTakeAwayWhatItDoesNotWant) {
  access_.Replace(testing::Policy({"alice, a*, consume", "alice, b*, consume"}));
  for (const char* key : {"a1", "a2", "b1"}) Put(key);
  ListSource source = Of({.prefix = "a"});
  EXPECT_EQ(NextOf(source), "a1=v");
  access_.Replace(testing::Policy({"alice, a*, consume"}));
  EXPECT_EQ(NextOf(source), "a2=v");
  EXPECT_EQ(NextOf(source), "end");
  EXPECT_TRUE(source.status().ok()) << source.status();
}

}  // namespace
}  // namespace mokv::service
