// ClusterService as an operator sees it, over a real replica on threads of its own.
#include "service/cluster_service.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "api/cluster.pb.h"
#include "base/file.h"
#include "base/status.h"
#include "net/testing/wait.h"
#include "replica/snapshot_file.h"
#include "replica/testing/threaded_replica.h"
#include "service/saved_snapshot_source.h"
#include "service/testing/policy.h"
#include "service/testing/served.h"
#include "service/testing/shared_clock.h"

namespace mokv::service {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::ElementsAre;
using testing::FateOf;
using ::testing::IsEmpty;
using testing::Policy;
using testing::ResponseOf;
using testing::Served;

// Who is at which address. Nobody answers, but to say who they are.
class Neighbours final : public replica::testing::NoPeers {
 public:
  void Identify(const std::string& rpc_address, IdentifyDone done) override {
    if (rpc_address == "silent:1") {
      const MutexLock lock(mutex_);
      unanswered_.push_back(std::move(done));
    } else if (const auto found = known_.find(rpc_address); found != known_.end()) {
      done(found->second);
    } else {
      NoPeers::Identify(rpc_address, std::move(done));
    }
  }
  // Asked in vain.
  size_t unanswered() const {
    const MutexLock lock(mutex_);
    return unanswered_.size();
  }

 private:
  const std::map<std::string, replica::PeerIdentity> known_ = {
      {"n:2", {.name = "n", .instance_id = "d"}},
      {"b:1", {.name = "b", .instance_id = "disk-b"}},
      {"c:1", {.name = "c", .instance_id = "disk-c", .cluster_id = "another"}},
  };
  mutable Mutex mutex_;
  std::vector<IdentifyDone> unanswered_ ABSL_GUARDED_BY(mutex_);
};

struct ClusterOptions {
  std::string cluster_id = "cluster";
  std::string subject;
  std::shared_ptr<const auth::Authorizer> authorizer = auth::Authorizer::AllowAll();
  bool object_is_any = false;
  std::vector<GossipMember> gossip;
  std::vector<std::string> conditions;
};

// A node's ClusterService and an operator's client.
struct ServedCluster {
  explicit ServedCluster(const ClusterOptions& options = {})
      : node({.new_cluster_id = options.cluster_id, .clock = &clock, .peers = &neighbours}),
        served({.subject = options.subject, .clock = &clock}),
        access(options.authorizer, served.pool().size()),
        permission(access, {.object_is_any = options.object_is_any}),
        service(node.machine, *node.replica, permission,
                {.node_id = "n",
                 .instance_id = "d",
                 .rpc_address = "n:1",
                 .version = "1.2.3",
                 .serving = [this] { return node.replica->report().serving; },
                 .conditions = [options] { return options.conditions; },
                 .gossip = [options] { return options.gossip; }}) {
    service.Register(served.server());
    served.Start();
  }
  ~ServedCluster() {
    served.Stop();
    node.Stop();
    node.replica.reset();  // Changes that nobody answered hold responders.
  }

  template <typename Request>
  rpc::CallResult Call(const std::string& method, const Request& request) {
    return served.Call("/api.Cluster/" + method, request);
  }
  api::StatusResponse Status() {
    return ResponseOf<api::StatusResponse>(Call("Status", api::StatusRequest()));
  }
  api::MemberListResponse MemberList() {
    return ResponseOf<api::MemberListResponse>(Call("MemberList", api::MemberListRequest()));
  }
  static api::MemberAddRequest AddOf(const std::string& id, const std::string& rpc_addr) {
    api::MemberAddRequest request;
    request.set_id(id);
    request.set_rpc_addr(rpc_addr);
    return request;
  }
  rpc::CallResult MemberAdd(const std::string& id, const std::string& rpc_addr) {
    return Call("MemberAdd", AddOf(id, rpc_addr));
  }
  rpc::CallResult MemberRemove(const std::string& id) {
    api::MemberRemoveRequest request;
    request.set_id(id);
    return Call("MemberRemove", request);
  }
  rpc::CallResult TransferLeadership(const std::string& id) {
    api::TransferLeadershipRequest request;
    request.set_id(id);
    return Call("TransferLeadership", request);
  }

  testing::SharedClock clock;
  Neighbours neighbours;
  replica::testing::ThreadedReplica node;
  Served served;
  auth::Access access;
  Permission permission;
  ClusterService service;
};

void ExpectFailure(const rpc::CallResult& result, const absl::Status& status,
                   const std::string& fate = "not-done") {
  EXPECT_EQ(result.status, status);
  EXPECT_EQ(FateOf(result), fate);
  EXPECT_EQ(result.message, "");
}

// --- Status

TEST(ClusterService, StatusTellsHowTheNodeIs) {
  ServedCluster cluster({.conditions = {"no space", "log damaged"}});
  cluster.node.Write(store::Set{"a", "v"});
  cluster.node.Write(store::Set{"b", "v"});
  cluster.node.Write(store::Set{"b", "w"});
  const api::StatusResponse status = cluster.Status();
  EXPECT_EQ(status.id(), "n");
  EXPECT_EQ(status.instance_id(), "d");
  EXPECT_EQ(status.rpc_addr(), "n:1");
  EXPECT_EQ(status.version(), "1.2.3");
  EXPECT_EQ(status.cluster_id(), "cluster");
  EXPECT_EQ(status.role(), "leader");
  EXPECT_EQ(status.leader(), "n");
  EXPECT_GT(status.term(), 0u);
  EXPECT_EQ(status.revision(), 3u);
  EXPECT_EQ(status.keys(), 2u);
  // The first configuration, the leader's no-op and the writes.
  EXPECT_EQ(status.last_index(), 5u);
  EXPECT_EQ(status.commit_index(), 5u);
  EXPECT_EQ(status.applied_index(), 5u);
  EXPECT_EQ(status.store_bytes(), cluster.node.machine.memory_bytes());
  EXPECT_GT(status.resident_bytes(), status.store_bytes());
  EXPECT_TRUE(status.serving());
  EXPECT_THAT(status.conditions(), ElementsAre("no space", "log damaged"));
}

TEST(ClusterService, StatusOfANodeThatWaitsToBeAdded) {
  ServedCluster cluster({.cluster_id = ""});
  const api::StatusResponse status = cluster.Status();
  EXPECT_EQ(status.id(), "n");
  EXPECT_EQ(status.cluster_id(), "");
  EXPECT_EQ(status.role(), "none");
  EXPECT_EQ(status.leader(), "");
  EXPECT_EQ(status.keys(), 0u);
  EXPECT_FALSE(status.serving());
  EXPECT_THAT(status.conditions(), IsEmpty());
}

// --- MemberList

TEST(ClusterService, MemberListTellsOfMembersAndOfThoseWhoGossip) {
  ServedCluster cluster(
      {.gossip = {{.name = "n",
                   .address = "10.0.0.1:7946",
                   .status = "alive",
                   .role = "mokv",
                   .round_trip = microseconds(1'500)},
                  {.name = "stranger", .address = "10.0.0.2:7946", .status = "left"}}});
  const api::MemberListResponse list = cluster.MemberList();
  EXPECT_EQ(list.cluster_id(), "cluster");
  EXPECT_EQ(list.term(), cluster.Status().term());
  ASSERT_EQ(list.members_size(), 1);
  const api::Member& member = list.members(0);
  EXPECT_EQ(member.id(), "n");
  EXPECT_EQ(member.rpc_addr(), "n:1");
  EXPECT_EQ(member.instance_id(), "d");
  EXPECT_TRUE(member.is_voter());
  EXPECT_TRUE(member.is_leader());
  EXPECT_EQ(member.applied_index(), cluster.Status().applied_index());
  ASSERT_EQ(list.gossip_size(), 2);
  const api::GossipMember& known = list.gossip(0);
  EXPECT_EQ(known.id(), "n");
  EXPECT_EQ(known.address(), "10.0.0.1:7946");
  EXPECT_EQ(known.status(), "alive");
  EXPECT_EQ(known.role(), "mokv");
  EXPECT_EQ(known.round_trip_us(), 1'500u);
  const api::GossipMember& stranger = list.gossip(1);
  EXPECT_EQ(stranger.id(), "stranger");
  EXPECT_EQ(stranger.status(), "left");
  EXPECT_EQ(stranger.role(), "");
  EXPECT_EQ(stranger.round_trip_us(), 0u);
}

// --- Changes

TEST(ClusterService, ChangesAreCommittedWhenTheyAreAnswered) {
  ServedCluster cluster;
  const auto expect_done = [](const rpc::CallResult& result) {
    EXPECT_TRUE(result.status.ok()) << result.status;
    EXPECT_EQ(result.message, "");
    EXPECT_EQ(FateOf(result), "none");
  };
  expect_done(cluster.MemberAdd("b", "b:1"));
  const api::MemberListResponse with_b = cluster.MemberList();
  ASSERT_EQ(with_b.members_size(), 2);
  EXPECT_EQ(with_b.members(0).id(), "b");
  EXPECT_EQ(with_b.members(0).rpc_addr(), "b:1");
  EXPECT_EQ(with_b.members(0).instance_id(), "disk-b");
  EXPECT_FALSE(with_b.members(0).is_voter());
  EXPECT_FALSE(with_b.members(0).is_leader());

  expect_done(cluster.MemberRemove("b"));
  ASSERT_EQ(cluster.MemberList().members_size(), 1);

  expect_done(cluster.MemberAdd("n", "n:2"));
  const api::MemberListResponse moved = cluster.MemberList();
  ASSERT_EQ(moved.members_size(), 1);
  EXPECT_EQ(moved.members(0).rpc_addr(), "n:2");
}

TEST(ClusterService, MemberAddRefusesWhatIsNoName) {
  ServedCluster cluster;
  ExpectFailure(cluster.MemberAdd("", "b:1"),
                absl::InvalidArgumentError("the new member has no name"));
}

TEST(ClusterService, MemberAddRefusesWhatIsNoAddress) {
  ServedCluster cluster;
  for (const char* address : {"", "b", "b:", "b:70000"}) {
    const rpc::CallResult result = cluster.MemberAdd("b", address);
    EXPECT_EQ(result.status.code(), absl::StatusCode::kInvalidArgument) << address;
    EXPECT_EQ(FateOf(result), "not-done") << address;
  }
  EXPECT_EQ(cluster.MemberList().members_size(), 1);
}

TEST(ClusterService, MemberAddSaysWhatIsWrongWithWhoIsThere) {
  ServedCluster cluster;
  ExpectFailure(cluster.MemberAdd("b", "nowhere:1"),
                absl::FailedPreconditionError("nobody is at nowhere:1"));
  ExpectFailure(cluster.MemberAdd("x", "b:1"),
                absl::InvalidArgumentError("the node at b:1 is called b, not x"));
  ExpectFailure(cluster.MemberAdd("c", "c:1"),
                absl::FailedPreconditionError(
                    "c at c:1 belongs to another cluster, another; this one is cluster"));
  EXPECT_EQ(cluster.MemberList().members_size(), 1);
}

TEST(ClusterService, MemberRemoveSaysWhatIsWrongWithTheName) {
  ServedCluster cluster;
  ExpectFailure(cluster.MemberRemove(""), absl::InvalidArgumentError("no member is named"));
  ExpectFailure(cluster.MemberRemove("ghost"), absl::NotFoundError("no member is called ghost"));
}

TEST(ClusterService, TransferLeadershipSaysThatNobodyElseCouldLead) {
  ServedCluster cluster;
  ExpectFailure(cluster.TransferLeadership(""),
                absl::FailedPreconditionError("there is no other voter that could lead"));
  ExpectFailure(cluster.TransferLeadership("ghost"),
                absl::NotFoundError("no member is called ghost"));
  EXPECT_EQ(cluster.Status().role(), "leader");
}

TEST(ClusterService, RefusesWhatDoesNotParse) {
  ServedCluster cluster;
  for (const char* method : {"MemberAdd", "MemberRemove", "TransferLeadership"}) {
    ExpectFailure(cluster.Call(method, std::string("\xff")),
                  absl::InvalidArgumentError(std::string("the message does not parse as api.") +
                                             method + "Request"));
  }
}

TEST(ClusterService, ChangesOfANodeThatStopsAreCertainlyNotDone) {
  ServedCluster cluster;
  cluster.node.replica->StopAccepting();
  ExpectFailure(cluster.MemberRemove("b"),
                absl::UnavailableError("the node is stopping; nothing was changed"));
}

// It may have been passed on, or be in the log.
TEST(ClusterService, ChangesThatANodeGivesUpUnansweredAreOfUnknownFate) {
  ServedCluster cluster;
  auto call = cluster.served.Begin("/api.Cluster/MemberAdd", ServedCluster::AddOf("b", "silent:1"));
  EXPECT_TRUE(net::Until([&] { return cluster.neighbours.unanswered() == 1; }));
  cluster.node.replica->Fence("somebody else has its name");
  ExpectFailure(Served::Result(std::move(call)),
                absl::UnavailableError("the node is stopping; outcome unknown"), "unknown");
}

TEST(ClusterService, ChangesThatFindNoLeaderAreCertainlyNotDone) {
  ServedCluster cluster({.cluster_id = ""});
  auto call =
      cluster.served.Begin("/api.Cluster/TransferLeadership", api::TransferLeadershipRequest());
  // What it waits for is not shown: it is there once the call is open, and a turn later.
  EXPECT_TRUE(net::Until([&] {
    cluster.clock.Move(seconds(1));
    cluster.node.Tick();
    return call.wait_for(milliseconds(1)) == std::future_status::ready;
  }));
  ExpectFailure(Served::Result(std::move(call)),
                absl::UnavailableError("no leader; nothing was changed"));
}

// Goal:   a change waits for 30 seconds, or nine tenths of its deadline.
// Method: members are added at an address where somebody is, but does not say who.
TEST(ClusterService, ChangesWaitForAsLongAsTheirDeadlineAllows) {
  ServedCluster cluster;
  auto patient =
      cluster.served.Begin("/api.Cluster/MemberAdd", ServedCluster::AddOf("b", "silent:1"));
  auto impatient =
      rpc::BeginCall(cluster.served.channel(), "/api.Cluster/MemberAdd",
                     ServedCluster::AddOf("b", "silent:1").SerializeAsString(), seconds(20));
  EXPECT_TRUE(net::Until([&] { return cluster.neighbours.unanswered() == 2; }));
  const auto is_ready = [](std::future<rpc::CallResult>& call) {
    return call.wait_for(seconds(0)) == std::future_status::ready;
  };
  const absl::Status gave_up =
      absl::UnavailableError("no leader has taken the request; nothing was changed");

  cluster.clock.Move(milliseconds(17'000));
  cluster.node.Tick();
  cluster.Status();  // What has been answered has arrived before this.
  EXPECT_FALSE(is_ready(impatient));
  cluster.clock.Move(milliseconds(1'000));
  cluster.node.Tick();
  ExpectFailure(Served::Result(std::move(impatient)), gave_up);

  cluster.clock.Move(milliseconds(11'999));
  cluster.node.Tick();
  cluster.Status();
  EXPECT_FALSE(is_ready(patient));
  cluster.clock.Move(milliseconds(1));
  cluster.node.Tick();
  ExpectFailure(Served::Result(std::move(patient)), gave_up);
}

// --- SaveSnapshot

// A file in memory.
class ReceivedFile final : public File {
 public:
  explicit ReceivedFile(std::string bytes) : bytes_(std::move(bytes)) {}

  absl::StatusOr<uint64_t> ReadInto(uint64_t offset, std::span<char> buffer) const override {
    if (offset >= bytes_.size()) return 0;
    return bytes_.copy(buffer.data(), buffer.size(), offset);
  }
  absl::StatusOr<uint64_t> Size() const override { return bytes_.size(); }
  absl::Status WriteAt(uint64_t, std::string_view) override { return ReadOnly(); }
  absl::Status Sync() override { return ReadOnly(); }
  absl::Status Truncate(uint64_t) override { return ReadOnly(); }
  absl::Status Preallocate(uint64_t) override { return ReadOnly(); }

 private:
  static absl::Status ReadOnly() { return absl::UnimplementedError("is only read"); }
  const std::string bytes_;
};

// Goal:   what is streamed is a snapshot file, byte for byte, of all that was applied, and what was
//         said of it before is true.
// Method: values that take several chunks, one of them more than a block.
TEST(ClusterService, SaveSnapshotStreamsAFileThatLoads) {
  ServedCluster cluster;
  cluster.node.Write(store::Set{"large", std::string(3 << 20, 'x')});
  for (int i = 0; i < 50; ++i) {
    cluster.node.Write(store::Set{fmt::format("k{}", i), std::string(10'000, 'v')});
  }
  cluster.node.Write(store::Delete{"k7"});
  const rpc::CallResult result =
      cluster.served.CallStream("/api.Cluster/SaveSnapshot", api::SaveSnapshotRequest());
  ASSERT_TRUE(result.status.ok()) << result.status;
  ASSERT_GT(result.messages.size(), 10u);
  std::string bytes;
  api::SnapshotMetadata metadata;
  for (const std::string& message : result.messages) {
    api::SnapshotChunk chunk;
    ASSERT_TRUE(chunk.ParseFromString(message));
    EXPECT_EQ(chunk.has_metadata(), &message == &result.messages.front());
    EXPECT_LE(chunk.data().size(), SavedSnapshotSource::kChunkBytesMax);
    EXPECT_NE(chunk.has_metadata(), !chunk.data().empty());
    if (chunk.has_metadata()) metadata = chunk.metadata();
    bytes += chunk.data();
  }
  EXPECT_GE(bytes.size(), metadata.estimated_bytes());
  EXPECT_LT(bytes.size(), metadata.estimated_bytes() * 11 / 10);
  const auto loaded = replica::LoadSnapshot(ReceivedFile(bytes), "received");
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ(loaded->state.store->digest(), cluster.node.machine.digest());
  EXPECT_EQ(loaded->meta.last.index.value(), metadata.index());
  EXPECT_EQ(loaded->meta.last.term.value(), metadata.term());
  EXPECT_EQ(metadata.index(), cluster.Status().applied_index());
  EXPECT_EQ(metadata.revision(), 52u);
  EXPECT_EQ(metadata.keys(), 50u);
  EXPECT_EQ(metadata.cluster_id(), "cluster");
  EXPECT_EQ(loaded->meta.membership->cluster_id(), "cluster");
}

TEST(ClusterService, SaveSnapshotOfANodeThatWaitsToBeAddedIsUnavailable) {
  ServedCluster cluster({.cluster_id = ""});
  const rpc::CallResult result =
      cluster.served.CallStream("/api.Cluster/SaveSnapshot", api::SaveSnapshotRequest());
  EXPECT_EQ(result.status.code(), absl::StatusCode::kUnavailable) << result.status;
  EXPECT_THAT(result.messages, IsEmpty());
}

TEST(ClusterService, SaveSnapshotOfAFencedNodeSaysWhy) {
  ServedCluster cluster;
  cluster.node.replica->Fence("it differs");
  const rpc::CallResult result =
      cluster.served.CallStream("/api.Cluster/SaveSnapshot", api::SaveSnapshotRequest());
  EXPECT_EQ(result.status, absl::UnavailableError("this node is fenced: it differs"));
}

TEST(ClusterService, SaveSnapshotNeedsAdminOnTheCluster) {
  ServedCluster cluster({.subject = "alice", .authorizer = Policy({"alice, *, consume"})});
  cluster.node.Write(store::Set{"a", "v"});
  const rpc::CallResult result =
      cluster.served.CallStream("/api.Cluster/SaveSnapshot", api::SaveSnapshotRequest());
  EXPECT_EQ(result.status, absl::PermissionDeniedError("alice not permitted to admin to cluster"));
  EXPECT_THAT(result.messages, IsEmpty());
}

// Goal: whoever is no admin any more gets no more of the state.
TEST(SavedSnapshotSource, EndsWhenItsCallerMayNoLonger) {
  ServedCluster cluster;
  cluster.node.Write(store::Set{"large", std::string(2 << 20, 'x')});
  std::promise<replica::FrozenSnapshot> frozen;
  cluster.node.replica->Freeze([&](absl::StatusOr<replica::FrozenSnapshot> snapshot) {
    frozen.set_value(*std::move(snapshot));
  });
  absl::Status allowed;
  SavedSnapshotSource source(frozen.get_future().get(), [&] { return allowed; });
  std::string message;
  EXPECT_EQ(source.Produce(&message), rpc::MessageSource::Next::kMessage);
  EXPECT_EQ(source.Produce(&message), rpc::MessageSource::Next::kMessage);
  allowed = absl::PermissionDeniedError("no more");
  message.clear();
  EXPECT_EQ(source.Produce(&message), rpc::MessageSource::Next::kEnd);
  EXPECT_EQ(message, "");
  EXPECT_EQ(source.status(), allowed);
}

// --- Who may call

TEST(ClusterService, EveryMethodNeedsAdminOnTheCluster) {
  const std::vector<std::string> methods = {"Status", "MemberList", "MemberAdd", "MemberRemove",
                                            "TransferLeadership"};
  const auto codes = [&](ServedCluster& cluster) {
    std::vector<absl::StatusCode> found;
    for (const std::string& method : methods) {
      found.push_back(cluster.Call(method, std::string()).status.code());
    }
    return found;
  };
  constexpr auto kDenied = absl::StatusCode::kPermissionDenied;

  ServedCluster other({.subject = "alice",
                       .authorizer = Policy({"alice, cluster, consume", "alice, cluster, produce",
                                             "alice, other, admin", "bob, *, admin"})});
  EXPECT_THAT(codes(other), ElementsAre(kDenied, kDenied, kDenied, kDenied, kDenied));
  // Before the request is looked at, and certainly not done.
  for (const std::string& method : methods) {
    ExpectFailure(other.Call(method, std::string("\xff")),
                  absl::PermissionDeniedError("alice not permitted to admin to cluster"));
  }

  ServedCluster admin({.subject = "alice", .authorizer = Policy({"alice, cluster, admin"})});
  EXPECT_THAT(
      codes(admin),
      ElementsAre(absl::StatusCode::kOk, absl::StatusCode::kOk, absl::StatusCode::kInvalidArgument,
                  absl::StatusCode::kInvalidArgument, absl::StatusCode::kFailedPrecondition));
}

TEST(ClusterService, AsksForAnyObjectIfItIsToldTo) {
  const auto policy = Policy({"alice, *, admin"}, testing::kExact);
  ServedCluster any({.subject = "alice", .authorizer = policy, .object_is_any = true});
  EXPECT_TRUE(any.Call("Status", api::StatusRequest()).status.ok());
  ServedCluster each({.subject = "alice", .authorizer = policy});
  ExpectFailure(each.Call("Status", api::StatusRequest()),
                absl::PermissionDeniedError("alice not permitted to admin to cluster"));
}

TEST(ClusterService, SaysWhichRuleDecides) {
  const auto ask = [](ServedCluster& cluster, const std::string& subject) {
    api::CheckAccessRequest request;
    request.set_subject(subject);
    request.set_object("key");
    request.set_action("consume");
    return ResponseOf<api::CheckAccessResponse>(cluster.Call("CheckAccess", request));
  };
  const auto policy = Policy({"alice, *, admin", "bob, k*, consume"});
  ServedCluster cluster({.subject = "alice", .authorizer = policy});
  api::CheckAccessResponse answer = ask(cluster, "bob");
  EXPECT_TRUE(answer.allowed());
  EXPECT_EQ(answer.line(), 2U);
  EXPECT_EQ(answer.rule(), "p, bob, k*, consume");
  EXPECT_EQ(answer.object(), "key");
  answer = ask(cluster, "alice");
  EXPECT_FALSE(answer.allowed());
  EXPECT_EQ(answer.line(), 0U);
  EXPECT_EQ(answer.rule(), "no rule allows it");
  ServedCluster any({.subject = "alice", .authorizer = policy, .object_is_any = true});
  EXPECT_EQ(ask(any, "bob").object(), "*");
  EXPECT_FALSE(ask(any, "bob").allowed());
}

}  // namespace
}  // namespace mokv::service
