// The doors of a node over a real replica on threads of its own.
#include "service/replica_doors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "api/kv.pb.h"
#include "base/testing/run_on.h"
#include "net/testing/wait.h"
#include "replica/testing/threaded_replica.h"
#include "service/kv_service.h"
#include "service/testing/await.h"
#include "service/testing/served.h"
#include "service/testing/shared_clock.h"

namespace mokv::service {
namespace {

using replica::WriteResult;
using std::chrono::seconds;
using testing::Await;
using testing::Served;

constexpr replica::ReadRequirement kLinearizable;
constexpr replica::ReadRequirement kStale{.linearizable = false};

class Doors {
 public:
  explicit Doors(const std::string& cluster = "cluster", size_t io_threads = 1)
      : replica({.new_cluster_id = cluster, .clock = &clock}), pool(io_threads) {
    reads.emplace(pool, clock, replica.machine, *replica.replica);
    pool.Start();
  }
  ~Doors() {
    pool.Stop();
    replica.Stop();
  }

  // Runs `task` on an I/O thread, and waits for its end.
  void OnThread(size_t index, Task task) { RunOn(pool.thread(index), std::move(task)); }

  testing::SharedClock clock;
  replica::testing::ThreadedReplica replica;
  net::IoPool pool;
  std::optional<ReplicaReadDoor> reads;
  ReplicaWriteDoor writes{*replica.replica};
};

TEST(ReplicaDoors, ReadsLookAtOnceWhereTheyMay) {
  Doors doors;
  doors.replica.Write(store::Set{"k", "v"});
  // What was answered has been shown; the leader may still be about to note that it is committed.
  EXPECT_TRUE(net::Until([&] { return doors.replica.replica->CanReadNow(kLinearizable); }));
  doors.OnThread(0, [&] {
    store::Reader* reader = doors.reads->Now(kLinearizable, 0);
    ASSERT_NE(reader, nullptr);
    ASSERT_NE(reader->Find("k"), nullptr);
    EXPECT_EQ(reader->Find("k")->value(), "v");
    EXPECT_EQ(doors.reads->Now({.linearizable = true, .min_revision = Revision(2)}, 0), nullptr);
    EXPECT_NE(doors.reads->Now({.linearizable = true, .min_revision = Revision(1)}, 0), nullptr);
  });
}

TEST(ReplicaDoors, ReadsWithoutALeaderLookAtOnceOnlyIfTheyMayBeStale) {
  Doors doors("");
  doors.OnThread(0, [&] {
    EXPECT_EQ(doors.reads->Now(kLinearizable, 0), nullptr);
    EXPECT_NE(doors.reads->Now(kStale, 0), nullptr);
  });
}

TEST(ReplicaDoors, EachThreadHasItsReader) {
  Doors doors("cluster", 2);
  std::vector<store::Reader*> readers(2);
  for (size_t i = 0; i < readers.size(); ++i) {
    doors.OnThread(i, [&] { readers[i] = doors.reads->Now(kStale, i); });
  }
  EXPECT_NE(readers[0], nullptr);
  EXPECT_NE(readers[1], nullptr);
  EXPECT_NE(readers[0], readers[1]);
}

TEST(ReplicaDoors, ReadsThatWaitLookOnTheirThread) {
  Doors doors("cluster", 2);
  doors.replica.Write(store::Set{"k", "v"});
  for (size_t i = 0; i < 2; ++i) {
    for (const replica::ReadRequirement& requirement :
         {kLinearizable, replica::ReadRequirement{.min_revision = Revision(1)}}) {
      std::promise<std::string> found;
      doors.OnThread(i, [&] {
        doors.reads->Wait(requirement, doors.clock.Now() + seconds(5), i,
                          [&, i](const absl::Status& status, store::Reader& reader) {
                            EXPECT_TRUE(status.ok()) << status;
                            EXPECT_TRUE(doors.pool.thread(i).IsCurrent());
                            EXPECT_EQ(&reader, doors.reads->Now(kStale, i));
                            const store::Item* item = reader.Find("k");
                            found.set_value(item == nullptr ? "" : std::string(item->value()));
                          });
      });
      EXPECT_EQ(Await(found.get_future()), "v");
    }
  }
}

TEST(ReplicaDoors, ReadsThatWaitInVainAreToldWhy) {
  Doors doors("");
  std::promise<absl::Status> told;
  doors.OnThread(0, [&] {
    doors.reads->Wait(kLinearizable, doors.clock.Now() + seconds(5), 0,
                      [&](const absl::Status& status, store::Reader&) { told.set_value(status); });
  });
  doors.clock.Move(seconds(5));
  EXPECT_EQ(Await(told.get_future()), absl::UnavailableError("no leader"));
}

// Goal:   a thread that has looked once does not keep all from being freed that is written later.
// Method: an item is looked at and then overwritten many times; what the store holds in the end is
//         about one version of it, and not all.
TEST(ReplicaDoors, ReadersLetGoAtTheEndOfTheTurn) {
  constexpr size_t kValueBytes = size_t{1} << 20;
  constexpr int kVersions = 16;
  Doors doors;
  doors.replica.Write(store::Set{"k", std::string(kValueBytes, '0')});
  doors.OnThread(0, [&] { EXPECT_NE(doors.reads->Now(kStale, 0)->Find("k"), nullptr); });
  for (int i = 0; i < kVersions; ++i) {
    doors.replica.Write(store::Set{"k", std::string(kValueBytes, 'x')});
  }
  EXPECT_TRUE(net::Until([&] {
    doors.replica.Tick();
    return doors.replica.machine.memory_bytes() < 3 * kValueBytes;
  }));
}

TEST(ReplicaDoors, ViewsAreOfWhatIsShown) {
  Doors doors;
  doors.replica.Write(store::Set{"k", "v"});
  const auto view = doors.reads->TakeView();
  doors.replica.Write(store::Set{"k", "w"});
  EXPECT_EQ(view->revision(), Revision(1));
  ASSERT_NE(view->Find("k"), nullptr);
  EXPECT_EQ(view->Find("k")->value(), "v");
}

TEST(ReplicaDoors, WritesAreAppliedAndSeenByWhoeverIsToldOfThem) {
  Doors doors;
  std::promise<WriteResult> told;
  doors.writes.Write(store::Set{"k", "v"}, "alice", MonotonicTime::Max(),
                     [&](const WriteResult& result) { told.set_value(result); });
  const WriteResult result = Await(told.get_future());
  EXPECT_EQ(result.fate, WriteResult::Fate::kApplied);
  EXPECT_EQ(result.applied.revision, Revision(1));
  EXPECT_NE(doors.reads->TakeView()->Find("k"), nullptr);
}

TEST(ReplicaDoors, WritesThatFindNoLeaderInTheirTimeAreNotDone) {
  Doors doors("");
  std::promise<WriteResult> told;
  doors.writes.Write(store::Set{"k", "v"}, "alice", doors.clock.Now() + seconds(5),
                     [&](const WriteResult& result) { told.set_value(result); });
  std::future<WriteResult> result = told.get_future();
  doors.clock.Move(seconds(4));
  doors.replica.Tick();
  EXPECT_NE(result.wait_for(seconds(0)), std::future_status::ready);
  doors.clock.Move(seconds(1));
  doors.replica.Tick();
  const WriteResult not_done = Await(std::move(result));
  EXPECT_EQ(not_done.fate, WriteResult::Fate::kNotDone);
  EXPECT_EQ(not_done.reason, absl::UnavailableError("no leader"));
}

// --- With a service and a client before them.

api::GetRequest GetOf(const std::string& key) {
  api::GetRequest request;
  request.set_key(key);
  return request;
}

TEST(ReplicaDoors, AServiceWritesAndReadsThroughThem) {
  replica::testing::ThreadedReplica node;
  Served served;
  ReplicaReadDoor reads(served.pool(), SystemClock(), node.machine, *node.replica);
  ReplicaWriteDoor writes(*node.replica);
  const auth::Access access(auth::Authorizer::AllowAll(), served.pool().size());
  const Permission permission(access);
  KvService kv(reads, writes, permission, {});
  kv.Register(served.server());
  served.Start();
  for (int i = 1; i <= 100; ++i) {
    api::SetRequest set;
    set.set_key("k");
    set.set_value(std::to_string(i));
    const auto response = testing::ResponseOf<api::SetResponse>(served.Call("/api.KV/Set", set));
    EXPECT_EQ(response.revision(), static_cast<uint64_t>(i));
    const auto got = testing::ResponseOf<api::GetResponse>(served.Call("/api.KV/Get", GetOf("k")));
    EXPECT_EQ(got.value(), std::to_string(i));
  }
  served.Stop();
  node.Stop();
}

// Goal:   a node ends, and its clients' reads with it, while they wait.
// Method: reads of a node that is of no cluster; everything ends in the order in which a node ends,
//         the replica's threads while it still has their questions.
TEST(ReplicaDoors, EndWithReadsAndWritesThatWait) {
  std::vector<std::future<rpc::CallResult>> calls;
  {
    replica::testing::ThreadedReplica node({.new_cluster_id = ""});
    Served served;
    ReplicaReadDoor reads(served.pool(), SystemClock(), node.machine, *node.replica);
    ReplicaWriteDoor writes(*node.replica);
    const auth::Access access(auth::Authorizer::AllowAll(), served.pool().size());
    const Permission permission(access);
    KvService kv(reads, writes, permission, {});
    kv.Register(served.server());
    served.Start();
    api::GetRequest of_revision = GetOf("k");
    of_revision.set_min_revision(5);
    api::SetRequest set;
    set.set_key("k");
    calls.push_back(served.Begin("/api.KV/Get", GetOf("k")));
    calls.push_back(served.Begin("/api.KV/Get", of_revision));
    calls.push_back(served.BeginStream("/api.KV/List", api::ListRequest()));
    calls.push_back(served.Begin("/api.KV/Set", set));
    EXPECT_TRUE(net::Until([&] {
      const replica::Counters counters = node.replica->report().counters;
      return counters.reads_waiting >= 2 && counters.proposals_pending == 1 &&
             served.server().stats().calls_open == calls.size();
    }));
    served.Stop();
    node.Stop();
    node.replica.reset();  // It has the write, whose responder must not outlive the server.
  }
  for (auto& call : calls) {
    EXPECT_EQ(Served::Result(std::move(call)).status.code(), absl::StatusCode::kCancelled);
  }
}

}  // namespace
}  // namespace mokv::service
